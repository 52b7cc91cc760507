package mdt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const dataFolder = ".hoodie/timeline/"

// written are the tables of version 9 that Hudi made.
var written = []string{"v9-cow-12-meta", "v9-mor-12-meta"}

func fetch(tb testing.TB, store storage.Store, key string) []byte {
	tb.Helper()
	data, _, err := store.Get(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// setProperty changes hoodie.properties of the table.
func setProperty(tb testing.TB, store storage.Store, key, value string) {
	tb.Helper()
	p, err := meta.ParseProperties(fetch(tb, store, meta.PropertiesKey))
	if err != nil {
		tb.Fatal(err)
	}
	p[key] = value
	put(tb, store, meta.PropertiesKey, p.Encode("Updated at", time.Unix(0, 0)))
}

// instantOf is an instant after those of the golden tables.
func instantOf(n int) timeline.Instant { return timeline.Instant(fmt.Sprintf("20270101%09d", n)) }

// complete puts the instant's completed file on the table's timeline, which ends what begin began.
func complete(tb testing.TB, store storage.Store, u Update, action string) {
	tb.Helper()
	put(tb, store, fmt.Sprintf("%s%s_%s.%s", dataFolder, u.Instant, u.Completion, action), nil)
}

func begin(tb testing.TB, store storage.Store, u Update, action string) {
	tb.Helper()
	put(tb, store, fmt.Sprintf("%s%s.%s.requested", dataFolder, u.Instant, action), nil)
	put(tb, store, fmt.Sprintf("%s%s.%s.inflight", dataFolder, u.Instant, action), nil)
}

// apply is what a table's files are after an update.
func apply(files map[string]map[string]int64, u Update) map[string]map[string]int64 {
	after := make(map[string]map[string]int64)
	for partition, sizes := range files {
		after[partition] = maps.Clone(sizes)
	}
	for partition, sizes := range u.Added {
		if after[partition] == nil {
			after[partition] = make(map[string]int64)
		}
		maps.Copy(after[partition], sizes)
	}
	for partition, names := range u.Deleted {
		for _, name := range names {
			delete(after[partition], name)
		}
	}
	return after
}

func check(tb testing.TB, store storage.Store, want map[string]map[string]int64, when string) {
	tb.Helper()
	for _, d := range Compare(files(tb, store), want) {
		tb.Errorf("%s: %s", when, d)
	}
}

// TestGoOnWithTablesOfHudi: with Hudi's column statistics taken away, updates go on from what Hudi wrote, and are seen when the instant has
// completed.
func TestGoOnWithTablesOfHudi(t *testing.T) {
	t.Parallel()
	for _, name := range written {
		store := golden(t, name)
		u := Update{
			Instant: instantOf(1), Completion: instantOf(5),
			Added: map[string]map[string]int64{"dt=2026-01-01/hr=00": {"a.parquet": 7}, "dt=2027-01-01/hr=09": {"b.parquet": 9, ".c.log.1_0-0-0": 3}},
		}
		for stored := range stored(t, store)["dt=2026-01-01/hr=01"] {
			u.Deleted = map[string][]string{"dt=2026-01-01/hr=01": {stored}}
		}
		begin(t, store, u, "deltacommit")
		var others *OthersError
		if err := Append(t.Context(), store, u); !errors.As(err, &others) || !slices.Equal(others.Partitions, []string{"column_stats", "partition_stats"}) {
			t.Errorf("%s: with other partitions: %v", name, err)
		}
		setProperty(t, store, meta.MetadataPartitions, "files")
		if err := Narrow(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		before := stored(t, store)
		if err := Append(t.Context(), store, u); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check(t, store, before, name+" before the instant completed")
		complete(t, store, u, "deltacommit")
		check(t, store, apply(before, u), name+" after the instant completed")
		if l := files(t, store); l.Instant != string(instantOf(1)) || !slices.Contains(l.Partitions, "dt=2027-01-01/hr=09") {
			t.Errorf("%s: listing as of %s, partitions %q", name, l.Instant, l.Partitions)
		}
	}
}

// TestBlocksAreAsHudiWrites: a block of Hudi's, decoded and written again, has the same header, schema and records.
func TestBlocksAreAsHudiWrites(t *testing.T) {
	t.Parallel()
	for _, name := range written {
		store := golden(t, name)
		blocks := 0
		for info, err := range store.List(t.Context(), filesFolder+".files-0000-0_2") {
			if err != nil {
				t.Fatal(err)
			}
			theirs := scanOne(t, fetch(t, store, info.Key))
			records := decodeAll(t, theirs)
			log, err := encodeLog(theirs.Header[logfile.InstantTime], records)
			if err != nil {
				t.Fatal(err)
			}
			ours := scanOne(t, log)
			if ours.Type != theirs.Type || !maps.Equal(ours.Header, theirs.Header) {
				t.Errorf("%s: header %v of type %s", info.Key, slices.Collect(maps.Keys(ours.Header)), ours.Type)
			}
			if got := decodeAll(t, ours); !reflect.DeepEqual(got, records) {
				t.Errorf("%s: records %v, Hudi has %v", info.Key, got, records)
			}
			blocks++
		}
		if blocks < 5 {
			t.Errorf("%s: %d blocks", name, blocks)
		}
		got := encodeLogOfNothing(initialInstant)
		if want := fetch(t, store, filesFolder+logFileName(initialInstant, initialToken)); !bytes.Equal(got, want) {
			t.Errorf("%s: first log\n%x\nHudi has\n%x", name, got, want)
		}
		checkCommit(t, store)
	}
}

// checkCommit compares the metadata of a delta commit with Hudi's of the same log file.
func checkCommit(t *testing.T, store storage.Store) {
	t.Helper()
	log := fetch(t, store, filesFolder+newestLog(t, store))
	name := newestLog(t, store)
	f, _ := parseDataFile(filesFolder+name, 0)
	ours := logCommit(f.instant, name, int64(len(log)), int64(len(decodeAll(t, scanOne(t, log)))))
	if got := ours.PartitionToWriteStats[filesPartition][0].FileID; got != f.group {
		t.Errorf("file id %s", got)
	}
	all, err := parseRecordSchema(writtenSchema)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := parseRecordSchema(ours.ExtraMetadata[meta.SchemaKey])
	if err != nil || len(schema.fields) != len(all.fields)-leadingFields || schema.fields[0].Name() != "key" {
		t.Errorf("schema of a commit: %+v, %v", schema, err)
	}
	data, err := ours.EncodeOCF()
	if err != nil {
		t.Fatal(err)
	}
	if c, err := meta.ParseCommit(data); err != nil || *c.PartitionToWriteStats[filesPartition][0].Path != "files/"+name {
		t.Errorf("commit %+v, %v", c, err)
	}
}

func newestLog(t *testing.T, store storage.Store) (name string) {
	t.Helper()
	for info, err := range store.List(t.Context(), filesFolder+".files-0000-0_2") {
		if err != nil {
			t.Fatal(err)
		}
		name = path.Base(info.Key)
	}
	return name
}

func scanOne(t *testing.T, data []byte) *logfile.Block {
	t.Helper()
	for b, err := range logfile.Scan(bytes.NewReader(data), int64(len(data)), logfile.ScanOptions{}) {
		if err != nil || b.Length != int64(len(data)) {
			t.Fatalf("block of %d of %d bytes, %v", b.Length, len(data), err)
		}
		return b
	}
	t.Fatal("no block")
	return nil
}

// decodeAll are the records of a block, whose HFile has the block's schema in its own place, too.
func decodeAll(t *testing.T, b *logfile.Block) map[string]record {
	t.Helper()
	r, err := hfile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := r.Info(schemaInfo); !ok || string(text) != b.Header[logfile.Schema] {
		t.Errorf("schema of the HFile: %.50s", text)
	}
	return decodeFile(t, r, b.Header[logfile.Schema])
}

func decodeFile(t *testing.T, r *hfile.Reader, text string) map[string]record {
	t.Helper()
	schema, err := parseRecordSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	records := make(map[string]record)
	for e, err := range r.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		rec, err := schema.decode(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		records[string(e.Key)] = rec
	}
	return records
}

// tableOf9 is a table of version 9 with two commits and a metadata table that was built after the first.
func tableOf9(t *testing.T) (storage.Store, map[string]map[string]int64) {
	t.Helper()
	store := storage.NewMem()
	p := meta.Properties{meta.TableName: "t", meta.TableVersion: "9", meta.TimelineLayout: "2", meta.MetadataPartitions: "files"}
	put(t, store, meta.PropertiesKey, p.Encode("Properties saved on", time.Unix(0, 0)))
	first := Update{Instant: instantOf(1), Completion: instantOf(2)}
	begin(t, store, first, "commit")
	complete(t, store, first, "commit")
	held := map[string]map[string]int64{"": {"a_1.parquet": 10}, "p/q": {"b_1.parquet": 20}}
	if err := Create(t.Context(), store, Start{Files: held, Completion: instantOf(3)}); err != nil {
		t.Fatal(err)
	}
	check(t, store, held, "created")
	return store, held
}

func TestCreate(t *testing.T) {
	t.Parallel()
	store, held := tableOf9(t)
	if err := Create(t.Context(), store, Start{Files: held, Completion: instantOf(3)}); !errors.Is(err, ErrUpdate) {
		t.Errorf("created twice: %v", err)
	}
	hudis := golden(t, "v9-cow-12-meta")
	const key = metadataTimeline + "hoodie.properties"
	ours, err := meta.ParseProperties(fetch(t, store, key))
	if err != nil || ours.CheckTable() != nil {
		t.Fatal(err, ours.CheckTable())
	}
	theirs, err := meta.ParseProperties(fetch(t, hudis, key))
	if err != nil {
		t.Fatal(err)
	}
	theirs[meta.TableName] = "t_metadata"
	theirs[meta.Checksum] = theirs.TableChecksum()
	if !maps.Equal(ours, theirs) {
		t.Errorf("properties %v\nHudi has %v", ours, theirs)
	}
	base := func(store storage.Store) *hfile.Reader {
		for info, err := range store.List(t.Context(), filesFolder+"files-0000-0_") {
			if err != nil {
				t.Fatal(err)
			}
			data := fetch(t, store, info.Key)
			r, err := hfile.OpenReader(bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		return nil
	}
	mine, other := base(store), base(hudis)
	if got, want := slices.Sorted(maps.Keys(mine.Infos())), slices.Sorted(maps.Keys(other.Infos())); !slices.Equal(got, want) {
		t.Errorf("file info %q, Hudi has %q", got, want)
	}
	if _, ok, err := mine.Meta("bloomFilter"); !ok || err != nil {
		t.Errorf("filter of keys: %v, %v", ok, err)
	}
	if err := Drop(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if _, err := Files(t.Context(), store); !errors.Is(err, ErrAbsent) {
		t.Errorf("dropped: %v", err)
	}
	for info := range store.List(t.Context(), Folder) {
		t.Errorf("dropped: %s is there", info.Key)
	}
	if err := Create(t.Context(), store, Start{Completion: instantOf(9)}); err != nil {
		t.Fatal(err)
	}
	check(t, store, nil, "created empty")
}

// update n adds a file to each of two partitions and deletes one of the update before.
func update(n int) Update {
	u := Update{
		Instant: instantOf(10 * n), Completion: instantOf(10*n + 5),
		Added: map[string]map[string]int64{"": {fmt.Sprintf("a_%d.parquet", n): int64(10 * n)}, "p/q": {fmt.Sprintf("b_%d.parquet", n): int64(20 * n)}},
	}
	if n > 1 {
		u.Deleted = map[string][]string{"p/q": {fmt.Sprintf("b_%d.parquet", n-1)}}
	}
	return u
}

// TestAppend: every update is in the listing once its instant completed, and a second time adds nothing.
func TestAppend(t *testing.T) {
	t.Parallel()
	store, held := tableOf9(t)
	for n := 1; n < 20; n++ {
		u := update(n)
		begin(t, store, u, "commit")
		for range 2 {
			if err := Append(t.Context(), store, u); err != nil {
				t.Fatal(err)
			}
			check(t, store, held, fmt.Sprintf("update %d pending", n))
		}
		complete(t, store, u, "commit")
		held = apply(held, u)
		check(t, store, held, fmt.Sprintf("update %d", n))
		if err := Append(t.Context(), store, u); err != nil {
			t.Fatal(err)
		}
	}
	if l := files(t, store); !slices.Equal(l.Partitions, []string{"", "p/q"}) || l.Instant != string(instantOf(190)) {
		t.Errorf("partitions %q as of %s", l.Partitions, l.Instant)
	}
}

// TestEveryCallOfAppendFails: an update that fails at call N is not seen while its instant is pending, and done again it is there whole.
func TestEveryCallOfAppendFails(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storagetest.Fault{
		"refused":           {Err: storagetest.ErrRetryable},
		"unknown, not done": {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes},
		"unknown, done":     {Err: storage.ErrUnknownOutcome, Ops: storagetest.Writes, After: true},
		"died after":        {Err: storagetest.ErrDown, Down: true, After: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for fault.N = 0; ; fault.N++ {
				store, held := tableOf9(t)
				u := update(1)
				begin(t, store, u, "commit")
				failing := storagetest.FailNth(store, fault)
				err := Append(t.Context(), failing, u)
				check(t, store, held, fmt.Sprintf("call %d failed", fault.N))
				if !failing.Fired() {
					if err != nil || fault.N < 4 {
						t.Fatalf("%d calls: %v", fault.N, err)
					}
					return
				}
				if err := Append(t.Context(), store, u); err != nil {
					t.Fatalf("call %d failed: again: %v", fault.N, err)
				}
				complete(t, store, u, "commit")
				check(t, store, apply(held, u), fmt.Sprintf("call %d failed, done again", fault.N))
			}
		})
	}
}

// TestStale: what another writer did without the metadata table, or took back without it, is noticed.
func TestStale(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		meanwhile func(t *testing.T, store storage.Store)
		instant   timeline.Instant // that is to blame; "" for none
	}{
		"nothing":   {func(*testing.T, storage.Store) {}, ""},
		"commit":    {func(t *testing.T, store storage.Store) { complete(t, store, update(1), "commit") }, instantOf(10)},
		"clean":     {func(t *testing.T, store storage.Store) { complete(t, store, update(1), "clean") }, instantOf(10)},
		"restore":   {func(t *testing.T, store storage.Store) { complete(t, store, update(1), "restore") }, instantOf(10)},
		"rollback":  {func(t *testing.T, store storage.Store) { complete(t, store, update(1), "rollback") }, ""},
		"savepoint": {func(t *testing.T, store storage.Store) { complete(t, store, update(1), "savepoint") }, ""},
		"pending":   {func(t *testing.T, store storage.Store) { begin(t, store, update(1), "deltacommit") }, ""},
		"rolled back here only in the table": {func(t *testing.T, store storage.Store) {
			begin(t, store, update(1), "commit")
			if err := Append(t.Context(), store, update(1)); err != nil {
				t.Fatal(err)
			}
			for _, state := range []string{"requested", "inflight"} {
				if err := store.Delete(t.Context(), fmt.Sprintf("%s%s.commit.%s", dataFolder, instantOf(10), state)); err != nil {
					t.Fatal(err)
				}
			}
		}, instantOf(10)},
		"rolled back": {func(t *testing.T, store storage.Store) {
			begin(t, store, update(1), "commit")
			if err := Append(t.Context(), store, update(1)); err != nil {
				t.Fatal(err)
			}
			if err := Revert(t.Context(), store, instantOf(10)); err != nil {
				t.Fatal(err)
			}
			for info := range store.List(t.Context(), "") {
				if strings.Contains(info.Key, string(instantOf(10))) && strings.HasPrefix(info.Key, Folder) {
					t.Errorf("%s is there", info.Key)
				}
			}
		}, ""},
	} {
		store, _ := tableOf9(t)
		c.meanwhile(t, store)
		u := update(2)
		begin(t, store, u, "commit")
		err := Append(t.Context(), store, u)
		var stale *StaleError
		if c.instant == "" && err != nil || c.instant != "" && (!errors.As(err, &stale) || stale.Instant != string(c.instant)) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	store, _ := tableOf9(t)
	for what, u := range map[string]Update{
		"no instant":    {Completion: instantOf(1)},
		"no completion": {Instant: instantOf(1)},
		"a path":        {Instant: instantOf(10), Completion: instantOf(11), Added: map[string]map[string]int64{"p": {"q/a.parquet": 1}}},
		"no name":       {Instant: instantOf(10), Completion: instantOf(11), Deleted: map[string][]string{"p": {""}}},
		"both":          {Instant: instantOf(10), Completion: instantOf(11), Added: map[string]map[string]int64{"p": {"a": 1}}, Deleted: map[string][]string{"p": {"a"}}},
	} {
		if err := Append(t.Context(), store, u); !errors.Is(err, ErrUpdate) {
			t.Errorf("%s: %v", what, err)
		}
	}
	setProperty(t, store, meta.MetadataPartitions, "")
	if err := Append(t.Context(), store, update(1)); !errors.Is(err, ErrAbsent) {
		t.Errorf("not in use: %v", err)
	}
	if err := Append(t.Context(), storage.NewMem(), update(1)); !errors.Is(err, ErrAbsent) {
		t.Errorf("no table: %v", err)
	}
	if err := Append(t.Context(), golden(t, "v6-cow-015-meta"), update(1)); !errors.Is(err, ErrUpdate) {
		t.Errorf("version 6: %v", err)
	}
	if err := Revert(t.Context(), storage.NewMem(), instantOf(1)); err != nil {
		t.Errorf("revert without a metadata table: %v", err)
	}
}

// FuzzEncodeRecord: what is written is read back.
func FuzzEncodeRecord(f *testing.F) {
	f.Add(int64(2), "a.parquet", int64(7), false, ".b.log.1_0-0-0")
	f.Add(int64(1), "", int64(-1), true, "")
	schema, err := parseRecordSchema(writtenSchema)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, kind int64, name string, size int64, deleted bool, other string) {
		r := record{kind, map[string]fileInfo{name: {size, deleted}, other: {}}}
		if got, err := schema.decode(encodeRecord(r)); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v became %+v, %v", r, got, err)
		}
	})
}
