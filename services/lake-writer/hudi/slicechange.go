package hudi

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// SliceQuery asks for what changed in one file group.
type SliceQuery struct {
	Partition, FileID string
	// From and To are the states that are compared. From "" is the state of the commit before To, so that the answer is what To did.
	From, To timeline.Instant
	Columns  []string // of the rows; nil: all of the later state
}

// ChangeKind is what became of a row.
type ChangeKind string

// The kinds of changes.
const (
	RowAdded   ChangeKind = "added"
	RowUpdated ChangeKind = "updated"
	RowDeleted ChangeKind = "deleted"
)

// RowChange is a row that is not in both states of a file group as it is.
type RowChange struct {
	Kind   ChangeKind
	Key    string
	Before *Row // nil of an added row
	After  *Row // nil of a deleted row
}

// SliceChanges yields the rows that a file group gained between two instants, and then those that it lost or that changed, with their images
// before and after. The meta columns do not count, so that a compaction changes nothing. In a group that was taken away meanwhile all
// rows are deleted; a clustering shows as such. After an error it yields nothing more; a state that is not known any more is ErrTimeTravel.
//
// Rows are found by their record keys; of a group that has a key twice, which only append-only tables have, the answer is of no use. The earlier state is read twice: what is held of it are a hash for each key,
// and the later rows of the keys that changed.
func (t *Table) SliceChanges(ctx context.Context, q SliceQuery) iter.Seq2[RowChange, error] {
	return func(yield func(RowChange, error) bool) {
		c, err := t.beginSliceChanges(ctx, q)
		if err == nil {
			err = c.run(yield)
		}
		if err != nil {
			yield(RowChange{}, fmt.Errorf("changes of file group %s in %q: %w", q.FileID, q.Partition, err))
		}
	}
}

// sliceChanges compares two states of a file group.
type sliceChanges struct {
	before, after iter.Seq2[keyedRow, error]
	sums          map[string][sha256.Size]byte // of the earlier rows that are not in the later state as they are
	updated       map[string]*Row
}

// keyedRow is a row with its record key and its columns as the caller wants them.
type keyedRow struct {
	key string
	row Row
}

func (r keyedRow) sum() ([sha256.Size]byte, error) {
	text, err := json.Marshal(r.row)
	return sha256.Sum256(text), err
}

func (t *Table) beginSliceChanges(ctx context.Context, q SliceQuery) (*sliceChanges, error) {
	if q.From == "" {
		var err error
		if q.From, err = t.commitBefore(ctx, q.To); err != nil {
			return nil, err
		}
	}
	later, err := t.View(ctx, q.To, []string{partitionPrefix(q.Partition)})
	if err != nil {
		return nil, err
	}
	if q.Columns == nil {
		columns, err := later.Columns()
		if err != nil {
			return nil, err
		}
		q.Columns = slices.DeleteFunc(columns, func(c string) bool { return slices.Contains(basefile.MetaColumns(), c) })
	} else if _, err := later.choose(q.Columns); err != nil {
		return nil, err
	}
	c := &sliceChanges{sums: make(map[string][sha256.Size]byte), updated: make(map[string]*Row)}
	none := func(func(keyedRow, error) bool) {}
	c.before, c.after = none, none
	if q.From != "" {
		earlier, err := t.View(ctx, q.From, []string{partitionPrefix(q.Partition)})
		if err != nil {
			return nil, err
		}
		old, inOld, err := earlier.group(q)
		if err != nil {
			return nil, err
		}
		now, inNow, err := later.group(q)
		if err != nil {
			return nil, err
		}
		if inOld && inNow && sameRows(old, now, t.layout()) {
			return c, nil
		}
		if inOld {
			c.before = t.keyedRows(ctx, q, earlier, old)
		}
	}
	now, inNow, err := later.group(q)
	if err == nil && inNow {
		c.after = t.keyedRows(ctx, q, later, now)
	}
	return c, err
}

// commitBefore is the commit before an instant, "" when there is none.
func (t *Table) commitBefore(ctx context.Context, i timeline.Instant) (timeline.Instant, error) {
	tl, err := t.Timeline(ctx)
	if err != nil {
		return "", err
	}
	commits := tl.Commits()
	at := slices.IndexFunc(commits, func(e timeline.Entry) bool { return e.Instant == i })
	switch {
	case at < 0:
		return "", fmt.Errorf("commit %s is not on the active timeline: %w", i, ErrTimeTravel)
	case at == 0:
		return "", nil
	default:
		return commits[at-1].Instant, nil
	}
}

// group finds the query's file group among the view's slices.
func (v *View) group(q SliceQuery) (s fileslice.Slice, ok bool, err error) {
	for _, key := range v.Missing {
		if f, err := fileslice.ParseKey(key); err == nil && f.Partition == q.Partition && f.FileID == q.FileID {
			return s, false, fmt.Errorf("data file %s: %w", key, ErrTimeTravel)
		}
	}
	i := slices.IndexFunc(v.Slices, func(s fileslice.Slice) bool { return s.Partition == q.Partition && s.FileID == q.FileID })
	if i < 0 {
		return s, false, nil
	}
	return v.Slices[i], true, nil
}

// sameRows reports whether two slices surely have the same rows. In layout 1 a log does not tell by its name whether it is of a commit that
// a view of the past counts.
func sameRows(a, b fileslice.Slice, layout timeline.Layout) bool {
	return a.HasBase == b.HasBase && a.Base == b.Base && slices.Equal(a.Logs, b.Logs) && (len(a.Logs) == 0 || layout == timeline.Layout2)
}

// keyedRows are the rows of a slice.
func (t *Table) keyedRows(ctx context.Context, q SliceQuery, view *View, slice fileslice.Slice) iter.Seq2[keyedRow, error] {
	return func(yield func(keyedRow, error) bool) {
		wanted := append([]string{basefile.RecordKeyColumn}, q.Columns...)
		rows, err := t.sliceRows(ctx, Query{Columns: wanted}, view, slice)
		if err != nil {
			yield(keyedRow{}, err)
			return
		}
		for row, err := range rows {
			if err != nil {
				yield(keyedRow{}, err)
				return
			}
			r := keyedRow{row: Row{Columns: q.Columns, Values: make([]any, len(q.Columns))}}
			key, _ := row.Get(basefile.RecordKeyColumn)
			r.key, _ = key.(string)
			for i, c := range q.Columns {
				r.row.Values[i], _ = row.Get(c)
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (c *sliceChanges) run(yield func(RowChange, error) bool) error {
	for r, err := range c.before {
		if err != nil {
			return err
		}
		if c.sums[r.key], err = r.sum(); err != nil {
			return err
		}
	}
	for r, err := range c.after {
		if err != nil {
			return err
		}
		was, there := c.sums[r.key]
		if !there {
			if !yield(RowChange{Kind: RowAdded, Key: r.key, After: &r.row}, nil) {
				return nil
			}
			continue
		}
		sum, err := r.sum()
		if err != nil {
			return err
		}
		if sum != was {
			c.updated[r.key] = &r.row
		} else {
			delete(c.sums, r.key)
		}
	}
	if len(c.sums) == 0 {
		return nil
	}
	for r, err := range c.before {
		if err != nil {
			return err
		}
		if _, differs := c.sums[r.key]; !differs {
			continue
		}
		change := RowChange{Kind: RowDeleted, Key: r.key, Before: &r.row}
		if after := c.updated[r.key]; after != nil {
			change.Kind, change.After = RowUpdated, after
		}
		if !yield(change, nil) {
			return nil
		}
	}
	return nil
}
