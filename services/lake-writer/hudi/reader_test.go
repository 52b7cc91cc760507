package hudi

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

func goldenTable(tb testing.TB, name string) storage.Store {
	tb.Helper()
	return goldentest.Table(tb, "testdata/"+name+".zip")
}

func scanAll(tb testing.TB, store storage.Store, q Query) []Row {
	tb.Helper()
	table, err := Open(tb.Context(), store)
	if err != nil {
		tb.Fatal(err)
	}
	var rows []Row
	for row, err := range table.Scan(tb.Context(), q) {
		if err != nil {
			tb.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// The counts of snapshots are those that Spark and hudi-rs give for these tables. (From before the first active commit, an
// incremental query of those engines sees the active commits only, and so fewer rows than there are.)
func TestScanSparkTables(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		table     string
		query     Query
		want      int
		keyPrefix string
	}{
		{"v6-cow-015", Query{}, 63, "session_id:s0"},
		{"v6-cow-015", Query{Type: ReadOptimized}, 63, "session_id:s0"},
		{"v6-cow-015", Query{AsOf: "20261123045619765"}, 63, "session_id:s0"},
		{"v6-cow-015", Query{AsOf: "20261123045611705"}, 70, "session_id:s0"}, // before an insert overwrite
		{"v6-cow-015", Query{AsOf: "20261123045619764"}, 70, "session_id:s0"}, // between two commits
		{"v6-cow-015", Query{Partitions: []string{"dt=2026-01-01/hr=00/", "dt=2026-01-01/hr=02/"}}, 28, "session_id:s0"},
		{"v6-cow-015", Query{Type: Incremental, From: "20261123045611705"}, 8, "session_id:s0"},
		{"v6-cow-015", Query{Type: Incremental, From: "20261123045611705", AsOf: "20261123045619765"}, 3, "session_id:s0"},
		{"v6-cow-015", Query{Type: Incremental, From: "20261123045630340"}, 0, ""},
		{"v6-cow-015-bloom-nohive", Query{}, 70, "session_id:s0"},
		{"v6-cow-015-bloom-nohive", Query{AsOf: "20261123045921426"}, 60, "session_id:s0"},
		{"v6-cow-015-bloom-nohive", Query{Type: Incremental, From: "20261123045921426"}, 35, "session_id:s0"},
		{"v6_complexkeygen_hivestyle", Query{}, 4, "id:"},
		{"v6_nonpartitioned", Query{}, 4, ""},
		{"v6_nonpartitioned", Query{AsOf: "20240418173550988"}, 3, ""},
		{"v6_timebasedkeygen_nonhivestyle", Query{}, 4, ""},
	} {
		t.Run(tc.table, func(t *testing.T) {
			t.Parallel()
			rows := scanAll(t, goldenTable(t, tc.table), tc.query)
			if len(rows) != tc.want {
				t.Errorf("query %+v: %d rows, want %d", tc.query, len(rows), tc.want)
			}
			seen := make(map[[2]any]bool)
			for _, row := range rows {
				key, _ := row.Get(basefile.RecordKeyColumn)
				partition, _ := row.Get(basefile.PartitionPathColumn)
				id := [2]any{partition, key}
				if !strings.HasPrefix(key.(string), tc.keyPrefix) || seen[id] {
					t.Errorf("key %v, seen before: %v", id, seen[id])
				}
				seen[id] = true
			}
		})
	}
}

func TestScanProjection(t *testing.T) {
	t.Parallel()
	columns := []string{"tags", "session_id"}
	for _, q := range []Query{{Columns: columns}, {Columns: columns, Type: Incremental, From: "20261123045619765"}} {
		rows := scanAll(t, goldenTable(t, "v6-cow-015"), q)
		if len(rows) == 0 {
			t.Fatal("no rows")
		}
		for _, row := range rows {
			if _, ok := row.Values[1].(string); !slices.Equal(row.Columns, columns) || !ok {
				t.Fatalf("row %v", row)
			}
		}
	}
}

// A column that the newest schema has and the files do not is null.
func TestScanColumnOfNewerSchema(t *testing.T) {
	t.Parallel()
	store := goldenTable(t, "v6-cow-015")
	editObject(t, store, ".hoodie/20261123045630340.commit", `{\"name\":\"dt\"`, `{\"name\":\"later\",\"type\":[\"null\",\"string\"]},{\"name\":\"dt\"`)
	for _, row := range scanAll(t, store, Query{}) {
		if v, ok := row.Get("later"); !ok || v != nil {
			t.Fatalf("new column: %v, %v", v, ok)
		}
	}
}

// A column whose type in the newest schema is not the files' is shown as the files have it.
func TestScanColumnOfOtherType(t *testing.T) {
	t.Parallel()
	store := goldenTable(t, "v6-cow-015")
	before := scanAll(t, store, Query{})
	editObject(t, store, ".hoodie/20261123045630340.commit", `{\"name\":\"dt\",\"type\":[\"null\",\"string\"]`, `{\"name\":\"dt\",\"type\":[\"null\",\"long\"]`)
	after := scanAll(t, store, Query{})
	if len(after) != len(before) {
		t.Fatalf("%d rows, were %d", len(after), len(before))
	}
	for i, row := range after {
		got, _ := row.Get("dt")
		if want, _ := before[i].Get("dt"); got != want || want == nil {
			t.Errorf("row %d has %v, want %v", i, got, want)
		}
	}
}

func editObject(t *testing.T, store storage.Store, key, from, to string) {
	t.Helper()
	data, _, err := store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(from)) {
		t.Fatalf("no %s in %s", from, data)
	}
	putObject(t, store, key, bytes.Replace(data, []byte(from), []byte(to), 1))
}

func putObject(t *testing.T, store storage.Store, key string, data []byte) {
	t.Helper()
	if _, err := store.Put(t.Context(), key, data, storage.Condition{}); err != nil {
		t.Fatal(err)
	}
}

// Everything that could give fewer rows, or older ones, without a word is an error.
func TestScanRefuses(t *testing.T) {
	t.Parallel()
	const lastFile = "dt=2026-01-01/hr=01/00000000-3140-4f0b-bd7d-8d29e6d192df-0_0-115-189_20261123045630340.parquet"
	for _, tc := range []struct {
		name  string
		query Query
		spoil func(t *testing.T, s storage.Store)
		check func(error) bool
	}{
		{"before the first active commit", Query{AsOf: "20261123045604961"}, nil, is(ErrTimeTravel)},
		{"a file that is gone", Query{}, func(t *testing.T, s storage.Store) {
			if err := s.Delete(t.Context(), lastFile); err != nil {
				t.Fatal(err)
			}
		}, is(ErrTimeTravel)},
		{"a damaged file", Query{}, func(t *testing.T, s storage.Store) { putObject(t, s, lastFile, []byte("PAR1 and so on PAR1")) }, func(err error) bool {
			_, ok := errors.AsType[*basefile.FileError](err)
			return ok && strings.Contains(err.Error(), lastFile)
		}},
		{"a file that may be a log", Query{}, func(t *testing.T, s storage.Store) {
			putObject(t, s, "dt=2026-01-01/hr=01/.00000000-3140-4f0b-bd7d-8d29e6d192df-0_20261123045630340.log.one", nil)
		}, func(err error) bool {
			_, ok := errors.AsType[*UnsupportedError](err)
			return ok
		}},
		{"a later version", Query{}, func(t *testing.T, s storage.Store) {
			editObject(t, s, ".hoodie/hoodie.properties", "table.version=6", "table.version=10")
		}, func(err error) bool {
			e, ok := errors.AsType[*UnsupportedError](err)
			return ok && e.Property == "hoodie.table.version"
		}},
		{"no table", Query{}, func(t *testing.T, s storage.Store) {
			if err := s.Delete(t.Context(), ".hoodie/hoodie.properties"); err != nil {
				t.Fatal(err)
			}
		}, is(ErrNotFound)},
		{"unknown column", Query{Columns: []string{"nope"}}, nil, is(ErrInvalid)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			store := goldenTable(t, "v6-cow-015")
			if tc.spoil != nil {
				tc.spoil(t, store)
			}
			table, last := Open(t.Context(), store)
			if last == nil {
				for _, err := range table.Scan(t.Context(), tc.query) {
					if last != nil {
						t.Error("goes on after an error")
					}
					last = err
				}
			}
			if !tc.check(last) {
				t.Errorf("have error %v", last)
			}
		})
	}
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func TestScanStopsWhenAskedTo(t *testing.T) {
	t.Parallel()
	table, err := Open(t.Context(), goldenTable(t, "v6-cow-015"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range table.Scan(t.Context(), Query{}) {
		if n++; n == 5 {
			break
		}
	}
	if n != 5 {
		t.Errorf("%d rows", n)
	}
}

func TestTimelineOfSparkTable(t *testing.T) {
	t.Parallel()
	table, err := Open(t.Context(), goldenTable(t, "v6-cow-015"))
	if err != nil {
		t.Fatal(err)
	}
	active, err := table.Timeline(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	actions := make(map[timeline.Action]int)
	for _, e := range active.Entries() {
		if e.State != timeline.Completed {
			t.Errorf("pending %v", e)
		}
		actions[e.Action]++
	}
	want := map[timeline.Action]int{timeline.Commit: 2, timeline.ReplaceCommit: 1, timeline.Clean: 1, timeline.Rollback: 1}
	if !maps.Equal(actions, want) {
		t.Errorf("actions %v, want %v", actions, want)
	}
}

// TestMergeOnReadEqualsCopyOnWrite: Spark did the same to a table of each type, with updates, late updates, deletions, rollbacks, a compaction
// and an insert overwrite, so our merging of the one must give the columns that the other's files simply hold. One commit was made to the
// merge-on-read table alone, while its compaction was pending: a second version of five rows.
func TestMergeOnReadEqualsCopyOnWrite(t *testing.T) {
	t.Parallel()
	rows := func(name string) map[string]string {
		texts := make(map[string]string)
		for _, row := range scanAll(t, goldenTable(t, name), Query{}) {
			key, _ := row.Get(basefile.RecordKeyColumn)
			meta := len(basefile.MetaColumns())
			text, err := Row{Columns: row.Columns[meta:], Values: row.Values[meta:]}.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			partition, _ := row.Get(basefile.PartitionPathColumn)
			id := fmt.Sprint(partition, "/", key)
			if _, twice := texts[id]; twice {
				t.Errorf("%s: %s is there twice", name, id)
			}
			texts[id] = string(text)
		}
		return texts
	}
	plain := rows("v6-cow-015")
	for _, name := range []string{"v6-mor-015", "v9-mor-12"} {
		compareRows(t, name, rows(name), plain)
	}
}

// compareRows compares the rows of a merge-on-read table with those of its copy-on-write twin.
func compareRows(t *testing.T, name string, merged, plain map[string]string) {
	t.Helper()
	if len(plain) != 63 || len(merged) != len(plain) {
		t.Errorf("%d rows merged, %d plain, want 63", len(merged), len(plain))
	}
	pending := 0
	for key, want := range plain {
		have := merged[key]
		if strings.HasPrefix(key, "dt=2026-01-01/hr=00/session_id:s001,") && strings.Contains(have, `"v":"2"`) && strings.Contains(want, `"v":"1"`) {
			pending++
			continue
		}
		if have != want {
			t.Errorf("%s: %s: merged %s\nplain %s", name, key, have, want)
		}
	}
	if pending != 5 {
		t.Errorf("%d rows of the commit under the pending compaction, want 5", pending)
	}
}
