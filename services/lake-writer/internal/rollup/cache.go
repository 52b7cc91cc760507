package rollup

import "bytes"

// cache remembers encoded states, the most recently used ones within a number of bytes.
type cache struct {
	limit, held int64
	entries     map[Key]*entry
	ring        entry // its next is the most recently used entry, its prev the least
}

type entry struct {
	key        Key
	state      []byte
	prev, next *entry
}

// entryBytes is about what an entry costs beside its name and its state.
const entryBytes = 160

func newCache(limit int64) *cache {
	c := &cache{limit: limit}
	c.reset()
	return c
}

func (c *cache) reset() {
	c.held, c.entries = 0, make(map[Key]*entry)
	c.ring.prev, c.ring.next = &c.ring, &c.ring
}

// get returns a state, which the caller must not change or keep, or nil.
func (c *cache) get(k Key) []byte {
	e := c.entries[k]
	if e == nil {
		return nil
	}
	c.unlink(e)
	c.link(e)
	return e.state
}

func (c *cache) has(k Key) bool { return c.entries[k] != nil }

// put remembers a copy of a state.
func (c *cache) put(k Key, state []byte) {
	if e := c.entries[k]; e != nil {
		c.drop(e)
	}
	e := &entry{key: k, state: bytes.Clone(state)}
	c.entries[k] = e
	c.link(e)
	c.held += e.bytes()
	for c.held > c.limit && len(c.entries) > 0 {
		c.drop(c.ring.prev)
	}
}

func (c *cache) drop(e *entry) {
	c.unlink(e)
	delete(c.entries, e.key)
	c.held -= e.bytes()
}

func (e *entry) bytes() int64 { return int64(len(e.key.Session) + len(e.state) + entryBytes) }

func (c *cache) link(e *entry) {
	e.prev, e.next = &c.ring, c.ring.next
	e.prev.next, e.next.prev = e, e
}

func (c *cache) unlink(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
}
