// Package route decides where an event goes: which route takes a subject of the registry or a schema name of JSON events, and which partition
// takes a key. It is pure. Whether topics exist and how records reach them is for package publish.
package route

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Route sends the events of one subject to one topic.
type Route struct {
	// Schema is the name that JSON events call the schema by.
	Schema string
	// Subject is the registry's name of the schema's history.
	Subject string
	// Topic takes the good events, DeadLetterTopic the refused ones.
	Topic, DeadLetterTopic string
}

// Table finds routes. It is immutable.
type Table struct {
	routes    []Route
	bySubject map[string]*Route
	bySchema  map[string]*Route
	unrouted  string
}

// NewTable returns the table of routes. Refused events that match no route go to the topic deadLetter, as do those of routes without a
// dead-letter topic of their own.
func NewTable(routes []Route, deadLetter string) (*Table, error) {
	t := &Table{
		routes:    append([]Route(nil), routes...),
		bySubject: make(map[string]*Route, len(routes)),
		bySchema:  make(map[string]*Route, len(routes)),
		unrouted:  deadLetter,
	}
	for i := range t.routes {
		r := &t.routes[i]
		if r.DeadLetterTopic == "" {
			r.DeadLetterTopic = deadLetter
		}
		if _, ok := t.bySubject[r.Subject]; ok {
			return nil, fmt.Errorf("subject %s has two routes", r.Subject)
		}
		if _, ok := t.bySchema[r.Schema]; ok {
			return nil, fmt.Errorf("schema name %s has two routes", r.Schema)
		}
		t.bySubject[r.Subject], t.bySchema[r.Schema] = r, r
	}
	return t, nil
}

// BySubject returns the route of a subject.
func (t *Table) BySubject(subject string) (*Route, bool) {
	r, ok := t.bySubject[subject]
	return r, ok
}

// BySchema returns the route of a schema name.
func (t *Table) BySchema(name string) (*Route, bool) {
	r, ok := t.bySchema[name]
	return r, ok
}

// Routes returns all routes in the order of the configuration. The caller must not change them.
func (t *Table) Routes() []Route { return t.routes }

// DeadLetterTopic is where events without a route go.
func (t *Table) DeadLetterTopic() string { return t.unrouted }

// DeadLetterFor returns the dead-letter topic that belongs to a data topic.
func (t *Table) DeadLetterFor(topic string) string {
	for _, r := range t.routes {
		if r.Topic == topic {
			return r.DeadLetterTopic
		}
	}
	return t.unrouted
}

// DataTopics returns the topics of good events, each once.
func (t *Table) DataTopics() []string {
	var topics []string
	seen := make(map[string]bool)
	for _, r := range t.routes {
		if !seen[r.Topic] {
			seen[r.Topic] = true
			topics = append(topics, r.Topic)
		}
	}
	return topics
}

// DeadLetterTopics returns the topics of refused events, each once.
func (t *Table) DeadLetterTopics() []string {
	topics := []string{t.unrouted}
	seen := map[string]bool{t.unrouted: true}
	for _, r := range t.routes {
		if !seen[r.DeadLetterTopic] {
			seen[r.DeadLetterTopic] = true
			topics = append(topics, r.DeadLetterTopic)
		}
	}
	return topics
}

// BucketHash is the hash of a record key's bucket field in Hudi's bucket index: Java's hash of a list with this one string, the sign bit
// cleared (org.apache.hudi.index.bucket.BucketIdentifier: `(hashKeyFields.hashCode() & Integer.MAX_VALUE) % numBuckets`). The key must be
// valid UTF-8; Java hashes its UTF-16 code units.
func BucketHash(key []byte) int32 {
	h := int32(0)
	for i := 0; i < len(key); {
		if c := key[i]; c < utf8.RuneSelf {
			h = 31*h + int32(c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(key[i:])
		i += size
		if r < 0x10000 {
			h = 31*h + r
			continue
		}
		r -= 0x10000
		h = 31*h + (0xd800 + r>>10)
		h = 31*h + (0xdc00 + r&0x3ff)
	}
	return (31 + h) & math.MaxInt32
}

// Partition returns the partition of a key. With a number of buckets that divides the number of partitions, all records of a partition
// belong to one bucket.
func Partition(key []byte, partitions int32) int32 { return BucketHash(key) % partitions }
