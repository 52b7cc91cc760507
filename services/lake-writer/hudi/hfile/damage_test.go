package hfile_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
)

// readAll does everything that a reader can do and returns the first error.
func readAll(data []byte) error {
	r, err := hfile.OpenReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	for e, err := range r.Entries() {
		if err != nil {
			return err
		}
		if _, _, err := r.Get(e.Key); err != nil {
			return err
		}
	}
	for _, name := range []string{"bloomFilter", "m"} {
		if _, _, err := r.Meta(name); err != nil {
			return err
		}
	}
	_, _, err = r.Get([]byte("dt="))
	return err
}

// small is a file with several blocks of each kind, short enough to be damaged at every byte.
func small(tb testing.TB, o hfile.Options) []byte {
	tb.Helper()
	var all []hfile.Entry
	for i := range 12 {
		all = append(all, hfile.Entry{Key: fmt.Appendf(nil, "k%02d", i), Value: fmt.Appendf(nil, "value %d", i)})
	}
	o.BlockBytes = 120
	return write(tb, o, all, map[string][]byte{"schema": []byte("{}")}, map[string][]byte{"m": []byte("meta"), "bloomFilter": []byte("bits")})
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, o hfile.Options) {
		data := small(t, o)
		if err := readAll(data); err != nil {
			t.Fatal(err)
		}
		trailer := len(data) - 4096
		for n := range data {
			if err := readAll(data[:n]); !isCorrupt(err) && !isUnsupported(err) {
				t.Fatalf("the first %d bytes: %v", n, err)
			}
			if n >= trailer {
				continue
			}
			lost := append(bytes.Clone(data[:n]), data[trailer:]...) // the trailer is whole, the end before it is not
			if err := readAll(lost); !isCorrupt(err) {
				t.Fatalf("without the bytes %d to %d: %v", n, trailer, err)
			}
		}
	})
}

// TestFlipped changes every byte. Hudi's own files have no checksums, so only HBase's dialect can promise that damage to data is seen.
func TestFlipped(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, o hfile.Options) {
		data := small(t, o)
		trailer := len(data) - 4096
		for i := range data {
			if i > trailer+150 && i < len(data)-4 {
				continue // the trailer's padding
			}
			for _, mask := range []byte{1, 0x80} {
				data[i] ^= mask
				err := readAll(data)
				data[i] ^= mask
				switch {
				case err != nil && !isCorrupt(err) && !isUnsupported(err):
					t.Fatalf("byte %d: %v", i, err)
				case err == nil && i < trailer && o.Dialect == hfile.HBase:
					t.Errorf("byte %d ^ %#x of %d went unseen", i, mask, trailer)
				}
			}
		}
	})
}

// TestWrongCount: a file with fewer entries than its trailer says has lost some.
func TestWrongCount(t *testing.T) {
	t.Parallel()
	data := small(t, hfile.Options{})
	trailer := data[len(data)-4096:]
	count := bytes.Index(trailer, []byte{7 << 3, 12, 8 << 3, 1})
	if count < 0 {
		t.Fatal("the trailer has no count of 12 before one level")
	}
	trailer[count+1]++
	if err := readAll(data); !isCorrupt(err) {
		t.Errorf("13 entries announced, 12 there: %v", err)
	}
}

// TestDeclaredLengths: lengths that the file has no bytes for are refused without the memory for them. Not parallel: it measures.
func TestDeclaredLengths(t *testing.T) {
	data := small(t, hfile.Options{Dialect: hfile.Native})
	for _, field := range []int{8, 12, 29} {
		for _, value := range [][]byte{{0x7f, 0xff, 0xff, 0xff}, {0x0f, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0}} {
			damaged := bytes.Clone(data)
			copy(damaged[field:], value)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := readAll(damaged)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; !isCorrupt(err) || used > 4<<20 {
				t.Errorf("field at %d is % x: %v, %d bytes allocated", field, value, err, used)
			}
		}
	}
}

// FuzzReader: nothing panics, every error says what it is, and a walk without an error has as many entries as the trailer says.
func FuzzReader(f *testing.F) {
	for _, name := range []string{emptyFile, hbaseFiles, nativeFiles} {
		f.Add(golden(f, name))
	}
	for _, o := range []hfile.Options{{}, {Codec: hfile.None}, {Dialect: hfile.Native}, {Dialect: hfile.Native, Codec: hfile.None}} {
		f.Add(small(f, o))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := hfile.OpenReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if !isCorrupt(err) && !isUnsupported(err) {
				t.Fatal(err)
			}
			return
		}
		var all []hfile.Entry
		whole := true
		for e, err := range r.Entries() {
			if whole = err == nil; whole {
				all = append(all, e)
			} else if !isCorrupt(err) {
				t.Fatal(err)
			}
		}
		if whole && int64(len(all)) != r.Len() {
			t.Errorf("%d entries where the trailer has %d", len(all), r.Len())
		}
		for _, e := range all[:min(len(all), 50)] {
			if _, _, err := r.Get(e.Key); err != nil && !isCorrupt(err) {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"bloomFilter", "m"} {
			if _, _, err := r.Meta(name); err != nil && !isCorrupt(err) {
				t.Fatal(err)
			}
		}
	})
}
