package basefile

import (
	"bytes"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
)

// keyList keeps the record keys of a file in one piece of memory.
type keyList struct {
	texts []byte
	ends  []int
}

func (k *keyList) add(key string) {
	k.texts = append(k.texts, key...)
	k.ends = append(k.ends, len(k.texts))
}

func (k *keyList) addBytes(key []byte) {
	k.texts = append(k.texts, key...)
	k.ends = append(k.ends, len(k.texts))
}

func (k *keyList) reset() { k.texts, k.ends = k.texts[:0], k.ends[:0] }

func (k *keyList) all(yield func([]byte) bool) {
	from := 0
	for _, end := range k.ends {
		if !yield(k.texts[from:end]) {
			return
		}
		from = end
	}
}

// bounds are the least and the greatest key in the order of their bytes.
func (k *keyList) bounds() (low, high string) {
	var l, h []byte
	for key := range k.all {
		if l == nil || bytes.Compare(key, l) < 0 {
			l = key
		}
		if h == nil || bytes.Compare(key, h) > 0 {
			h = key
		}
	}
	return string(l), string(h)
}

func (k *keyList) bloom(falsePositives float64) string {
	f := bloom.New(len(k.ends), falsePositives)
	for key := range k.all {
		f.Add(key)
	}
	return f.Marshal()
}
