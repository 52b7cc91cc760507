package hudi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Batch is a number of rows, by columns.
type Batch = columnar.Batch

// Batches yields what Scan does, by columns and many times faster: of a file only the pages of wanted columns are read, and values are not
// boxed. A batch, none of which is empty, and all it holds are valid until the next one. A column has the type that the table's schema gives
// it, or the file's where Scan says so. It holds what Scan holds, and in place of a file what is wanted of one of its row groups, up to 64 MiB.
func (t *Table) Batches(ctx context.Context, q Query) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		view, q, err := t.prepare(ctx, q)
		if err != nil {
			yield(nil, err)
			return
		}
		var scratch basefile.Scratch
		defer scratch.Close()
		for _, slice := range view.Slices {
			if !q.touches(slice) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			stopped, err := t.scanBatches(ctx, q, &scratch, view, slice, yield)
			if err != nil {
				yield(nil, fmt.Errorf("file group %s/%s: %w", slice.Partition, slice.FileID, err))
			}
			if stopped || err != nil {
				return
			}
		}
	}
}

// scanBatches yields the batches of one file group.
func (t *Table) scanBatches(
	ctx context.Context, q Query, scratch *basefile.Scratch, view *View, slice fileslice.Slice, yield func(*Batch, error) bool,
) (stopped bool, err error) {
	batches, err := t.sliceBatches(ctx, q, scratch, view, slice)
	if err != nil {
		return false, err
	}
	p := projection{columns: q.Columns, schema: view.Schema}
	var keep []int32
	for b, err := range batches {
		if err != nil {
			return false, err
		}
		if q.Type == Incremental || len(q.Where) > 0 {
			if keep, err = q.choose(b, keep[:0]); err != nil {
				return false, err
			}
			b.Keep(keep)
		}
		if b.Rows == 0 {
			continue
		}
		out, err := p.project(b)
		if err != nil {
			return false, err
		}
		if !yield(out, nil) {
			return true, nil
		}
	}
	return false, nil
}

// sliceBatches are a slice's batches with at least the columns that it has of those wanted.
func (t *Table) sliceBatches(
	ctx context.Context, q Query, scratch *basefile.Scratch, view *View, slice fileslice.Slice,
) (iter.Seq2[*Batch, error], error) {
	wanted := q.wanted()
	var base *basefile.Reader
	if slice.HasBase {
		var err error
		if base, err = t.openColumns(ctx, slice.Base); err != nil {
			return nil, fmt.Errorf("open base file %s: %w", slice.Base.Key(), err)
		}
	}
	if q.merges(slice) {
		cfg, err := t.readConfig(view)
		if err != nil {
			return nil, err
		}
		return merge.Batches(ctx, cfg, scratch, base, t.logSources(slice.Logs), wanted), nil
	}
	if q.passesOver(base) {
		return func(func(*Batch, error) bool) {}, nil
	}
	return baseBatches(scratch, base, view.Schema, wanted), nil
}

// baseBatches are baseRows by columns.
func baseBatches(scratch *basefile.Scratch, base *basefile.Reader, schema string, wanted []string) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		for b, err := range scratch.Batches(base, schema, wanted) {
			var other *basefile.SchemaError
			if errors.As(err, &other) { // which is found before the first batch
				inFile := base.Columns()
				wanted := slices.DeleteFunc(slices.Clone(wanted), func(c string) bool { return !slices.Contains(inFile, c) })
				scratch.Batches(base, "", wanted)(yield)
				return
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// choose are the numbers of the rows that the query wants.
func (q Query) choose(b *Batch, keep []int32) ([]int32, error) {
	at := b.Column(basefile.CommitTimeColumn)
	var tests []func(int) (bool, error)
	for _, bounds := range q.Where {
		tests = append(tests, bounds.of(b.Column(bounds.Column)))
	}
rows:
	for i := range b.Rows {
		if q.Type == Incremental && (at == nil || at.IsNull(i) || !q.spans(timeline.Instant(at.Bytes(i)))) {
			continue
		}
		for _, test := range tests {
			in, err := test(i)
			if err != nil {
				return nil, err
			}
			if !in {
				continue rows
			}
		}
		keep = append(keep, int32(i))
	}
	return keep, nil
}

// of tests the values of a column; nil is one of nulls. Texts of a dictionary are judged once.
func (r Bounds) of(c *columnar.Column) func(int) (bool, error) {
	if c == nil {
		return func(int) (bool, error) { return false, nil }
	}
	if c.Dict == nil {
		return func(i int) (bool, error) { return r.holds(basefile.ColumnValue(c, i)) }
	}
	const in, out = 1, 2
	verdicts := make([]byte, c.Dict.Len())
	return func(i int) (bool, error) {
		if c.IsNull(i) {
			return false, nil
		}
		verdict := &verdicts[c.Codes[i]]
		if *verdict == 0 {
			holds, err := r.holds(basefile.ColumnValue(c, i))
			if err != nil {
				return false, err
			}
			*verdict = out
			if holds {
				*verdict = in
			}
		}
		return *verdict == in, nil
	}
}

// projection makes batches of the query's columns.
type projection struct {
	columns []string
	schema  string
	out     Batch
	absent  map[string]*columnar.Column // of nulls
}

// project picks the columns; one that the batch lacks is null.
func (p *projection) project(b *Batch) (*Batch, error) {
	p.out = Batch{Names: p.columns, Rows: b.Rows, Columns: p.out.Columns[:0]}
	for _, name := range p.columns {
		c := b.Column(name)
		if c == nil {
			if p.absent[name] == nil {
				types, err := basefile.ColumnTypes(p.schema, []string{name})
				if err != nil {
					return nil, err
				}
				if p.absent == nil {
					p.absent = make(map[string]*columnar.Column)
				}
				p.absent[name] = columnar.New(types[0])
			}
			c = p.absent[name]
			c.Reset()
			c.AppendNulls(b.Rows)
		}
		p.out.Columns = append(p.out.Columns, c)
	}
	return &p.out, nil
}
