// Package sweeptest owns the life of a table as a caller leads it through package hudi, on any store, with one call to the store going wrong:
// the sweep that every implementation of storage.Store can be put to, real servers included. It is imported by tests only.
//
// Package hudi sweeps over every call of its protocol with files that are cheap to make. Here the files are real, the API is the public one, and
// the calls are a sample: PLAYHEAD_HUDI_SWEEP=full takes every one.
package sweeptest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

// Kind is a way in which a call goes wrong.
type Kind struct {
	Name  string
	Fault storagetest.Fault // without N
}

// Kinds are those that a caller has to live with: a call refused, a write whose answer was lost, and a process that dies after a call.
func Kinds() []Kind {
	return []Kind{
		{"refused", storagetest.Fault{Err: storagetest.ErrRetryable}},
		{"answer lost", storagetest.Fault{Err: storage.ErrUnknownOutcome, After: true, Ops: storagetest.Writes}},
		{"died", storagetest.Fault{Err: storagetest.ErrDown, After: true, Down: true}},
	}
}

// Options of a sweep.
type Options struct {
	Type    hudi.TableType
	Version int // of the table; 0: the library's default
	Kinds   []Kind
	Stride  int // every so manieth call fails, from the first; 1, and whatever it is in a full sweep: all
}

// stride is how far one fault is from the next. The environment decides between a sample, which every run of the tests can afford, and the whole.
func (o Options) stride() int {
	if os.Getenv("PLAYHEAD_HUDI_SWEEP") == "full" {
		return 1
	}
	return max(1, o.Stride)
}

// Run fails call N of a table's life, for N in steps and in each way, on a new store each time. After the fault the table reads as after one of
// its commits, and says so in its progress; a successor brings it to the end, with every row once.
func Run(t *testing.T, o Options, open func(t *testing.T, name string) storage.Store) {
	for _, kind := range o.Kinds {
		t.Run(kind.Name, func(t *testing.T) {
			fault := kind.Fault
			calls := 0
			for fault.N = 0; ; fault.N += o.stride() {
				store := open(t, fmt.Sprintf("%s-%d-%s-%d", o.Type, o.Version, kind.Name, fault.N))
				fired := life{o.Type, o.Version, store}.sweep(t, fault)
				if t.Failed() {
					t.Fatalf("at call %d", fault.N)
				}
				if !fired {
					break
				}
				calls++
			}
			if calls == 0 {
				t.Error("no call failed")
			}
			t.Logf("%d faults in a life of about %d calls", calls, fault.N)
		})
	}
}

const (
	stream  = "events"
	goal    = 12 // rows of the whole life
	batch   = 4  // rows of a commit
	buckets = 2
	schema  = `{"type":"record","name":"event","fields":[{"name":"session","type":["null","string"],"default":null},` +
		`{"name":"event","type":["null","string"],"default":null},{"name":"at","type":["null","long"],"default":null},` +
		`{"name":"day","type":["null","string"],"default":null}]}`
)

// life is a table that is created, written to, compacted, saved, cleaned and archived.
type life struct {
	kind    hudi.TableType
	version int
	store   storage.Store
}

// sweep leads the life with a fault and lets a successor finish it. It reports whether the fault came.
func (l life) sweep(t *testing.T, fault storagetest.Fault) bool {
	t.Helper()
	failing := storagetest.FailNth(l.store, fault)
	first := life{l.kind, l.version, failing}
	err := first.lead(t.Context(), "first", time.Now)
	for range 3 { // a caller repeats what may be repeated
		if err == nil || fault.Down {
			break
		}
		err = first.lead(t.Context(), "first again", time.Now)
	}
	if err != nil && !fault.Down {
		t.Errorf("one fault cannot be overcome: %v", err)
	}
	l.check(t)
	// Late enough for nothing of the first to have to be kept.
	if err := l.lead(t.Context(), "successor", func() time.Time { return time.Now().Add(2 * time.Hour) }); err != nil {
		t.Errorf("successor: %v", err)
	}
	if rows := l.check(t); rows != goal {
		t.Errorf("%d rows in the end, want %d", rows, goal)
	}
	return failing.Fired()
}

// lead does what is left to do of the life.
func (l life) lead(ctx context.Context, owner string, now func() time.Time) error {
	table, err := hudi.Create(ctx, l.store, hudi.TableConfig{
		Database: "lake", Name: "events", Type: l.kind, Version: l.version, RecordKeyFields: []string{"session", "event"}, PartitionFields: []string{"day"},
		OrderingField: "at", HiveStylePartitioning: true, Buckets: buckets, BucketField: "session", Schema: schema,
	}, hudi.WithParallelism(1), hudi.WithClock(now)) // calls in one order
	if err != nil {
		return err
	}
	w, err := table.Acquire(ctx, owner)
	if err != nil {
		return err
	}
	for w.Head().Offsets[stream][0] < goal {
		from := w.Head().Offsets[stream][0]
		req, err := request(from, from+batch)
		if err != nil {
			return err
		}
		if err := settled(ctx, w, func() (*hudi.CommitResult, error) { return w.Commit(ctx, req) }); err != nil {
			return err
		}
		if l.kind != hudi.MergeOnRead {
			continue
		}
		if err := settled(ctx, w, func() (*hudi.CommitResult, error) { return w.Compact(ctx, hudi.CompactOptions{MinLogs: 1}) }); err != nil {
			return err
		}
	}
	if err := w.Redo(ctx); err != nil {
		return err
	}
	return l.serve(ctx, w)
}

// serve puts a savepoint on the newest commit and takes it off again, cleans and archives.
func (l life) serve(ctx context.Context, w *hudi.Writer) error {
	newest := w.Head().Instant
	if _, err := w.Savepoint(ctx, newest, "sweep", ""); err != nil {
		return err
	}
	if _, err := w.Clean(ctx, hudi.CleanOptions{Retain: 1}); err != nil {
		return err
	}
	if err := w.DeleteSavepoint(ctx, newest); err != nil {
		return err
	}
	_, err := w.Archive(ctx, hudi.ArchiveOptions{KeepMin: 2, KeepMax: 3})
	return err
}

// settled does what a caller does whose commit may or may not have happened.
func settled(ctx context.Context, w *hudi.Writer, commit func() (*hudi.CommitResult, error)) error {
	_, err := commit()
	if errors.Is(err, hudi.ErrUnknownOutcome) {
		_, err = w.Resolve(ctx)
	}
	return err
}

// request holds the rows of offsets from..next. Every commit has rows for the same file groups, which are rewritten or get a log file.
func request(from, next int64) (hudi.CommitRequest, error) {
	req := hudi.CommitRequest{
		Operation: hudi.Upsert, WriterSchemas: []string{schema}, Watermark: time.UnixMilli(next),
		Progress: hudi.Progress{stream: {0: {From: from, Next: next}}},
	}
	parsed, err := avro.Parse(schema)
	if err != nil {
		return req, fmt.Errorf("parse schema: %w", err)
	}
	for o := from; o < next; o++ {
		day, session := fmt.Sprint(o%2), fmt.Sprint("s", o%4)
		payload, err := avro.Marshal(parsed, map[string]any{
			"session": map[string]any{"string": session}, "event": map[string]any{"string": fmt.Sprint(o)},
			"at": map[string]any{"long": o}, "day": map[string]any{"string": day},
		})
		if err != nil {
			return req, fmt.Errorf("encode row %d: %w", o, err)
		}
		record := hudi.Record{Key: key(o), Payload: payload}
		partition, bucket := "day="+day, keys.Bucket(buckets, session)
		i := slices.IndexFunc(req.Groups, func(g hudi.Group) bool { return g.Partition == partition && g.Bucket == bucket })
		if i < 0 {
			i = len(req.Groups)
			req.Groups = append(req.Groups, hudi.Group{Partition: partition, Bucket: bucket})
		}
		req.Groups[i].Records = append(req.Groups[i].Records, record)
	}
	return req, nil
}

func key(offset int64) string { return fmt.Sprintf("session:s%d,event:%d", offset%4, offset) }

// check reads the table: the rows are those of the offsets up to the newest commit's, each once. It returns how many there are.
func (l life) check(t *testing.T) int64 {
	t.Helper()
	table, err := hudi.Open(t.Context(), l.store)
	if errors.Is(err, hudi.ErrNotFound) {
		return 0
	}
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	tl, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var next int64
	for _, e := range tl.Commits() {
		commit, err := table.Commit(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if note, ours := commit.Note(); ours {
			next = note.Offsets[stream][0]
		}
	}
	seen := make(map[string]int)
	for row, err := range table.Scan(t.Context(), hudi.Query{Columns: []string{"_hoodie_record_key"}}) {
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		value, _ := row.Get("_hoodie_record_key")
		seen[fmt.Sprint(value)]++
	}
	for o := range next {
		if seen[key(o)] != 1 {
			t.Errorf("the row of offset %d is there %d times, the newest commit ends at %d", o, seen[key(o)], next)
		}
	}
	if int64(len(seen)) != next {
		t.Errorf("%d rows, the newest commit ends at %d", len(seen), next)
	}
	return next
}
