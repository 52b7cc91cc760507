package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// summed is a column whose sum shows that a reader read the rows that were written.
const summed = "position_ms"

// snapshot compares reading a table whole: one with base files alone, and one with logs that replace a fifth of the rows.
func (l *library) snapshot(ctx context.Context) error {
	for _, kind := range []hudi.TableType{hudi.CopyOnWrite, hudi.MergeOnRead} {
		dir := filepath.Join(l.dir, "snapshot-"+string(kind))
		store, err := storage.NewDir(dir)
		if err != nil {
			return err
		}
		t, err := createTable(ctx, store, kind)
		if err != nil {
			return err
		}
		if err := t.commit(ctx, inventGroups(tableBuckets, 0, l.rows, 0)); err != nil {
			return err
		}
		if kind == hudi.MergeOnRead {
			if err := t.commit(ctx, inventGroups(tableBuckets, 0, l.rows/5, 1)); err != nil {
				return err
			}
		}
		if err := l.compareSnapshots(ctx, t, dir, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// contents are what a reader of a table found.
type contents struct {
	rows int
	sum  int64 // of the column summed
}

func (l *library) compareSnapshots(ctx context.Context, t *benchTable, dir string, kind hudi.TableType) (err error) {
	rust, missing := l.startPeer(ctx, "hudi-rs", "hudi_rs_snapshot.py", dir)
	if missing != nil && !errors.Is(missing, errNoPeer) {
		return missing
	}
	if missing == nil {
		defer func() { err = errors.Join(err, rust.stop()) }()
	}
	want, err := t.readRows(ctx)
	if err != nil || want.rows != l.rows {
		return fmt.Errorf("%d rows, want %d: %w", want.rows, l.rows, err)
	}
	var batches, rows series
	var theirs []float64
	for range l.rounds {
		if err := l.readSnapshot(ctx, &batches, t.readBatches, want); err != nil {
			return err
		}
		if err := l.readSnapshot(ctx, &rows, t.readRows, want); err != nil {
			return err
		}
		if missing != nil {
			continue
		}
		a, err := rust.work(l.rows)
		if err == nil && a.Sum != want.sum {
			err = fmt.Errorf("%s sums to %d, want %d", summed, a.Sum, want.sum)
		}
		if err != nil {
			return fmt.Errorf("hudi-rs: %w", err)
		}
		theirs = append(theirs, float64(a.CPU)/float64(l.rows))
	}
	l.printf("\nsnapshot: %s of %d rows, all columns", kind, l.rows)
	const line = "%-28s %10.0f rows a CPU-second %8.2f allocs a row   %.2f times as fast as its rows"
	l.printf(line, "this library, batches", 1e9/median(batches.cpu), median(batches.allocs), ratio(rows.cpu, batches.cpu))
	l.printf("%-28s %10.0f rows a CPU-second %8.2f allocs a row", "this library, rows", 1e9/median(rows.cpu), median(rows.allocs))
	if missing != nil {
		l.printf("%-28s not measured: %v", "hudi-rs", missing)
		return nil
	}
	l.printf("%-28s %10.0f rows a CPU-second   our batches are %.2f times as fast, our rows %.2f times (target 1.00)", "hudi-rs "+rust.version+", Arrow",
		1e9/median(theirs), ratio(theirs, batches.cpu), ratio(theirs, rows.cpu))
	return nil
}

// readSnapshot measures one reading of the table, and checks what it found.
func (l *library) readSnapshot(ctx context.Context, s *series, read func(context.Context) (contents, error), want contents) error {
	c, err := spend(func() error {
		have, err := read(ctx)
		if err == nil && have != want {
			err = fmt.Errorf("%d rows whose %s sum to %d, want %d and %d", have.rows, summed, have.sum, want.rows, want.sum)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.add(c, l.rows)
	return nil
}

// readRows reads the whole table, all columns, row by row.
func (t *benchTable) readRows(ctx context.Context) (c contents, err error) {
	for row, err := range t.table.Scan(ctx, hudi.Query{}) {
		if err != nil {
			return c, err
		}
		v, _ := row.Get(summed)
		n, _ := v.(int64)
		c.rows++
		c.sum += n
	}
	return c, nil
}

// readBatches reads the whole table, all columns, by columns.
func (t *benchTable) readBatches(ctx context.Context) (c contents, err error) {
	for b, err := range t.table.Batches(ctx, hudi.Query{}) {
		if err != nil {
			return c, err
		}
		c.rows += b.Rows
		column := b.Column(summed)
		for i, v := range column.Int64s {
			if !column.IsNull(i) {
				c.sum += v
			}
		}
	}
	return c, nil
}
