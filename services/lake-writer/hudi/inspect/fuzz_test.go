package inspect

import (
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// FuzzVerify changes bytes of one file of a table: Verify and the looks at it end, with a report or an error.
func FuzzVerify(f *testing.F) {
	table := newOwnTable(f, hudi.MergeOnRead).commits(f, 2)
	if _, err := table.writer.Compact(f.Context(), hudi.CompactOptions{}); err != nil {
		f.Fatal(err)
	}
	table.commit(f)
	files := make(map[string][]byte)
	var keys []string
	for info, err := range table.List(f.Context(), "") {
		if err != nil {
			f.Fatal(err)
		}
		data, _, err := table.Get(f.Context(), info.Key)
		if err != nil {
			f.Fatal(err)
		}
		keys, files[info.Key] = append(keys, info.Key), data
	}
	for file := range keys {
		for _, at := range []uint16{40} {
			f.Add(uint8(file), at, []byte{0xff, 0x00, 0x7f})
		}
	}
	f.Fuzz(func(t *testing.T, file uint8, at uint16, change []byte) {
		store := storage.NewMem()
		spoilt := keys[int(file)%len(keys)]
		for key, data := range files {
			if key == spoilt && len(data) > 0 {
				data = append([]byte{}, data...)
				copy(data[int(at)%len(data):], change)
			}
			if _, err := store.Put(t.Context(), key, data, storage.Condition{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Verify(t.Context(), store, Options{Now: instantsNow}); err != nil {
			t.Logf("verify: %v", err)
		}
		looked, err := Open(t.Context(), store)
		if err != nil {
			return
		}
		instants, err := looked.Instants(t.Context(), true)
		if err != nil {
			t.Logf("instants: %v", err)
		}
		for _, i := range instants {
			if _, err := looked.ShowInstant(t.Context(), i.Instant); err != nil {
				t.Logf("instant: %v", err)
			}
		}
		err = looked.ShowLog(t.Context(), spoilt, func(Block) error { return nil }, func(Record) error { return nil })
		if err != nil {
			t.Logf("log: %v", err)
		}
	})
}
