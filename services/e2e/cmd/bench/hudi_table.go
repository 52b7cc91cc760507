package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

const (
	tableBuckets = 4
	smallRows    = 100 // of a small commit
	smallCommits = 20  // of a round
)

// benchTable is a table with its only writer.
type benchTable struct {
	table  *hudi.Table
	writer *hudi.Writer
	next   int64 // offset
}

func createTable(ctx context.Context, store storage.Store, kind hudi.TableType) (*benchTable, error) {
	table, err := hudi.Create(ctx, store, hudi.TableConfig{
		Database: "lake", Name: "bench", Type: kind, RecordKeyFields: []string{"session_id", "event_id"}, PartitionFields: []string{"day"},
		OrderingField: "event_time", Buckets: tableBuckets, BucketField: "session_id", Schema: benchSchema,
	})
	if err != nil {
		return nil, err
	}
	writer, err := table.Acquire(ctx, "bench")
	return &benchTable{table: table, writer: writer}, err
}

// commit upserts events of numbers, in a version, and checks how many rows were written.
func (t *benchTable) commit(ctx context.Context, groups []hudi.Group) error {
	records := int64(0)
	for _, g := range groups {
		records += int64(len(g.Records))
	}
	result, err := t.writer.Commit(ctx, hudi.CommitRequest{
		Operation: hudi.Upsert, WriterSchemas: []string{benchSchema}, Groups: groups,
		Progress: hudi.Progress{"bench": {0: {From: t.next, Next: t.next + records}}},
	})
	if err != nil {
		return err
	}
	t.next += records
	if n := result.Rows + result.Updated; n != records || !result.Projected {
		return fmt.Errorf("commit of %d records wrote %d", records, n)
	}
	return nil
}

// count reads the whole table, all columns.
func (t *benchTable) count(ctx context.Context) (rows int, err error) {
	for _, err := range t.table.Scan(ctx, hudi.Query{}) {
		if err != nil {
			return 0, err
		}
		rows++
	}
	return rows, nil
}

// commit measures commits of a few rows to every bucket of a partition, on local files, of a table that is kept small between rounds.
func (l *library) commit(ctx context.Context) error {
	l.printf("\ncommit: %d rows to %d file groups, on local files; per commit", smallRows, tableBuckets)
	for _, kind := range []hudi.TableType{hudi.MergeOnRead, hudi.CopyOnWrite} {
		s, err := l.smallCommits(ctx, kind)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		l.printf("%-28s %10.2f cpu ms %10.0f allocs   (target 10 ms and the rows')", kind, median(s.cpu)/1e6, median(s.allocs))
	}
	return nil
}

func (l *library) smallCommits(ctx context.Context, kind hudi.TableType) (*series, error) {
	store, err := storage.NewDir(filepath.Join(l.dir, "commit-"+string(kind)))
	if err != nil {
		return nil, err
	}
	t, err := createTable(ctx, store, kind)
	if err != nil {
		return nil, err
	}
	rows, s := 0, new(series)
	for range l.rounds {
		work := make([][]hudi.Group, smallCommits)
		for i := range work {
			work[i] = inventGroups(tableBuckets, rows, rows+smallRows, 0)
			rows += smallRows
		}
		c, err := spend(func() error {
			for _, groups := range work {
				if err := t.commit(ctx, groups); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		s.add(c, smallCommits)
		if err := t.service(ctx); err != nil {
			return nil, err
		}
	}
	if n, err := t.count(ctx); err != nil || n != rows {
		return nil, fmt.Errorf("table of %d rows, want %d: %w", n, rows, err)
	}
	return s, nil
}

// service is what keeps a table small.
func (t *benchTable) service(ctx context.Context) error {
	if t.table.Type() == hudi.MergeOnRead {
		if _, err := t.writer.Compact(ctx, hudi.CompactOptions{}); err != nil {
			return fmt.Errorf("compact: %w", err)
		}
	}
	if _, err := t.writer.Clean(ctx, hudi.CleanOptions{Policy: hudi.CleanByCommits, Retain: 10}); err != nil {
		return fmt.Errorf("clean: %w", err)
	}
	if _, err := t.writer.Archive(ctx, hudi.ArchiveOptions{KeepMin: 20, KeepMax: 30}); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return nil
}
