package mdt

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// recordText is the head of Hudi's HoodieMetadataRecord and one of its other parts.
const recordText = `{"type":"record","name":"HoodieMetadataRecord","namespace":"org.apache.hudi.avro.model","fields":[
	{"name":"_hoodie_file_name","type":["null","string"],"default":null},
	{"name":"key","type":"string"},
	{"name":"type","type":"int"},
	{"name":"filesystemMetadata","type":["null",{"type":"map","values":{"type":"record","name":"HoodieMetadataFileInfo","fields":[
		{"name":"size","type":"long"},{"name":"isDeleted","type":"boolean"}]}}]},
	{"name":"BloomFilterMetadata","type":["null",{"type":"record","name":"HoodieMetadataBloomFilter","fields":[
		{"name":"type","type":"string"},{"name":"bloomFilter","type":"bytes"},{"name":"parts","type":{"type":"array","items":"double"}},
		{"name":"of","type":{"type":"fixed","name":"Of","size":3}},{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]}},
		{"name":"more","type":["null","HoodieMetadataFileInfo"]}]}],"default":null}]}`

type info struct {
	Size      int64 `avro:"size"`
	IsDeleted bool  `avro:"isDeleted"`
}

var gone = info{IsDeleted: true}

func size(n int64) info { return info{Size: n} }

// metadataRecord is a record and its key.
type metadataRecord struct {
	key   string
	kind  int
	files map[string]info
}

func partitions(files map[string]info) metadataRecord {
	return metadataRecord{"__all_partitions__", 1, files}
}

func in(partition string, files map[string]info) metadataRecord {
	return metadataRecord{partition, 2, files}
}

func datum(tb testing.TB, r metadataRecord, bloom any) []byte {
	tb.Helper()
	schema, err := avro.ParseWithCache(recordText, "", &avro.SchemaCache{})
	if err != nil {
		tb.Fatal(err)
	}
	b, err := avro.Marshal(schema, map[string]any{
		"_hoodie_file_name": nil, "key": "", "type": r.kind, "filesystemMetadata": map[string]any{"map": r.files}, "BloomFilterMetadata": bloom,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func hfileOf(tb testing.TB, records []metadataRecord, infos map[string]string) []byte {
	tb.Helper()
	var out bytes.Buffer
	w := hfile.NewWriter(&out, hfile.Options{})
	slices.SortFunc(records, func(a, b metadataRecord) int { return bytes.Compare([]byte(a.key), []byte(b.key)) })
	for _, r := range records {
		if err := w.Append([]byte(r.key), datum(tb, r, nil)); err != nil {
			tb.Fatal(err)
		}
	}
	for name, v := range infos {
		w.AddInfo(name, []byte(v))
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// table builds a table with a metadata table. Instants are given by their last two digits.
type table struct {
	testing.TB
	store storage.Store
}

func newTable(tb testing.TB, layout int) table {
	t := table{tb, storage.NewMem()}
	for _, key := range []string{".hoodie/hoodie.properties", ".hoodie/metadata/.hoodie/hoodie.properties"} {
		put(tb, t.store, key, fmt.Appendf(nil, "hoodie.timeline.layout.version=%d\n", layout))
	}
	return t
}

func at(digits string) string { return "202611230000000" + digits }

func (t table) data(names ...string) table {
	for _, n := range names {
		put(t, t.store, ".hoodie/"+at(n), nil)
	}
	return t
}

func (t table) own(names ...string) table {
	for _, n := range names {
		put(t, t.store, ".hoodie/metadata/.hoodie/"+at(n), nil)
	}
	return t
}

// own2 is own in layout 2; completion times are given as the instants are.
func (t table) own2(names ...string) table {
	for _, n := range names {
		requested, completed, ok := strings.Cut(n, "_")
		if n = at(requested); ok {
			n += "_" + at(completed)
		}
		put(t, t.store, ".hoodie/metadata/.hoodie/timeline/"+n, nil)
	}
	return t
}

func (t table) base(instant string, records ...metadataRecord) table {
	put(t, t.store, ".hoodie/metadata/files/files-0000-0_0-1-1_"+at(instant)+".hfile", hfileOf(t, records, map[string]string{"schema": recordText}))
	return t
}

func (t table) log(instant string, version int, blocks ...logfile.Block) table {
	var out []byte
	for _, b := range blocks {
		out = logfile.AppendBlock(out, b)
	}
	put(t, t.store, fmt.Sprintf(".hoodie/metadata/files/.files-0000-0_%s.log.%d_0-1-1", at(instant), version), out)
	return t
}

func (t table) block(instant string, records ...metadataRecord) logfile.Block {
	return logfile.Block{
		Type:    logfile.HFileData,
		Header:  map[logfile.HeaderKey]string{logfile.InstantTime: at(instant), logfile.Schema: recordText},
		Content: hfileOf(t, records, nil),
	}
}

func rollback(instant, target string) logfile.Block {
	return logfile.RollbackBlock(timeline.Instant(at(instant)), timeline.Instant(at(target)))
}

func deletion(instant string, keys ...string) logfile.Block {
	records := make([]logfile.DeleteRecord, len(keys))
	for i, k := range keys {
		records[i] = logfile.DeleteRecord{Key: k, Ordering: logfile.IntOrdering(0)}
	}
	return logfile.DeleteBlock(timeline.Instant(at(instant)), recordText, records)
}

// TestRules: which blocks count and how records merge, one rule a row. The base file has a with 10 bytes in partition p.
func TestRules(t *testing.T) {
	t.Parallel()
	const layout1, layout2 = 1, 2
	p := func(files map[string]info) metadataRecord { return in("p", files) }
	a, b := map[string]info{"a": size(11)}, map[string]info{"b": size(20)}
	for name, c := range map[string]struct {
		layout int
		build  func(t table)
		want   map[string]int64
	}{
		"a completed instant counts": {layout1, func(t table) {
			t.own("02.deltacommit").log("01", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10, "b": 20}},
		"a pending one of the metadata table does not": {layout1, func(t table) {
			t.own("02.deltacommit.inflight").log("01", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10}},
		"one that the timeline does not know does not": {layout1, func(t table) {
			t.log("01", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10}},
		"a pending one of the table does not": {layout1, func(t table) {
			t.own("02.deltacommit").data("02.commit.requested", "02.inflight").log("01", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10}},
		"one that completed in the table too does": {layout1, func(t table) {
			t.own("02.deltacommit").data("02.commit.requested", "02.inflight", "02.commit").log("01", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10, "b": 20}},
		"a savepoint is no pending write": {layout1, func(t table) {
			t.own("02.deltacommit").data("02.savepoint.inflight").log("01", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10, "b": 20}},
		"an archived one counts": {layout1, func(t table) {
			t.log("01", 1, t.block("00", p(b)))
		}, map[string]int64{"a": 10, "b": 20}},
		"a rollback takes earlier blocks away": {layout1, func(t table) {
			t.own("02.deltacommit", "03006.rollback")
			t.log("01", 1, t.block("02", p(a))).log("01", 2, rollback("03006", "02"))
		}, map[string]int64{"a": 10}},
		"but not later ones": {layout1, func(t table) {
			t.own("02.deltacommit", "03006.rollback")
			t.log("01", 1, t.block("02", p(a))).log("01", 2, rollback("03006", "02"), t.block("02", p(b)))
		}, map[string]int64{"a": 10, "b": 20}},
		"nor those of others": {layout1, func(t table) {
			t.own("02.deltacommit", "03006.rollback").log("01", 1, t.block("02", p(b)), rollback("03006", "01"))
		}, map[string]int64{"a": 10, "b": 20}},
		"a pending rollback takes nothing away": {layout1, func(t table) {
			t.own("02.deltacommit", "03006.rollback.inflight").log("01", 1, t.block("02", p(b)), rollback("03006", "02"))
		}, map[string]int64{"a": 10, "b": 20}},
		"a deleted record is gone": {layout1, func(t table) {
			t.own("02.deltacommit", "03.deltacommit").log("01", 1, deletion("02", "p"), t.block("03", p(b)))
		}, map[string]int64{"b": 20}},
		"logs merge by version, not by name": {layout1, func(t table) {
			t.own("02.deltacommit", "03.deltacommit")
			t.log("01", 10, t.block("03", p(map[string]info{"b": gone}))).log("01", 9, t.block("02", p(b)))
		}, map[string]int64{"a": 10}},
		"a tombstone removes": {layout1, func(t table) {
			t.own("02.deltacommit").log("01", 1, t.block("02", p(map[string]info{"a": gone, "b": gone})))
		}, map[string]int64{}},
		"and a later entry brings back": {layout1, func(t table) {
			t.own("02.deltacommit", "03.deltacommit")
			t.log("01", 1, t.block("02", p(map[string]info{"a": gone, "b": gone})), t.block("03", p(map[string]info{"a": size(3), "b": size(4)})))
		}, map[string]int64{"a": 3, "b": 4}},
		"of two sizes the larger counts": {layout1, func(t table) {
			t.own("02.deltacommit", "03.deltacommit").log("01", 1, t.block("02", p(map[string]info{"a": size(12)})), t.block("03", p(a)))
		}, map[string]int64{"a": 12}},
		"a base file of a pending compaction does not count, logs behind it do": {layout1, func(t table) {
			t.own("02.deltacommit", "03.compaction.requested", "03.compaction.inflight", "04.deltacommit").base("03", p(a))
			t.log("01", 1, t.block("02", p(b))).log("03", 1, t.block("04", p(map[string]info{"c": size(30)})))
		}, map[string]int64{"a": 10, "b": 20, "c": 30}},
		"a completed compaction has its logs in it": {layout1, func(t table) {
			t.own("02.deltacommit", "03.compaction.requested", "03.commit", "04.deltacommit").base("03", p(a))
			t.log("01", 1, t.block("02", p(b))).log("03", 1, t.block("04", p(map[string]info{"c": size(30)})))
		}, map[string]int64{"a": 11, "c": 30}},
		"layout 2: a completed instant counts": {layout2, func(t table) {
			t.own2("02_03.deltacommit").log("02", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10, "b": 20}},
		"layout 2: a pending one does not": {layout2, func(t table) {
			t.own2("02.deltacommit.requested", "02.deltacommit.inflight").log("02", 1, t.block("02", p(b)))
		}, map[string]int64{"a": 10}},
		"layout 2: a pending one of the table does not": {layout2, func(t table) {
			t.own2("02_03.deltacommit").log("02", 1, t.block("02", p(b)))
			put(t, t.store, ".hoodie/timeline/"+at("02.deltacommit.inflight"), nil)
		}, map[string]int64{"a": 10}},
		"layout 2: what completed before a compaction was planned is in it, what completed later is behind it": {layout2, func(t table) {
			t.own2("02_03.deltacommit", "04_06.deltacommit", "05_07.commit").base("05", p(a))
			t.log("02", 1, t.block("02", p(b))).log("04", 1, t.block("04", p(map[string]info{"c": size(30)})))
		}, map[string]int64{"a": 11, "c": 30}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := newTable(t, c.layout).base("01", p(map[string]info{"a": size(10)}))
			if c.layout == layout1 {
				tb.own("01.deltacommit")
			} else {
				tb.own2("01_01.deltacommit")
			}
			c.build(tb)
			l := files(t, tb.store)
			if got := l.Files["p"]; !maps.Equal(got, c.want) {
				t.Errorf("files %v, want %v", got, c.want)
			}
		})
	}
}

// TestListing: partitions and names as they come out.
func TestListing(t *testing.T) {
	t.Parallel()
	tb := newTable(t, 1).own("01.deltacommit", "02.deltacommit", "03.deltacommit").data("02.commit", "02.inflight", "03.inflight")
	tb.base("01", partitions(map[string]info{"q": {}, "p": {}, ".": {}, "old": {}}), in(".", map[string]info{"x": size(1)}), in("old", map[string]info{"y": size(2)}))
	tb.log("01", 1, tb.block("02", partitions(map[string]info{"old": gone}), in("old", map[string]info{"y": gone})))
	want := Listing{
		Partitions: []string{"", "p", "q"},
		Files:      map[string]map[string]int64{"": {"x": 1}, "old": {}},
		Instant:    at("02"),
	}
	if got := files(t, tb.store); !reflect.DeepEqual(got, want) {
		t.Errorf("listing %+v", got)
	}
}

// TestBroken: a listing that cannot be read whole is an error, except for torn logs, which engines pass over: those are named.
func TestBroken(t *testing.T) {
	t.Parallel()
	valid := in("p", map[string]info{"a": size(10)})
	for name, build := range map[string]func(t table){
		"type":        func(t table) { t.base("01", metadataRecord{key: "p", kind: 3}) },
		"base schema": func(t table) { put(t, t.store, baseKey, hfileOf(t, []metadataRecord{valid}, nil)) },
		"no schema": func(t table) {
			put(t, t.store, baseKey, hfileOf(t, []metadataRecord{valid}, map[string]string{"schema": "{"}))
		},
		"another schema": func(t table) {
			put(t, t.store, baseKey, hfileOf(t, []metadataRecord{valid}, map[string]string{"schema": `"int"`}))
		},
		"base file":       func(t table) { put(t, t.store, baseKey, []byte("no HFile")) },
		"Avro data block": func(t table) { t.log("01", 1, logfile.Block{Type: logfile.AvroData, Header: t.block("01").Header}) },
		"block content": func(t table) {
			t.log("01", 1, logfile.Block{Type: logfile.HFileData, Header: t.block("01").Header, Content: []byte("no HFile")})
		},
		"block without schema": func(t table) {
			b := t.block("01", valid)
			delete(b.Header, logfile.Schema)
			t.log("01", 1, b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tb := newTable(t, 1).own("01.deltacommit")
			build(tb)
			if l, err := Files(t.Context(), tb.store); err == nil || errors.Is(err, ErrAbsent) {
				t.Errorf("listing %+v, %v", l, err)
			}
		})
	}
	tb := newTable(t, 1).own("01.deltacommit", "02.deltacommit").base("01", valid).log("01", 1, tb1(t, valid))
	const torn = ".hoodie/metadata/files/.files-0000-0_20261123000000001.log.2_0-1-1"
	put(t, tb.store, torn, logfile.AppendBlock(nil, tb1(t, valid))[:300])
	l := files(t, tb.store)
	if !slices.Equal(l.Damaged, []string{torn}) || l.Files["p"]["a"] != 10 {
		t.Errorf("listing %+v", l)
	}
}

const baseKey = ".hoodie/metadata/files/files-0000-0_0-1-1_20261123000000001.hfile"

func tb1(tb testing.TB, r metadataRecord) logfile.Block { return table{TB: tb}.block("01", r) }

// TestAbsent: a table without a listing is told apart from one whose listing cannot be read.
func TestAbsent(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	if _, err := Files(t.Context(), store); !errors.Is(err, ErrAbsent) {
		t.Errorf("no metadata table: %v", err)
	}
	if _, err := Files(t.Context(), newTable(t, 1).store); !errors.Is(err, ErrAbsent) {
		t.Errorf("no partition of files: %v", err)
	}
	for n := 0; ; n++ {
		failing := storagetest.FailNth(golden(t, "v6-mor-015-meta"), storagetest.Fault{N: n, Err: storagetest.ErrRetryable})
		_, err := Files(t.Context(), failing)
		if !failing.Fired() {
			if err != nil || n < 10 {
				t.Errorf("no fault in %d calls: %v", n, err)
			}
			return
		}
		if !errors.Is(err, storagetest.ErrRetryable) || errors.Is(err, ErrAbsent) {
			t.Fatalf("call %d failed: %v", n, err)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	l := Listing{
		Partitions: []string{"", "p"},
		Files:      map[string]map[string]int64{"": {"x": 1}, "p": {"a": 10, "b": 20, "c": 30}, "empty": {}},
	}
	same := maps.Clone(l.Files)
	if got := Compare(l, same); len(got) > 0 {
		t.Errorf("the same: %v", got)
	}
	got := Compare(l, map[string]map[string]int64{"": {"x": 1}, "p": {"a": 10, "b": 21, "d": 5}, "q": {"e": 6}, "r": {}})
	want := []Difference{
		{WrongSize, "p", "b", 20, 21},
		{Extra, "p", "c", 30, 0},
		{Missing, "p", "d", 0, 5},
		{MissingPartition, "q", "", 0, 0},
		{Missing, "q", "e", 0, 6},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("differences %v", got)
	}
	for i, text := range []string{
		`partition "p" file b: listed with 20 bytes, has 21`, `partition "p" file c: extra`, `partition "p" file d: missing`,
		`partition "q": missing partition`, `partition "q" file e: missing`,
	} {
		if got[i].String() != text {
			t.Errorf("difference %d: %s", i, got[i])
		}
	}
}
