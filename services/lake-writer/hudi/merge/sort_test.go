package merge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// files opens base files one after the other.
func files(t *testing.T, data ...[]byte) iter.Seq2[*basefile.Reader, error] {
	t.Helper()
	return func(yield func(*basefile.Reader, error) bool) {
		for _, d := range data {
			if !yield(basefile.OpenReader(bytes.NewReader(d), int64(len(d)))) {
				return
			}
		}
	}
}

func sortedRows(t *testing.T, cfg SortConfig, data ...[]byte) []basefile.KeptRecord {
	t.Helper()
	s, err := Sort(t.Context(), cfg, files(t, data...))
	if err != nil {
		t.Fatal(err)
	}
	var rows []basefile.KeptRecord
	for rec, err := range s.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		rec.Payload = slices.Clone(rec.Payload)
		rows = append(rows, rec)
	}
	if s.Rows != int64(len(rows)) {
		t.Errorf("%d rows of %d", len(rows), s.Rows)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestSortSpills: rows come out the same whether they fit into memory, fill some runs, or spill one by one; without columns in the order of
// the files.
func TestSortSpills(t *testing.T) {
	t.Parallel()
	first, second := benchFile(t, 500, 700), benchFile(t, 0, 600)
	plain := sortedRows(t, SortConfig{TableSchema: benchSchema}, first, second)
	want := slices.Clone(plain)
	slices.SortStableFunc(want, func(a, b basefile.KeptRecord) int { return cmp.Compare(a.Key, b.Key) })
	if len(want) < 700 || reflect.DeepEqual(plain, want) {
		t.Fatalf("%d rows, sorted already", len(want))
	}
	for _, limit := range []int64{0, 40 << 10, 1} {
		cfg := SortConfig{TableSchema: benchSchema, Columns: []string{basefile.RecordKeyColumn}, MemoryBytes: limit, SpillDir: t.TempDir()}
		if got := sortedRows(t, cfg, first, second); !reflect.DeepEqual(got, want) {
			t.Errorf("limit %d: %d rows in another order", limit, len(got))
		}
		empty(t, cfg.SpillDir)
		cfg.Columns = nil
		if got := sortedRows(t, cfg, first, second); !reflect.DeepEqual(got, plain) {
			t.Errorf("limit %d: %d rows in another order than in the files", limit, len(got))
		}
	}
}

func TestSortEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	cfg := SortConfig{TableSchema: benchSchema, Columns: []string{basefile.RecordKeyColumn}, MemoryBytes: 1, SpillDir: t.TempDir()}
	_, err := Sort(t.Context(), cfg, func(yield func(*basefile.Reader, error) bool) {
		for r, err := range files(t, benchFile(t, 0, 10)) {
			if !yield(r, err) {
				return
			}
		}
		yield(nil, broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	empty(t, cfg.SpillDir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Sort(ctx, cfg, files(t, benchFile(t, 0, checkEvery))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	empty(t, cfg.SpillDir)
	var refused *basefile.SchemaError
	cfg.Columns = []string{"no_such"}
	if _, err := Sort(t.Context(), cfg, files(t)); !errors.As(err, &refused) || refused.Path != "no_such" {
		t.Errorf("got %v", err)
	}
}

// TestSortKeys: keys compare as their values do.
func TestSortKeys(t *testing.T) {
	t.Parallel()
	schema, err := parseSchema(mustMeta(t, `{"type":"record","name":"r","fields":[{"name":"x","type":["null",{"type":"fixed","name":"d","size":6,`+
		`"logicalType":"decimal","precision":14,"scale":2}],"default":null}]}`))
	if err != nil {
		t.Fatal(err)
	}
	decimal := schema.payload.fields[0].node
	for name, values := range map[string][]any{
		"texts":    {nil, "", "\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "aa", "b"},
		"bytes":    {nil, []byte{}, []byte{0}, []byte{0, 0}, []byte{0, 1}, []byte{1}},
		"longs":    {nil, int64(math.MinInt64), int64(-1), int64(0), int64(1), int64(math.MaxInt64)},
		"doubles":  {nil, math.Inf(-1), -1.5, -math.SmallestNonzeroFloat64, math.Copysign(0, -1), 0.0, 1.5, math.Inf(1), math.NaN()},
		"floats":   {float32(-2), float32(-1), float32(0), float32(3)},
		"bools":    {nil, false, true},
		"dates":    {basefile.Date(-1), basefile.Date(0), basefile.Date(20_000)},
		"decimals": {nil, json.Number("-12345678901.00"), json.Number("-0.01"), json.Number("0.00"), json.Number("0.01"), json.Number("9.00"), json.Number("10.00")},
	} {
		var last sortKey
		for i, v := range values {
			columns := []sortColumn{{"x", 0, decimal}}
			key, err := sortKey(nil).row(basefile.Row{Values: []any{v}}, columns)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && bytes.Compare(last, key) >= 0 {
				t.Errorf("%s: %v is not behind %v", name, v, values[i-1])
			}
			// A second column does not change what the first one decides.
			if i > 0 && bytes.Compare(append(slices.Clone(last), 0xff), key) >= 0 {
				t.Errorf("%s: %v and more is not before %v", name, values[i-1], v)
			}
			last = key
		}
	}
	if _, err := sortKey(nil).row(basefile.Row{Values: []any{fmt.Stringer(nil), struct{}{}}}, []sortColumn{{"x", 1, decimal}}); err == nil {
		t.Error("a value of no kind has a key")
	}
}

func mustMeta(t *testing.T, schema string) string {
	t.Helper()
	text, err := basefile.WithMetaFields(schema)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
