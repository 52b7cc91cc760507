package hudi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Row is one row of a table.
type Row = basefile.Row

// QueryType is what a query asks for.
type QueryType int

// The types of queries. On a copy-on-write table the first two give the same rows.
const (
	Snapshot      QueryType = iota
	ReadOptimized           // base files alone: of a merge-on-read table what the last compaction knew
	Incremental             // those rows of the snapshot that commits of a span of time wrote
)

// Query selects rows and columns.
type Query struct {
	Type       QueryType
	AsOf       timeline.Instant // "": now
	From       timeline.Instant // of an incremental query: rows that commits after it wrote, up to and with AsOf
	Columns    []string         // in this order; nil: the meta columns and the table's columns
	Where      []Bounds         // only rows that are within all of them
	Partitions []string         // path prefixes, "event_date=2026-11-22/": only partitions that begin so; nil: all
}

// Scan yields the query's rows, by partition, file group and place in the file. A column that an older file lacks is null. It
// holds a page of each column of one file, that file whole when it is small, and of a slice with logs their newest records, which spill to
// temporary files beyond a bound. After an error it yields nothing more. It does not pass over what it cannot read: unknown log files, files
// that a cleaner took, times before the active timeline are errors.
func (t *Table) Scan(ctx context.Context, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		view, q, err := t.prepare(ctx, q)
		if err != nil {
			yield(Row{}, err)
			return
		}
		for _, slice := range view.Slices {
			if !q.touches(slice) {
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(Row{}, err)
				return
			}
			if !t.scanSlice(ctx, q, view, slice, yield) {
				return
			}
		}
	}
}

// prepare reads the picture that a query is answered from, and names its columns.
func (t *Table) prepare(ctx context.Context, q Query) (*View, Query, error) {
	view, err := t.View(ctx, q.AsOf, q.Partitions)
	if err == nil && len(view.Missing) > 0 {
		err = fmt.Errorf("data file %s: %w", view.Missing[0], ErrTimeTravel)
	}
	if err == nil {
		q.Columns, err = view.choose(q.Columns)
	}
	if err == nil && len(q.Where) > 0 {
		_, err = view.choose(q.judged())
	}
	return view, q, err
}

// touches reports whether the query can get rows from a slice.
func (q Query) touches(s fileslice.Slice) bool {
	switch q.Type {
	case ReadOptimized:
		return s.HasBase
	case Incremental: // the rows of an older base file are older
		return len(s.Logs) > 0 || s.Base.Instant > q.From
	default:
		return true
	}
}

// Columns are the meta columns and those of the schema.
func (v *View) Columns() ([]string, error) {
	var schema struct {
		Fields []struct {
			Name string `json:"name"`
		} `json:"fields"`
	}
	if err := json.Unmarshal([]byte(v.Schema), &schema); err != nil {
		return nil, fmt.Errorf("read the table's schema: %w", err)
	}
	columns := basefile.MetaColumns()
	for _, f := range schema.Fields {
		if !slices.Contains(columns, f.Name) { // some writers record the meta columns too
			columns = append(columns, f.Name)
		}
	}
	return columns, nil
}

// choose checks the names of the columns asked for.
func (v *View) choose(names []string) ([]string, error) {
	columns, err := v.Columns()
	if err != nil || names == nil {
		return columns, err
	}
	for _, name := range names {
		if !slices.Contains(columns, name) {
			return nil, fmt.Errorf("the table has no column %q: %w", name, ErrInvalid)
		}
	}
	return names, nil
}

// scanSlice yields the rows of one file group, and says whether to go on.
func (t *Table) scanSlice(ctx context.Context, q Query, view *View, slice fileslice.Slice, yield func(Row, error) bool) bool {
	rows, err := t.sliceRows(ctx, q, view, slice)
	if err != nil {
		yield(Row{}, fmt.Errorf("file group %s/%s: %w", slice.Partition, slice.FileID, err))
		return false
	}
	for row, err := range rows {
		if err != nil {
			yield(Row{}, fmt.Errorf("file group %s/%s: %w", slice.Partition, slice.FileID, err))
			return false
		}
		if q.Type == Incremental && !q.covers(row) {
			continue
		}
		in, err := q.inBounds(row)
		if err != nil {
			yield(Row{}, fmt.Errorf("file group %s/%s: %w", slice.Partition, slice.FileID, err))
			return false
		}
		if !in {
			continue
		}
		out := Row{Columns: q.Columns, Values: make([]any, len(q.Columns))}
		for i, c := range q.Columns {
			out.Values[i], _ = row.Get(c)
		}
		if !yield(out, nil) {
			return false
		}
	}
	return true
}

// sliceRows are a slice's rows with at least the columns that it has of those wanted.
func (t *Table) sliceRows(ctx context.Context, q Query, view *View, slice fileslice.Slice) (iter.Seq2[Row, error], error) {
	wanted := q.wanted()
	var base *basefile.Reader
	if slice.HasBase {
		var err error
		if base, err = t.OpenFile(ctx, slice.Base); err != nil {
			return nil, fmt.Errorf("open base file %s: %w", slice.Base.Key(), err)
		}
	}
	if q.merges(slice) {
		cfg, err := t.readConfig(view)
		if err != nil {
			return nil, err
		}
		return merge.Rows(ctx, cfg, base, t.logSources(slice.Logs), wanted), nil
	}
	if q.passesOver(base) {
		return func(func(Row, error) bool) {}, nil
	}
	return baseRows(base, view.Schema, wanted), nil
}

// wanted are the columns asked for and those that tell which rows are.
func (q Query) wanted() []string {
	wanted, judged := slices.Clone(q.Columns), q.judged()
	if q.Type == Incremental {
		judged = append(judged, basefile.CommitTimeColumn)
	}
	for _, c := range judged {
		if !slices.Contains(wanted, c) {
			wanted = append(wanted, c)
		}
	}
	return wanted
}

// merges reports whether the query needs a slice's logs.
func (q Query) merges(s fileslice.Slice) bool { return len(s.Logs) > 0 && q.Type != ReadOptimized }

// readConfig is how the view's logs are merged.
func (t *Table) readConfig(view *View) (merge.Config, error) {
	ordering, mode, err := mergeRule(t.props)
	cfg := t.mergeConfig(view.Schema, ordering, view.Timeline.Committed)
	cfg.Mode = mode
	return cfg, err
}

// baseRows are a base file's rows as the table's schema shows them. Where a column is of another type in the file, they are shown with the
// file's own types: Spark makes a string of a partition column in the schema of a table that is partitioned by time, and leaves its files.
func baseRows(base *basefile.Reader, schema string, wanted []string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for row, err := range base.RowsAs(schema, wanted) {
			var other *basefile.SchemaError
			if errors.As(err, &other) { // which is found before the first row
				inFile := base.Columns()
				base.Rows(slices.DeleteFunc(slices.Clone(wanted), func(c string) bool { return !slices.Contains(inFile, c) }))(yield)
				return
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// covers reports whether a commit of the incremental query's span wrote the row.
func (q Query) covers(row Row) bool {
	v, _ := row.Get(basefile.CommitTimeColumn)
	text, _ := v.(string)
	return q.spans(timeline.Instant(text))
}

// spans reports whether an instant is in the incremental query's span.
func (q Query) spans(at timeline.Instant) bool {
	return at > q.From && (q.AsOf == "" || at <= q.AsOf)
}
