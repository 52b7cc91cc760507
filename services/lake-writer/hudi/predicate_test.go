package hudi

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// TestScanWhere compares bounded queries with unbounded ones whose rows the test judges.
func TestScanWhere(t *testing.T) {
	t.Parallel()
	text := func(row Row, column string) string {
		v, _ := row.Get(column)
		s, _ := v.(string)
		return s
	}
	for _, tc := range []struct {
		name  string
		query Query
		holds func(Row) bool
	}{
		{"one key", Query{Where: []Bounds{{"session_id", "s003", "s003"}}}, func(r Row) bool { return text(r, "session_id") == "s003" }},
		{"open above", Query{Where: []Bounds{{"session_id", "s005", nil}}}, func(r Row) bool { return text(r, "session_id") >= "s005" }},
		{"open below", Query{Where: []Bounds{{"session_id", nil, "s002"}}}, func(r Row) bool { return text(r, "session_id") <= "s002" }},
		{"two columns", Query{Where: []Bounds{{"session_id", "s003", nil}, {"hr", "00", "01"}}}, func(r Row) bool {
			return text(r, "session_id") >= "s003" && text(r, "hr") <= "01"
		}},
		{"of one commit", Query{Where: []Bounds{{basefile.CommitTimeColumn, "20261123045600000", nil}}}, func(r Row) bool {
			return text(r, basefile.CommitTimeColumn) >= "20261123045600000"
		}},
	} {
		for _, table := range []string{"v6-cow-015", "v6-mor-015", "v9-mor-12"} {
			t.Run(tc.name+", "+table, func(t *testing.T) {
				t.Parallel()
				store := goldenTable(t, table)
				want := make(map[[2]any]bool) // by partition and key
				all := scanAll(t, store, Query{})
				for _, row := range all {
					if tc.holds(row) {
						want[[2]any{text(row, basefile.PartitionPathColumn), text(row, basefile.RecordKeyColumn)}] = true
					}
				}
				q := tc.query
				q.Columns = []string{basefile.PartitionPathColumn, basefile.RecordKeyColumn} // without those that are judged
				rows := scanAll(t, store, q)
				for _, row := range rows {
					if len(row.Values) != 2 || !want[[2]any{row.Values[0], row.Values[1]}] {
						t.Errorf("row %v is not asked for", row.Values)
					}
				}
				if len(rows) != len(want) || len(want) == 0 && table == "v6-cow-015" || len(want) == len(all) && len(tc.query.Where) > 1 {
					t.Errorf("%d rows, want %d of %d", len(rows), len(want), len(all))
				}
			})
		}
	}
}

func TestScanWhereRefuses(t *testing.T) {
	t.Parallel()
	table := mustOpen(t, goldenTable(t, "v6-cow-015"))
	for _, b := range []Bounds{{"nope", 1, nil}, {"session_id", int64(1), nil}, {"tags", "a", nil}} {
		var last error
		for _, err := range table.Scan(t.Context(), Query{Where: []Bounds{b}}) {
			last = err
		}
		if !errors.Is(last, ErrInvalid) {
			t.Errorf("bounds of %s: %v", b.Column, last)
		}
	}
}

// TestPassesOver: files are not read whose footer says that they have no such row, and are where it says nothing that can be relied on.
func TestPassesOver(t *testing.T) {
	t.Parallel()
	table := mustOpen(t, goldenTable(t, "v6-cow-015"))
	view, err := table.View(t.Context(), "", []string{"dt=2026-01-01/hr=00/"})
	if err != nil || len(view.Slices) == 0 {
		t.Fatalf("%d slices, %v", len(view.Slices), err)
	}
	file, err := table.OpenFile(t.Context(), view.Slices[0].Base)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		bounds Bounds
		want   bool
	}{
		{Bounds{"hr", "00", "00"}, false},
		{Bounds{"hr", "01", nil}, true},
		{Bounds{"hr", nil, "/"}, true},
		{Bounds{"hr", nil, nil}, false},
		{Bounds{"a column that came later", nil, nil}, true},
		{Bounds{"tags", "a", nil}, false},
		{Bounds{"hr", int64(1), nil}, false}, // the rows will say that it is wrong
	} {
		if got := (Query{Where: []Bounds{tc.bounds}}).passesOver(file); got != tc.want {
			t.Errorf("%+v: passes over: %v", tc.bounds, got)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		value, low, high any
		want             bool
	}{
		{int64(5), int64(5), int64(5), true},
		{int64(5), int64(6), nil, false},
		{int64(5), nil, int64(4), false},
		{1.5, 1.0, 2.0, true},
		{math.NaN(), 1.0, nil, false},
		{float32(1), nil, float32(1), true},
		{Date(3), Date(3), nil, true},
		{time.Minute, time.Second, time.Hour, true},
		{day, day, day.Add(1), true},
		{day, day.Add(1), nil, false},
		{nil, nil, nil, false},
		{[]byte("x"), nil, nil, true},
	} {
		if got, err := (Bounds{"c", tc.low, tc.high}).holds(tc.value); got != tc.want || err != nil {
			t.Errorf("%v within %v and %v: %v, %v", tc.value, tc.low, tc.high, got, err)
		}
	}
	if _, err := (Bounds{"c", []byte("a"), nil}).holds([]byte("x")); !errors.Is(err, ErrInvalid) {
		t.Errorf("bytes have no order: %v", err)
	}
}
