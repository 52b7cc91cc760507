package inspect

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// victim is a table to break. Its methods fail the test when there is nothing to break.
type victim struct {
	*testing.T
	storage.Store
}

func (v victim) get(key string) []byte {
	v.Helper()
	data, _, err := v.Store.Get(v.Context(), key)
	if err != nil {
		v.Fatal(err)
	}
	return data
}

func (v victim) put(key string, data []byte) {
	v.Helper()
	if _, err := v.Store.Put(v.Context(), key, data, storage.Condition{}); err != nil {
		v.Fatal(err)
	}
}

func (v victim) remove(key string) {
	v.Helper()
	v.get(key)
	if err := v.Store.Delete(v.Context(), key); err != nil {
		v.Fatal(err)
	}
}

func (v victim) edit(key, from, to string) {
	v.Helper()
	data := v.get(key)
	if !bytes.Contains(data, []byte(from)) {
		v.Fatalf("no %s in %s", from, data)
	}
	v.put(key, bytes.Replace(data, []byte(from), []byte(to), 1))
}

// keys are the keys that a pattern of path.Match fits, or of their last element.
func (v victim) keys(prefix, pattern string) []string {
	v.Helper()
	var found []string
	for info, err := range v.Store.List(v.Context(), prefix) {
		if err != nil {
			v.Fatal(err)
		}
		if ok, err := path.Match(pattern, path.Base(info.Key)); err != nil {
			v.Fatal(err)
		} else if ok {
			found = append(found, info.Key)
		}
	}
	if len(found) == 0 {
		v.Fatalf("no %s in %q", pattern, prefix)
	}
	return found
}

// last is the last of the keys.
func (v victim) last(prefix, pattern string) string {
	v.Helper()
	keys := v.keys(prefix, pattern)
	return keys[len(keys)-1]
}

// rename gives the files of an instant's states another instant.
func (v victim) rename(from, to timeline.Instant) {
	v.Helper()
	for _, key := range v.keys(timeline.Prefix, string(from)+".*") {
		v.put(strings.Replace(key, string(from), string(to), 1), v.get(key))
		v.remove(key)
	}
}

// recommit changes what the newest commit says.
func (v victim) recommit(change func(c *meta.Commit)) {
	v.Helper()
	encode, prefix := meta.Commit.Encode, timeline.Prefix
	if !strings.Contains(string(v.get(meta.PropertiesKey)), meta.TimelineLayout+"=1") {
		encode, prefix = meta.Commit.EncodeOCF, timeline.Layout2.Prefix()
	}
	key := v.last(prefix, "*commit")
	c, err := meta.ParseCommit(v.get(key))
	if err != nil {
		v.Fatal(err)
	}
	change(c)
	data, err := encode(*c)
	if err != nil {
		v.Fatal(err)
	}
	v.put(key, data)
}

// restat changes what the newest commit says of one file, and returns the file's key.
func (v victim) restat(change func(s *meta.WriteStat)) (file string) {
	v.Helper()
	v.recommit(func(c *meta.Commit) {
		for _, partition := range sortedKeys(c.PartitionToWriteStats) {
			s := &c.PartitionToWriteStats[partition][0]
			file = *s.Path
			change(s)
			return
		}
	})
	return file
}

func sortedKeys[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// rewrite makes the newest commit's first base file anew by add, and makes the commit agree with it.
func (v victim) rewrite(add func(w *basefile.Writer, old *basefile.Reader)) {
	v.Helper()
	v.restat(func(s *meta.WriteStat) {
		data := v.get(*s.Path)
		old, err := basefile.OpenReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			v.Fatal(err)
		}
		f, err := fileslice.ParseKey(*s.Path)
		if err != nil {
			v.Fatal(err)
		}
		var out bytes.Buffer
		w, err := basefile.NewWriter(&out, basefile.Config{
			TableSchema: ownSchema, WriterSchemas: []string{ownSchema}, CommitTime: string(f.Instant), PartitionPath: f.Partition, FileName: f.Name(),
		})
		if err != nil {
			v.Fatal(err)
		}
		add(w, old)
		footer, err := w.Close()
		if err != nil {
			v.Fatal(err)
		}
		v.put(*s.Path, out.Bytes())
		s.NumInserts += footer.Rows - s.NumWrites
		s.NumWrites, s.FileSizeInBytes = footer.Rows, int64(out.Len())
	})
}

// addRow adds a row to the newest commit's first base file, in the session of the file's first row: with the key of one event and the columns
// of another, "" being the first row's own.
func (v victim) addRow(keyEvent, event, day string) {
	v.Helper()
	v.rewrite(func(w *basefile.Writer, old *basefile.Reader) {
		if _, err := w.CopyFrom(v.Context(), old, nil); err != nil {
			v.Fatal(err)
		}
		keys, err := old.Keys()
		if err != nil {
			v.Fatal(err)
		}
		session, _ := keyField(keys[0], "session_id")
		first, _ := keyField(keys[0], "event_id")
		record := basefile.Record{
			Key:     "session_id:" + session + ",event_id:" + cmp.Or(keyEvent, first),
			Payload: ownPayload(session, cmp.Or(event, first), day, 1),
		}
		if err := w.Append(record); err != nil {
			v.Fatal(err)
		}
	})
}

// footer is the text of a key in a base file's footer.
func (v victim) footer(file, key string) string {
	v.Helper()
	data := v.get(file)
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true))
	if err != nil {
		v.Fatal(err)
	}
	text, ok := f.Lookup(key)
	if !ok {
		v.Fatalf("no %s in the footer of %s", key, file)
	}
	return text
}

// unsignedDecimals gives the prices of a base file the bounds that a writer finds which compares their bytes as unsigned: zero is the
// least of them, and of the negative ones the one next to zero the greatest.
func unsignedDecimals(v victim) {
	file := v.restat(func(*meta.WriteStat) {})
	data := v.get(file)
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true))
	if err != nil {
		v.Fatal(err)
	}
	chunk := f.Metadata().RowGroups[0].Columns
	tail := int(chunk[0].ColumnIndexOffset) // the indexes and the footer are behind the data
	for from, to := range map[int64]int64{ownPrice(0): ownPrice(3), ownPrice(6): ownPrice(2)} {
		signed, unsigned := binary.BigEndian.AppendUint64(nil, uint64(from)), binary.BigEndian.AppendUint64(nil, uint64(to))
		if bytes.Count(data[tail:], signed) < 2 {
			v.Fatalf("price %d is not in the footer and the page index", from)
		}
		copy(data[tail:], bytes.ReplaceAll(data[tail:], signed, unsigned))
	}
	v.put(file, data)
}

// longDecimals puts a base file there whose prices are decimals in an INT64, which Parquet allows.
func longDecimals(v victim) {
	type row struct {
		CommitTime string `parquet:"_hoodie_commit_time,optional"`
		SeqNo      string `parquet:"_hoodie_commit_seqno,optional"`
		Key        string `parquet:"_hoodie_record_key,optional"`
		Partition  string `parquet:"_hoodie_partition_path,optional"`
		File       string `parquet:"_hoodie_file_name,optional"`
		Price      int64  `parquet:"price,decimal(4:18)"`
	}
	f, err := fileslice.ParseKey(v.restat(func(*meta.WriteStat) {}))
	if err != nil {
		v.Fatal(err)
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[row](&out)
	at := string(f.Instant)
	if _, err := w.Write([]row{{at, at + "_0_0", "session_id:s-0,event_id:e-0", f.Partition, f.Name(), 5}}); err != nil {
		v.Fatal(err)
	}
	if err := w.Close(); err != nil {
		v.Fatal(err)
	}
	v.put(f.Key(), out.Bytes())
}
