package hudi

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Row is one row of a table.
type Row = basefile.Row

// QueryType is what a query asks for.
type QueryType int

// The types of queries. On a copy-on-write table the first two give the same rows.
const (
	Snapshot QueryType = iota
	ReadOptimized
	Incremental
)

// Query selects rows and columns.
type Query struct {
	Type       QueryType
	AsOf       timeline.Instant // "": now
	From       timeline.Instant // of an incremental query: rows that commits after it wrote, up to and with AsOf
	Columns    []string         // in this order; nil: the meta columns and the table's columns
	Partitions []string         // path prefixes, "event_date=2026-11-22/": only partitions that begin so; nil: all
}

// Scan yields the query's rows, by partition, file group and place in the file. A column that an older file lacks is null. It
// holds a page of each column of one file, and that file whole when it is small. After an error it yields nothing more. It
// does not pass over what it cannot read: log files, files that a cleaner took, times before the active timeline are errors.
func (t *Table) Scan(ctx context.Context, q Query) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		view, err := t.View(ctx, q.AsOf, q.Partitions)
		if err == nil && len(view.Missing) > 0 {
			err = fmt.Errorf("data file %s: %w", view.Missing[0], ErrTimeTravel)
		}
		if err == nil {
			q.Columns, err = view.choose(q.Columns)
		}
		if err != nil {
			yield(Row{}, err)
			return
		}
		for _, slice := range view.Slices {
			if q.Type == Incremental && slice.Base.Instant <= q.From { // all its rows are older
				continue
			}
			if err := ctx.Err(); err != nil {
				yield(Row{}, err)
				return
			}
			if !t.scanSlice(ctx, q, slice, yield) {
				return
			}
		}
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
func (t *Table) scanSlice(ctx context.Context, q Query, slice fileslice.Slice, yield func(Row, error) bool) bool {
	fail := func(err error) bool {
		yield(Row{}, fmt.Errorf("data file %s: %w", slice.Base.Key(), err))
		return false
	}
	if len(slice.Logs) > 0 && q.Type != ReadOptimized {
		return fail(ErrLogFiles)
	}
	file, err := t.OpenFile(ctx, slice.Base)
	if err != nil {
		return fail(err)
	}
	// Only what the file has can be asked of it; the commit time tells what an incremental query wants.
	inFile := file.Columns()
	wanted := slices.DeleteFunc(slices.Clone(q.Columns), func(c string) bool { return !slices.Contains(inFile, c) })
	if q.Type == Incremental && !slices.Contains(wanted, basefile.CommitTimeColumn) {
		wanted = append(wanted, basefile.CommitTimeColumn)
	}
	for row, err := range file.Rows(wanted) {
		if err != nil {
			return fail(err)
		}
		if q.Type == Incremental && !q.covers(row) {
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

// covers reports whether a commit of the incremental query's span wrote the row.
func (q Query) covers(row Row) bool {
	v, _ := row.Get(basefile.CommitTimeColumn)
	text, _ := v.(string)
	at := timeline.Instant(text)
	return at > q.From && (q.AsOf == "" || at <= q.AsOf)
}
