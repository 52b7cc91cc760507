package hfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
)

func write(tb testing.TB, o hfile.Options, all []hfile.Entry, infos, metas map[string][]byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := hfile.NewWriter(&out, o)
	for _, e := range all {
		if err := w.Append(e.Key, e.Value); err != nil {
			tb.Fatal(err)
		}
	}
	for name, v := range infos {
		w.AddInfo(name, v)
	}
	for name, v := range metas {
		w.AddMeta(name, v)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func dialects(t *testing.T, test func(t *testing.T, o hfile.Options)) {
	for name, o := range map[string]hfile.Options{
		"hbase gzip": {}, "native gzip": {Dialect: hfile.Native},
		"hbase none": {Codec: hfile.None}, "native none": {Dialect: hfile.Native, Codec: hfile.None},
	} {
		o.BlockBytes = 1000
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, o)
		})
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	var all []hfile.Entry
	for i := range 1000 {
		key := fmt.Appendf(nil, "key-%05d", 2*(i-i%7/6)) // some keys twice
		all = append(all, hfile.Entry{Key: key, Value: bytes.Repeat([]byte{byte(i)}, i%400)})
	}
	all = append(all, hfile.Entry{Key: []byte("z" + strings.Repeat("long", 8000)), Value: make([]byte, 40_000)})
	metas := map[string][]byte{"bloomFilter": []byte("filter"), "another": make([]byte, 70_000), "empty": {}}
	infos := map[string][]byte{"schema": []byte("{}"), "minRecordKey": []byte("key-00000")}
	dialects(t, func(t *testing.T, o hfile.Options) {
		o.Created = time.UnixMilli(1234)
		r := open(t, write(t, o, all, infos, metas))
		got := entries(t, r)
		if len(got) != len(all) {
			t.Fatalf("%d entries of %d", len(got), len(all))
		}
		first := make(map[string][]byte)
		for i, e := range got {
			if !bytes.Equal(e.Key, all[i].Key) || !bytes.Equal(e.Value, all[i].Value) {
				t.Fatalf("entry %d is %q: %q", i, e.Key, e.Value)
			}
			if _, seen := first[string(e.Key)]; !seen {
				first[string(e.Key)] = e.Value
			}
		}
		for key, want := range first {
			if v, ok, err := r.Get([]byte(key)); err != nil || !ok || !bytes.Equal(v, want) {
				t.Fatalf("Get(%.20q) = %d bytes, %v, %v", key, len(v), ok, err)
			}
			if _, ok, err := r.Get([]byte(key + "!")); ok || err != nil { // between two keys, in blocks and at their borders
				t.Fatalf("Get(%.20q!): %v, %v", key, ok, err)
			}
		}
		for name, want := range metas {
			if v, ok, err := r.Meta(name); err != nil || !ok || !bytes.Equal(v, want) {
				t.Errorf("meta %s: %d bytes, %v, %v", name, len(v), ok, err)
			}
		}
		for name, want := range infos {
			if v, ok := r.Info(name); !ok || !bytes.Equal(v, want) {
				t.Errorf("info %s = %q, %v", name, v, ok)
			}
		}
		if v, _ := r.Info("hfile.CREATE_TIME_TS"); !bytes.Equal(v, []byte{0, 0, 0, 0, 0, 0, 4, 210}) {
			t.Errorf("created %v", v)
		}
	})
}

func TestRoundTripEmpty(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, o hfile.Options) {
		r := open(t, write(t, o, nil, nil, nil))
		if got := entries(t, r); len(got) != 0 || r.Len() != 0 {
			t.Errorf("%d entries", len(got))
		}
		if _, ok, err := r.Get([]byte("a")); ok || err != nil {
			t.Errorf("Get: %v, %v", ok, err)
		}
		if last, ok := r.Info("hfile.LASTKEY"); ok != (o.Dialect == hfile.Native) || len(last) != 0 {
			t.Errorf("last key %q, %v", last, ok)
		}
	})
}

// TestLikeTheOriginal writes the entries of golden files again in their dialect: all but compression and time must be as it was.
func TestLikeTheOriginal(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]hfile.Dialect{
		emptyFile: hfile.HBase, plainFile: hfile.HBase, nonUniqueFile: hfile.HBase, hbaseFiles: hfile.HBase, nativeFiles: hfile.Native,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original := open(t, golden(t, name))
			filter, _, err := original.Meta("bloomFilter")
			if err != nil {
				t.Fatal(err)
			}
			data := write(t, hfile.Options{Dialect: dialect}, entries(t, original), original.Infos(), map[string][]byte{"bloomFilter": filter})
			again := open(t, data)
			for key, want := range original.Infos() {
				if got, _ := again.Info(key); key != "hfile.CREATE_TIME_TS" && !bytes.Equal(got, want) {
					t.Errorf("info %s = %q, want %q", key, got, want)
				}
			}
			if len(again.Infos()) != len(original.Infos()) {
				t.Errorf("infos %v, want %v", again.Infos(), original.Infos())
			}
			if version, want := data[len(data)-4:], golden(t, name); !bytes.Equal(version, want[len(want)-4:]) {
				t.Errorf("version %v", version)
			}
		})
	}
}

// TestBackLinks: HBase's blocks name the one of their kind before them, and Hudi's do not.
func TestBackLinks(t *testing.T) {
	t.Parallel()
	for dialect, linked := range map[hfile.Dialect]bool{hfile.HBase: true, hfile.Native: false} {
		data := small(t, hfile.Options{Dialect: dialect, Codec: hfile.None})
		before := map[string]int64{}
		blocks := 0
		for at := int64(0); at < int64(len(data)-4096); blocks++ {
			header := data[at : at+33]
			want := int64(-1)
			if last, ok := before[string(header[:8])]; ok && linked {
				want = last
			}
			if got := int64(binary.BigEndian.Uint64(header[16:])); got != want {
				t.Errorf("dialect %d: block %s at %d is linked to %d, want %d", dialect, header[:8], at, got, want)
			}
			before[string(header[:8])] = at
			at += 33 + int64(binary.BigEndian.Uint32(header[8:]))
		}
		if blocks < 8 {
			t.Errorf("dialect %d: %d blocks", dialect, blocks)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	t.Parallel()
	w := hfile.NewWriter(&bytes.Buffer{}, hfile.Options{})
	if err := w.Append([]byte("b"), nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"", "a", strings.Repeat("c", 1<<15)} {
		if err := w.Append([]byte(key), nil); err == nil {
			t.Errorf("key %.10q was taken", key)
		}
	}
	if err := w.Append([]byte("b"), nil); err != nil { // a refused key changes nothing
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if w.Append([]byte("c"), nil) == nil || w.Close() == nil {
		t.Error("a closed writer goes on")
	}
}

// failingWriter fails the call that would bring it beyond some bytes.
type failingWriter struct{ left int }

var errFull = errors.New("full")

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriterKeepsTheFirstError(t *testing.T) {
	t.Parallel()
	for limit := range 400 {
		w := hfile.NewWriter(&failingWriter{left: 10 * limit}, hfile.Options{BlockBytes: 100})
		var err error
		for i := 0; i < 50 && err == nil; i++ {
			err = w.Append(fmt.Appendf(nil, "%03d", i), make([]byte, 30))
		}
		w.AddMeta("m", []byte("x"))
		if closing := w.Close(); !errors.Is(closing, errFull) {
			t.Fatalf("room for %d bytes: %v, %v", 10*limit, err, closing)
		}
	}
}
