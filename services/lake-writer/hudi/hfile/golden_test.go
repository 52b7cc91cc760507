package hfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
)

const (
	emptyFile     = "hudi_1_0_hbase_2_4_9_no_entry.hfile"
	plainFile     = "hudi_1_0_hbase_2_4_9_16KB_NONE_5000.hfile"
	nonUniqueFile = "hudi_1_0_hbase_2_4_9_16KB_GZ_200_20_non_unique.hfile"
	hbaseFiles    = "hbase-files.hfile"
	nativeFiles   = "native-files.hfile"
)

func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	data, ok := goldentest.Files(tb, "testdata/golden.zip")[name]
	if !ok {
		tb.Fatalf("%s is not in the archive", name)
	}
	return data
}

func open(tb testing.TB, data []byte) *hfile.Reader {
	tb.Helper()
	r, err := hfile.OpenReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func entries(tb testing.TB, r *hfile.Reader) []hfile.Entry {
	tb.Helper()
	var all []hfile.Entry
	for e, err := range r.Entries() {
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestGolden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		entries     int
		first, last string
		info        map[string]string
		meta        string
	}{
		{emptyFile, 0, "", "", map[string]string{"bloomFilterTypeCode": "DYNAMIC_V0", "minRecordKey": ""}, "bloomFilter"},
		{
			plainFile, 5000, "hudi-key-000000000", "hudi-key-000004999",
			map[string]string{"hudi_hfile_testing.custom_key": "hudi_custom_value"},
			"bloomFilter",
		},
		{
			nonUniqueFile, 200 * 21, "hudi-key-000000000", "hudi-key-000000199",
			map[string]string{"hudi_hfile_testing.custom_key": "hudi_custom_value"},
			"bloomFilter",
		},
		{
			hbaseFiles, 5, "__all_partitions__", "dt=2026-01-01/hr=03",
			map[string]string{"maxRecordKey": "dt=2026-01-01/hr=03"},
			"bloomFilter",
		},
		{
			nativeFiles, 5, "__all_partitions__", "dt=2026-01-01/hr=03",
			map[string]string{"maxRecordKey": "dt=2026-01-01/hr=03"},
			"bloomFilter",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := open(t, golden(t, c.name))
			all := entries(t, r)
			if len(all) != c.entries || r.Len() != int64(c.entries) {
				t.Fatalf("%d entries, trailer %d, want %d", len(all), r.Len(), c.entries)
			}
			if c.entries > 0 && (string(all[0].Key) != c.first || string(all[len(all)-1].Key) != c.last) {
				t.Errorf("keys %q to %q", all[0].Key, all[len(all)-1].Key)
			}
			for name, want := range c.info {
				if got, ok := r.Info(name); !ok || string(got) != want {
					t.Errorf("info %s = %q, %v", name, got, ok)
				}
			}
			if _, ok := r.Info("nothing"); ok {
				t.Error("an unknown name has info")
			}
			if payload, ok, err := r.Meta(c.meta); err != nil || !ok || len(payload) == 0 {
				t.Errorf("meta %s: %d bytes, %v, %v", c.meta, len(payload), ok, err)
			}
			if _, ok, err := r.Meta("nothing"); ok || err != nil {
				t.Errorf("unknown meta block: %v, %v", ok, err)
			}
			seen := make(map[string]bool)
			for _, e := range all {
				if seen[string(e.Key)] {
					continue
				}
				seen[string(e.Key)] = true // of several values the first is found
				if v, ok, err := r.Get(e.Key); err != nil || !ok || !bytes.Equal(v, e.Value) {
					t.Fatalf("Get(%s) = %q, %v, %v; want %q", e.Key, v, ok, err, e.Value)
				}
			}
			for _, absent := range []string{"", "\x00", "\xff\xff", c.first + "\x00", c.last + "\x00", "dt=2026-01-01/hr=0"} {
				if _, ok, err := r.Get([]byte(absent)); ok || err != nil {
					t.Errorf("Get(%q): %v, %v", absent, ok, err)
				}
			}
		})
	}
}

func TestGoldenValues(t *testing.T) {
	t.Parallel()
	for i, e := range entries(t, open(t, golden(t, plainFile))) {
		if want := fmt.Sprintf("hudi-value-%09d", i); string(e.Value) != want {
			t.Fatalf("entry %d is %q", i, e.Value)
		}
	}
	at := make(map[string]int)
	for _, e := range entries(t, open(t, golden(t, nonUniqueFile))) {
		var key, nth int
		if n, err := fmt.Sscanf(string(e.Key), "hudi-key-%d", &key); n != 1 || err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("hudi-value-%09d", key)
		if nth = at[string(e.Key)]; nth > 0 {
			want += fmt.Sprintf("_%d", nth-1)
		}
		if at[string(e.Key)]++; string(e.Value) != want {
			t.Fatalf("value %d of %s is %q, want %q", nth, e.Key, e.Value, want)
		}
	}
}

// TestOpenRefuses: what is sound but not read is told apart from what is broken.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	data := golden(t, nativeFiles)
	version := bytes.Clone(data)
	version[len(version)-1] = 2
	if _, err := hfile.OpenReader(bytes.NewReader(version), int64(len(version))); !isUnsupported(err) {
		t.Errorf("version 2: %v", err)
	}
	codec := bytes.Clone(data)
	i := bytes.LastIndex(codec, []byte("KVComparator")) + len("KVComparator")
	if codec[i] != 12<<3 {
		t.Fatalf("no codec behind the comparator but %#x", codec[i])
	}
	codec[i+1] = 3
	if _, err := hfile.OpenReader(bytes.NewReader(codec), int64(len(codec))); !isUnsupported(err) {
		t.Errorf("Snappy: %v", err)
	}
}

func isUnsupported(err error) bool {
	var u *hfile.UnsupportedError
	return errors.As(err, &u)
}

func isCorrupt(err error) bool {
	var c *hfile.CorruptError
	return errors.As(err, &c)
}
