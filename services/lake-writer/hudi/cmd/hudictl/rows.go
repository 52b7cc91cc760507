package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)

func rowsCommand() command {
	return command{
		name: "rows", args: "PATH", about: "write the rows, one JSON object a line or CSV", outputs: []string{"json", "csv", "text"},
		define: func(flags *flag.FlagSet) func(context.Context, *session) error {
			f := rowsFlags{
				columns:   flags.String("columns", "", "names, separated by commas; without it all, meta columns too"),
				partition: flags.String("partition", "", "only partitions that begin so; several with commas between"),
				asOf:      flags.String("as-of", "", "the table as of this instant"),
				optimized: flags.Bool("read-optimized", false, "base files alone"),
				since:     flags.String("since", "", "only rows that commits after this instant wrote; 0 for all"),
				until:     flags.String("until", "", "with --since: up to and with this instant"),
				limit:     flags.Int("limit", 0, "end after so many rows"),
			}
			return func(ctx context.Context, s *session) error {
				q, err := f.query()
				if err != nil {
					return err
				}
				return runRows(ctx, s, q, *f.limit)
			}
		},
	}
}

type rowsFlags struct {
	columns, partition, asOf, since, until *string
	optimized                              *bool
	limit                                  *int
}

func (f rowsFlags) query() (hudi.Query, error) {
	q := hudi.Query{Columns: listOf(*f.columns), Partitions: listOf(*f.partition)}
	incremental := *f.since != "" || *f.until != ""
	switch {
	case incremental && (*f.optimized || *f.asOf != ""):
		return q, &usageError{"--since and --until do not go with --as-of and --read-optimized"}
	case incremental:
		q.Type = hudi.Incremental
	case *f.optimized:
		q.Type = hudi.ReadOptimized
	}
	var err error
	if q.From, err = instantOf(*f.since); err != nil {
		return q, err
	}
	until := *f.asOf
	if incremental {
		until = *f.until
	}
	q.AsOf, err = instantOf(until)
	return q, err
}

func runRows(ctx context.Context, s *session, q hudi.Query, limit int) error {
	table, err := openTable(ctx, s.args[0])
	if err != nil {
		return err
	}
	write := jsonRows(s.out)
	if s.output != "json" {
		if q.Columns == nil { // the line of names does not wait for a row
			view, err := table.View(ctx, q.AsOf, q.Partitions)
			if err == nil {
				q.Columns, err = view.Columns()
			}
			if err != nil {
				return err
			}
		}
		if write, err = csvRows(s.out, q.Columns); err != nil {
			return err
		}
	}
	n := 0
	for row, err := range table.Scan(ctx, q) {
		if err == nil {
			err = write(row)
		}
		if err != nil { // a closed pipe ends it too
			return err
		}
		if n++; n == limit {
			break
		}
	}
	return nil
}

func jsonRows(w io.Writer) func(hudi.Row) error {
	return func(row hudi.Row) error {
		line, err := row.MarshalJSON()
		if err != nil {
			return err
		}
		_, err = w.Write(append(line, '\n'))
		return err
	}
}

// csvRows writes a line of names and one for each row. Null is empty, as is an empty text; values that are no text are as in JSON.
func csvRows(w io.Writer, columns []string) (func(hudi.Row) error, error) {
	out := csv.NewWriter(w)
	if err := out.Write(columns); err != nil {
		return nil, err
	}
	out.Flush()
	return func(row hudi.Row) error {
		fields := make([]string, len(row.Values))
		for i, value := range row.Values {
			var err error
			if fields[i], err = csvField(row.Columns[i], value); err != nil {
				return err
			}
		}
		if err := out.Write(fields); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	}, out.Error()
}

func csvField(column string, value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	// A row of the value alone has the form that the value has in a row's JSON.
	text, err := hudi.Row{Columns: []string{"v"}, Values: []any{value}}.MarshalJSON()
	if err != nil {
		return "", fmt.Errorf("column %s: %w", column, err)
	}
	text = text[len(`{"v":`) : len(text)-1]
	var plain string
	if json.Unmarshal(text, &plain) == nil {
		return plain, nil
	}
	return string(text), nil
}
