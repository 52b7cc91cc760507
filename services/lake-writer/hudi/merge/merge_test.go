package merge

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	testSchema = `{"type":"record","name":"r","fields":[{"name":"id","type":["null","string"],"default":null},` +
		`{"name":"at","type":["null","long"],"default":null},{"name":"v","type":["null","string"],"default":null},` +
		`{"name":"_hoodie_is_deleted","type":["null","boolean"],"default":null}]}`
	null = -1 << 62 // stands for no ordering value
)

// event is something that happens to key "k": a record, or a deletion.
type event struct {
	at       int64  // ordering value, null for none
	value    string // of a record
	softly   bool   // a record that says it is deleted
	deletion *logfile.Ordering
}

func put(at int64, value string) event { return event{at: at, value: value} }
func drop(o logfile.Ordering) event    { return event{deletion: &o} }
func soft(at int64) event              { return event{at: at, softly: true} }

func payload(e event) []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendVarint(append(b, 2), int64(len(s))), s...) }
	b := text(nil, "k")
	if e.at == null {
		b = append(b, 0)
	} else {
		b = binary.AppendVarint(append(b, 2), e.at)
	}
	b = text(b, e.value)
	if e.softly {
		return append(b, 2, 1)
	}
	return append(b, 0)
}

// logOf is a log file with an Avro block for each event, of instants that rise.
func logOf(t *testing.T, first int, events ...event) []byte {
	t.Helper()
	return logAs(t, logfile.AvroData, first, events...)
}

// logAs is the same with data blocks of either format.
func logAs(t *testing.T, format logfile.BlockType, first int, events ...event) []byte {
	t.Helper()
	schema, err := basefile.WithMetaFields(testSchema)
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	for i, e := range events {
		instant := timeline.Instant(fmt.Sprintf("202601010000%05d", first+i))
		if e.deletion != nil {
			file = logfile.AppendBlock(file, logfile.DeleteBlock(instant, schema, []logfile.DeleteRecord{{Key: "k", Ordering: *e.deletion}}))
			continue
		}
		if format == logfile.ParquetData {
			file = logfile.AppendBlock(file, logfile.ParquetBlock(instant, schema, parquetOf(t, testSchema, instant, payload(e))))
			continue
		}
		b := logfile.NewDataBlock(instant, schema)
		b.Add(logfile.Meta{CommitTime: string(instant), SeqNo: string(instant) + "_0_0", Key: "k", Partition: "p", FileID: "f"}, payload(e))
		file = b.AppendTo(file)
	}
	return file
}

// parquetOf is the Parquet file of a block that holds one record of key "k".
func parquetOf(tb testing.TB, schema string, instant timeline.Instant, payload []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := basefile.NewWriter(&out, basefile.Config{
		TableSchema: schema, WriterSchemas: []string{schema}, CommitTime: string(instant), PartitionPath: "p", FileName: "f",
	})
	if err == nil {
		err = w.Append(basefile.Record{Key: "k", Payload: payload})
	}
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func baseOf(t *testing.T, e event) *basefile.Reader {
	t.Helper()
	var out bytes.Buffer
	w, err := basefile.NewWriter(&out, basefile.Config{
		TableSchema: testSchema, WriterSchemas: []string{testSchema}, CommitTime: "20250101000000000", PartitionPath: "p", FileName: "base.parquet",
	})
	if err == nil {
		err = w.Append(basefile.Record{Key: "k", Payload: payload(e)})
	}
	if err == nil {
		_, err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return open(t, out.Bytes())
}

func open(t testing.TB, file []byte) *basefile.Reader {
	t.Helper()
	r, err := basefile.OpenReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func source(file []byte) Source {
	return Source{Name: "log", Open: func(context.Context) (io.ReaderAt, int64, error) { return bytes.NewReader(file), int64(len(file)), nil }}
}

// valueOf is column v of the only row, "" when there is none.
func valueOf(t *testing.T, cfg Config, base *basefile.Reader, logs ...Source) string {
	t.Helper()
	value, rows := "", 0
	for row, err := range Rows(t.Context(), cfg, base, logs, nil) {
		if err != nil {
			t.Fatal(err)
		}
		v, _ := row.Get("v")
		value, rows = v.(string), rows+1
	}
	if rows > 1 {
		t.Errorf("%d rows of one key", rows)
	}
	return value
}

// compacted is the same after a compaction.
func compacted(t *testing.T, cfg Config, base *basefile.Reader, logs ...Source) string {
	t.Helper()
	var out bytes.Buffer
	w, err := basefile.NewWriter(&out, basefile.Config{
		TableSchema: testSchema, CommitTime: "20270101000000000", PartitionPath: "p", FileName: "new.parquet",
	})
	if err != nil {
		t.Fatal(err)
	}
	stats, err := Compact(t.Context(), cfg, base, logs, w)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Close()
	if errors.Is(err, basefile.ErrNoRows) && stats.Rows == 0 {
		return ""
	}
	if err != nil || stats.Rows != 1 {
		t.Fatalf("%+v, %v", stats, err)
	}
	for row, err := range open(t, out.Bytes()).Rows(nil) {
		if err != nil {
			t.Fatal(err)
		}
		v, _ := row.Get("v")
		if name, _ := row.Get("_hoodie_file_name"); name != "new.parquet" {
			t.Errorf("file name %v", name)
		}
		return v.(string)
	}
	return ""
}

// TestLogRecords: a compaction's totalLogRecords are the records of data blocks, those that say they are deleted among them; Hudi does not count
// what is in delete blocks.
func TestLogRecords(t *testing.T) {
	t.Parallel()
	log := logOf(t, 0, put(1, "a"), drop(logfile.LongOrdering(2)), soft(3), put(4, "b"))
	w, err := basefile.NewWriter(io.Discard, basefile.Config{
		TableSchema: testSchema, CommitTime: "20270101000000000", PartitionPath: "p", FileName: "new.parquet",
	})
	if err != nil {
		t.Fatal(err)
	}
	stats, err := Compact(t.Context(), Config{TableSchema: testSchema, Ordering: "at"}, nil, []Source{source(log)}, w)
	if err != nil || stats.LogRecords != 3 || stats.LogBlocks != 4 {
		t.Errorf("%+v, %v; want 3 records in 4 blocks", stats, err)
	}
}

// TestRules: every rule of merging, with and without a base file below.
func TestRules(t *testing.T) {
	t.Parallel()
	always, at := logfile.IntOrdering(0), logfile.LongOrdering
	for name, tc := range map[string]struct {
		base *event
		logs []event
		want string // by event time
		late string // by commit time
	}{
		"newer wins":                          {nil, []event{put(1, "a"), put(2, "b")}, "b", "b"},
		"older loses":                         {nil, []event{put(2, "a"), put(1, "b")}, "a", "b"},
		"of equal ones the later wins":        {nil, []event{put(2, "a"), put(2, "b")}, "b", "b"},
		"null loses":                          {nil, []event{put(1, "a"), put(null, "b")}, "a", "b"},
		"null wins over null":                 {nil, []event{put(null, "a"), put(null, "b")}, "b", "b"},
		"something wins over null":            {nil, []event{put(null, "a"), put(-5, "b")}, "b", "b"},
		"deletion always wins":                {nil, []event{put(9, "a"), drop(always)}, "", ""},
		"a record behind it wins":             {nil, []event{drop(always), put(1, "a")}, "a", "a"},
		"newer deletion":                      {nil, []event{put(5, "a"), drop(at(6))}, "", ""},
		"deletion of the same value":          {nil, []event{put(5, "a"), drop(at(5))}, "", ""},
		"older deletion loses":                {nil, []event{put(5, "a"), drop(at(4))}, "a", ""},
		"record behind a newer deletion":      {nil, []event{drop(at(6)), put(5, "a")}, "", "a"},
		"deletion of another class":           {nil, []event{put(5, "a"), drop(logfile.DoubleOrdering(1))}, "", ""},
		"the first deletion stays":            {nil, []event{drop(always), drop(at(100)), put(50, "a")}, "a", "a"},
		"deleted record":                      {nil, []event{put(1, "a"), soft(2)}, "", ""},
		"older deleted record":                {nil, []event{put(3, "a"), soft(2)}, "a", ""},
		"deleted record without a value":      {nil, []event{put(3, "a"), soft(null)}, "a", ""},
		"base row, newer":                     {&event{at: 1, value: "a"}, []event{put(2, "b")}, "b", "b"},
		"base row, older":                     {&event{at: 2, value: "a"}, []event{put(1, "b")}, "a", "b"},
		"base row, equal":                     {&event{at: 2, value: "a"}, []event{put(2, "b")}, "b", "b"},
		"base row without a value":            {&event{at: null, value: "a"}, []event{put(1, "b")}, "b", "b"},
		"base row, deletion":                  {&event{at: 9, value: "a"}, []event{drop(always)}, "", ""},
		"base row, older deletion":            {&event{at: 9, value: "a"}, []event{drop(at(8))}, "a", ""},
		"base row, deleted without a value":   {&event{at: 50, value: "a"}, []event{soft(null)}, "a", ""},
		"base row, older record behind a del": {&event{at: 9, value: "a"}, []event{drop(always), put(5, "b")}, "a", "b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, want := range map[Mode]string{EventTime: tc.want, CommitTime: tc.late} {
				for _, memory := range []int64{1, 1 << 20} { // spilled, and held
					cfg := Config{TableSchema: testSchema, Ordering: "at", Mode: mode, MemoryBytes: memory, SpillDir: t.TempDir()}
					base := func() *basefile.Reader {
						if tc.base == nil {
							return nil
						}
						return baseOf(t, *tc.base)
					}
					const avro, parquet = logfile.AvroData, logfile.ParquetData
					for _, format := range [][2]logfile.BlockType{{avro, avro}, {parquet, parquet}, {avro, parquet}} {
						whole := source(logAs(t, format[0], 0, tc.logs...))
						if got := valueOf(t, cfg, base(), whole); got != want {
							t.Errorf("mode %d, %v: %q, want %q", mode, format, got, want)
						}
						if got := compacted(t, cfg, base(), whole); got != want {
							t.Errorf("mode %d, %v, compacted: %q, want %q", mode, format, got, want)
						}
						split := []Source{source(logAs(t, format[0], 0, tc.logs[0])), source(logAs(t, format[1], 1, tc.logs[1:]...))}
						if got := valueOf(t, cfg, base(), split...); got != want {
							t.Errorf("mode %d, %v, two files: %q, want %q", mode, format, got, want)
						}
					}
					if left, err := os.ReadDir(cfg.SpillDir); err != nil || len(left) > 0 {
						t.Errorf("%d temporary files are left, %v", len(left), err)
					}
				}
			}
		})
	}
}

// TestWhatCounts: rolled back blocks, those that the reader does not accept, and damaged ones add nothing.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	cfg := Config{TableSchema: testSchema, Ordering: "at"}
	log := logOf(t, 1, put(1, "a"), put(2, "b"), put(3, "c"))
	if got := valueOf(t, cfg, nil, source(log)); got != "c" {
		t.Errorf("all: %q", got)
	}
	undone := logfile.AppendBlock(bytes.Clone(log), logfile.RollbackBlock("20260101000000009", "20260101000000003"))
	if got := valueOf(t, cfg, nil, source(undone)); got != "b" {
		t.Errorf("the last one rolled back: %q", got)
	}
	until := cfg
	until.Accept = func(i timeline.Instant) bool { return i <= "20260101000000001" }
	if got := valueOf(t, until, nil, source(log)); got != "a" {
		t.Errorf("as of the first: %q", got)
	}
	damaged := append(bytes.Clone(log), "#HUDI#junk"...)
	for _, err := range Rows(t.Context(), cfg, nil, []Source{source(damaged)}, nil) {
		if _, ok := errors.AsType[*logfile.CorruptError](err); !ok {
			t.Errorf("damaged log: %v", err)
		}
	}
}

// TestRefused: what this package does not merge is an error that names it.
func TestRefused(t *testing.T) {
	t.Parallel()
	schema, err := basefile.WithMetaFields(testSchema)
	if err != nil {
		t.Fatal(err)
	}
	header := map[logfile.HeaderKey]string{logfile.InstantTime: "20260101000000001", logfile.Schema: schema}
	with := func(key logfile.HeaderKey, value string) map[logfile.HeaderKey]string {
		h := maps.Clone(header)
		h[key] = value
		return h
	}
	for want, b := range map[string]logfile.Block{
		"IS_PARTIAL":            {Type: logfile.AvroData, Header: with(logfile.IsPartial, "true")},
		"COMPACTED_BLOCK_TIMES": {Type: logfile.AvroData, Header: with(logfile.CompactedBlockTimes, "20260101000000000")},
		"block type 6":          {Type: logfile.CDCData, Header: header},
		"HFILE_DATA_BLOCK":      {Type: logfile.HFileData, Header: header},
	} {
		n := 0
		for _, err := range Rows(t.Context(), Config{TableSchema: testSchema}, nil, []Source{source(logfile.AppendBlock(nil, b))}, nil) {
			if e, ok := errors.AsType[*UnsupportedError](err); !ok || e.Header != want {
				t.Errorf("%s: %v", want, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%s: %d answers", want, n)
		}
	}
	broken := errors.New("broken")
	failing := Source{Name: "x", Open: func(context.Context) (io.ReaderAt, int64, error) { return nil, 0, broken }}
	for _, err := range Rows(t.Context(), Config{TableSchema: testSchema}, nil, []Source{failing}, nil) {
		if !errors.Is(err, broken) {
			t.Errorf("a log that does not open: %v", err)
		}
	}
}

// FuzzDatum: no bytes make reading a record panic.
func FuzzDatum(f *testing.F) {
	schema, err := basefile.WithMetaFields(testSchema)
	if err != nil {
		f.Fatal(err)
	}
	m, err := newMerger(Config{TableSchema: testSchema, Ordering: "at"})
	if err != nil {
		f.Fatal(err)
	}
	s, err := m.schema(schema)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(logfile.AppendMeta(nil, logfile.Meta{Key: "k"}), payload(put(5, "a"))...))
	f.Add([]byte{0, 0, 2, 2, 'k', 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, datum []byte) {
		if rec, err := s.scan(datum); err == nil && len(rec.key) == 0 {
			t.Error("a record without a key")
		}
		_, _ = s.decode(datum, m.table, m.columns())
	})
}
