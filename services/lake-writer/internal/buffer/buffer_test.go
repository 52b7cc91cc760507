package buffer

import (
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/convert"
)

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func rows(n int, bytes int64, first int64, partition string) convert.Rows {
	out := convert.Rows{Bytes: bytes, First: first, Last: first + int64(n)}
	for i := range n {
		out.Rows = append(out.Rows, convert.Row{Partition: partition, Bucket: i % 2, Record: hudi.Record{Key: partition}})
	}
	return out
}

func add(t *testing.T, b *Buffer, now time.Time, partition int32, from int64, r convert.Rows) {
	t.Helper()
	if err := b.Add(now, Span{"events", partition, from, from + int64(len(r.Rows))}, r); err != nil {
		t.Fatal(err)
	}
}

func TestDue(t *testing.T) {
	t.Parallel()
	policy := Policy{Age: 10 * time.Second, Bytes: 1000, Rows: 10}
	tests := []struct {
		name  string
		rows  int
		bytes int64
		after time.Duration
		want  bool
	}{
		{"empty", 0, 0, time.Hour, false},
		{"young", 1, 1, 9 * time.Second, false},
		{"old", 1, 1, 10 * time.Second, true},
		{"bytes", 1, 1000, 0, true},
		{"rows", 10, 1, 0, true},
		{"just below", 9, 999, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := New(policy)
			add(t, b, start, 0, 0, rows(tt.rows, tt.bytes, 1, "p"))
			if got := b.Due(start.Add(tt.after)); got != tt.want {
				t.Errorf("Due is %v, want %v", got, tt.want)
			}
			if at, ok := b.Deadline(); ok != (tt.rows > 0) || ok && !at.Equal(start.Add(policy.Age)) {
				t.Errorf("Deadline is %v, %v", at, ok)
			}
		})
	}
}

func TestAgeCountsFromTheFirstRow(t *testing.T) {
	t.Parallel()
	b := New(Policy{Age: 10 * time.Second, Bytes: 1000, Rows: 10})
	if err := b.Add(start, Span{"events", 0, 5, 6}, convert.Rows{}); err != nil { // a control record
		t.Fatal(err)
	}
	add(t, b, start.Add(8*time.Second), 0, 6, rows(1, 1, 1, "p"))
	add(t, b, start.Add(9*time.Second), 1, 0, rows(1, 1, 1, "p"))
	if b.Due(start.Add(17 * time.Second)) {
		t.Error("due before the first row is old")
	}
	if !b.Due(start.Add(18 * time.Second)) {
		t.Error("not due when the first row is old")
	}
}

func TestTake(t *testing.T) {
	t.Parallel()
	b := New(Policy{Age: time.Second, Bytes: 1000, Rows: 10})
	add(t, b, start, 0, 100, rows(3, 30, 50, "p"))
	add(t, b, start, 1, 7, rows(2, 20, 40, "q"))
	add(t, b, start, 0, 103, rows(2, 20, 60, "p"))
	got := b.Take()
	if got.Rows != 7 || got.Bytes != 70 || got.First != 40 {
		t.Errorf("rows %d, bytes %d, first %d; want 7, 70, 40", got.Rows, got.Bytes, got.First)
	}
	if r := got.Ranges[Stream{"events", 0}]; r != (Range{100, 105, 62}) {
		t.Errorf("range of partition 0 is %+v", r)
	}
	if r := got.Ranges[Stream{"events", 1}]; r != (Range{7, 9, 42}) {
		t.Errorf("range of partition 1 is %+v", r)
	}
	count := map[string]int{}
	for _, g := range got.Groups {
		for _, r := range g.Records {
			if r.Key != g.Partition {
				t.Errorf("record of %s in group %s", r.Key, g.Partition)
			}
			count[g.Partition]++
		}
	}
	if len(got.Groups) != 4 || count["p"] != 5 || count["q"] != 2 {
		t.Errorf("%d groups with %v", len(got.Groups), count)
	}
	if b.Events() != 0 || b.Due(start.Add(time.Hour)) {
		t.Error("the buffer is not empty after Take")
	}
}

func TestOffsetsMustGoOn(t *testing.T) {
	t.Parallel()
	for _, from := range []int64{9, 11, 0} {
		b := New(Policy{Age: time.Second, Bytes: 1000, Rows: 10})
		add(t, b, start, 0, 7, rows(3, 30, 50, "p"))
		err := b.Add(start, Span{"events", 0, from, from + 1}, rows(1, 1, 1, "p"))
		if err == nil || !strings.Contains(err.Error(), "behind offset 10") {
			t.Errorf("Add from %d: %v", from, err)
		}
		if b.Events() != 3 {
			t.Errorf("a refused Add changed the buffer: %d rows", b.Events())
		}
	}
}
