package inspect

import (
	"hash/maphash"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
)

// buckets is a table's bucket index; count is 0 when it is not known or there is none.
type buckets struct {
	count     int
	field     string // or several, with commas between; "" are the key's
	keyFields []string
}

func (b buckets) known() bool { return b.count > 0 }

// of is the bucket of a record key; ok is false when the key does not have the bucket's fields.
func (b buckets) of(recordKey string) (bucket int, ok bool) {
	fields := b.keyFields
	if b.field != "" {
		fields = strings.Split(b.field, ",")
	}
	values := make([]string, len(fields))
	for i, field := range fields {
		if values[i], ok = keyField(recordKey, field); ok {
			continue
		}
		if len(b.keyFields) != 1 || field != b.keyFields[0] {
			return 0, false
		}
		values[i] = recordKey // the simple key generator's text is the value
	}
	return keys.Bucket(b.count, values...), true
}

// keyField takes a field's value out of a complex key, whose values have no comma.
func keyField(recordKey, field string) (value string, ok bool) {
	for part := range strings.SplitSeq(recordKey, ",") {
		if value, ok = strings.CutPrefix(part, field+":"); ok {
			return value, true
		}
	}
	return "", false
}

// keySet remembers keys by 128 bits of their hash, with a number for each.
type keySet struct {
	seeds [2]maphash.Seed
	found map[[2]uint64]int32
}

func newKeySet() *keySet {
	return &keySet{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, found: make(map[[2]uint64]int32)}
}

// put adds a key; when it is there already, it says with which number.
func (k *keySet) put(key string, number int32) (earlier int32, twice bool) {
	id := [2]uint64{maphash.String(k.seeds[0], key), maphash.String(k.seeds[1], key)}
	if earlier, twice = k.found[id]; !twice {
		k.found[id] = number
	}
	return earlier, twice
}

func (k *keySet) clear() { clear(k.found) }
