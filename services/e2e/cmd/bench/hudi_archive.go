package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

const (
	agingKeys  = 1000 // of an aging table
	agingRows  = 20   // upserts of a commit
	agingPause = 25   // commits between services
)

// agingTable is a table that is committed to over and over, and kept small.
type agingTable struct {
	*benchTable
	store   *countingStore
	commits int
}

func (l *library) newAging(ctx context.Context, name string) (*agingTable, error) {
	dir, err := storage.NewDir(filepath.Join(l.dir, name))
	if err != nil {
		return nil, err
	}
	store := &countingStore{Store: dir}
	t, err := createTable(ctx, store, hudi.MergeOnRead)
	return &agingTable{benchTable: t, store: store}, err
}

// age makes the table so many commits old.
func (t *agingTable) age(ctx context.Context, commits int) error {
	for t.commits < commits {
		if _, err := t.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step commits once, and serves the table when it is time to; the cost is the commit's.
func (t *agingTable) step(ctx context.Context) (cost, error) {
	t.commits++
	from := t.commits * agingRows % agingKeys
	groups := inventGroups(tableBuckets, from, from+agingRows, t.commits)
	c, err := spend(func() error { return t.commit(ctx, groups) })
	if err == nil && t.commits%agingPause == 0 {
		err = t.service(ctx)
	}
	if err != nil {
		return cost{}, fmt.Errorf("commit %d: %w", t.commits, err)
	}
	return c, nil
}

// archive makes a table of many commits, a twentieth of rows of them, with compaction, cleaning and archiving. At times it takes turns
// in commits with a young table, so that the machine's other work slows both, and shows what the age costs.
func (l *library) archive(ctx context.Context) error {
	t, err := l.newAging(ctx, "old")
	if err != nil {
		return err
	}
	commits := l.rows / 20
	l.printf("\narchive: %d commits of %d upserts over %d keys; compaction, clean and archive each %d", commits, agingRows, agingKeys, agingPause)
	l.printf("%10s %14s %14s %10s %12s %14s %12s", "commits", "commit cpu ms", "young's cpu ms", "ratio", "heap KiB", "open listings", "open reads")
	for step := max(commits/10, l.youngAge); t.commits < commits; {
		if err := t.age(ctx, min(t.commits+step, commits)-l.youngAge); err != nil {
			return err
		}
		if err := l.compareAges(ctx, t); err != nil {
			return err
		}
	}
	if n, err := t.count(ctx); err != nil || n != agingKeys {
		return fmt.Errorf("table of %d rows, want %d: %w", n, agingKeys, err)
	}
	return nil
}

// compareAges makes youngAge commits to the table, in turns with a young one, and prints a line.
func (l *library) compareAges(ctx context.Context, t *agingTable) error {
	young, err := l.newAging(ctx, fmt.Sprint("young-", t.commits))
	if err != nil {
		return err
	}
	if err := young.age(ctx, l.youngAge); err != nil {
		return err
	}
	var old, other series
	for range l.youngAge {
		c, err := t.step(ctx)
		if err != nil {
			return err
		}
		old.add(c, 1)
		if c, err = young.step(ctx); err != nil {
			return err
		}
		other.add(c, 1)
	}
	heap := liveHeap() / 1024
	opened, err := t.store.opening(ctx)
	if err != nil {
		return err
	}
	l.printf("%10d %14.2f %14.2f %10.2f %12d %14d %12d", t.commits, median(old.cpu)/1e6, median(other.cpu)/1e6, ratio(old.cpu, other.cpu), heap,
		opened.lists, opened.reads)
	return nil
}
