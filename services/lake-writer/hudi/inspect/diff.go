package inspect

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Difference is in what two states of a table differ.
type Difference struct {
	From         timeline.Instant `json:"from"`
	To           timeline.Instant `json:"to"`
	FilesAdded   []DataFile       `json:"files_added"`   // that readers of the later state take, and not of the earlier
	FilesRemoved []DataFile       `json:"files_removed"` // the other way round
	RowsAdded    int64            `json:"rows_added"`
	RowsUpdated  int64            `json:"rows_updated"`
	RowsDeleted  int64            `json:"rows_deleted"`
}

// DataFile is a data file by its storage key.
type DataFile struct {
	Key   string `json:"key"`
	Bytes int64  `json:"bytes"`
}

// ChangeKind is what became of a row.
type ChangeKind string

// The kinds of changes.
const (
	Added   ChangeKind = "added"
	Updated ChangeKind = "updated"
	Deleted ChangeKind = "deleted"
)

// Change is one row that is not in both states as it is.
type Change struct {
	Change    ChangeKind    `json:"change"`
	Partition string        `json:"partition"`
	Key       string        `json:"key"`
	Before    *basefile.Row `json:"before,omitempty"` // of an updated and a deleted row
	After     *basefile.Row `json:"after,omitempty"`  // of an added and an updated row
}

// Diff compares the table as of two instants, row by row where files differ: rows of one partition and record key, by all columns of the
// schema. The meta columns do not count, so that a compaction changes nothing. change, which may be nil, is called for each row, in the
// order of partitions; of updated and deleted ones with their rows. Its first error ends Diff.
//
// It holds the keys and, as hashes, the rows of one partition; with change its rows of the earlier state.
func Diff(ctx context.Context, store storage.Store, from, to timeline.Instant, change func(Change) error) (*Difference, error) {
	table, err := hudi.Open(ctx, store)
	if err != nil {
		return nil, err
	}
	files, err := Open(ctx, store)
	if err != nil {
		return nil, err
	}
	objects, err := files.objects(ctx, "")
	if err != nil {
		return nil, err
	}
	before, _, err := files.slicesAsOf(ctx, objects, from)
	if err != nil {
		return nil, err
	}
	after, _, err := files.slicesAsOf(ctx, objects, to)
	if err != nil {
		return nil, err
	}
	d := &Difference{From: from, To: to, FilesAdded: []DataFile{}, FilesRemoved: []DataFile{}}
	partitions := d.files(before, after)
	for _, partition := range partitions {
		p := partitionDiff{table: table, partition: partition, difference: d, change: change}
		if err := p.run(ctx, from, to); err != nil {
			return nil, fmt.Errorf("compare partition %q: %w", partition, err)
		}
	}
	return d, nil
}

// files compares which files readers take, and returns the partitions in which they differ.
func (d *Difference) files(before, after []fileslice.Slice) []string {
	old, now := filesOf(before), filesOf(after)
	differ := make(map[string]bool)
	for _, side := range []struct {
		from, to map[string]located
		into     *[]DataFile
	}{{now, old, &d.FilesAdded}, {old, now, &d.FilesRemoved}} {
		for _, key := range slices.Sorted(maps.Keys(side.from)) {
			if _, both := side.to[key]; !both {
				*side.into = append(*side.into, DataFile{key, side.from[key].bytes})
				differ[side.from[key].partition] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(differ))
}

type located struct {
	partition string
	bytes     int64
}

func filesOf(taken []fileslice.Slice) map[string]located {
	files := make(map[string]located)
	for _, s := range taken {
		if s.HasBase {
			files[s.Base.Key()] = located{s.Partition, s.Base.Size}
		}
		for _, l := range s.Logs {
			files[l.Key()] = located{s.Partition, l.Size}
		}
	}
	return files
}

// partitionDiff compares the rows of one partition.
type partitionDiff struct {
	table      *hudi.Table
	partition  string
	difference *Difference
	change     func(Change) error
}

// oldRow is a row of the earlier state.
type oldRow struct {
	sum [sha256.Size]byte
	row *basefile.Row // nil when nobody asks for it
}

func (p partitionDiff) run(ctx context.Context, from, to timeline.Instant) error {
	old := make(map[string]oldRow)
	err := p.rows(ctx, from, func(key string, row basefile.Row) error {
		r := oldRow{}
		var err error
		if r.sum, err = rowSum(row); err != nil {
			return err
		}
		if p.change != nil {
			r.row = &row
		}
		old[key] = r
		return nil
	})
	if err != nil {
		return err
	}
	err = p.rows(ctx, to, func(key string, row basefile.Row) error {
		was, there := old[key]
		delete(old, key)
		if !there {
			p.difference.RowsAdded++
			return p.report(Change{Change: Added, Key: key, After: &row})
		}
		sum, err := rowSum(row)
		if err != nil || sum == was.sum {
			return err
		}
		p.difference.RowsUpdated++
		return p.report(Change{Change: Updated, Key: key, Before: was.row, After: &row})
	})
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(old)) {
		p.difference.RowsDeleted++
		if err := p.report(Change{Change: Deleted, Key: key, Before: old[key].row}); err != nil {
			return err
		}
	}
	return nil
}

func (p partitionDiff) report(c Change) error {
	if p.change == nil {
		return nil
	}
	c.Partition = p.partition
	return p.change(c)
}

// rows yields the partition's rows as of an instant, without the meta columns.
func (p partitionDiff) rows(ctx context.Context, at timeline.Instant, each func(key string, row basefile.Row) error) error {
	q := hudi.Query{AsOf: at}
	if p.partition != "" {
		q.Partitions = []string{p.partition + "/"}
	}
	for row, err := range p.table.Scan(ctx, q) {
		if err != nil {
			return err
		}
		key, _ := row.Get(basefile.RecordKeyColumn)
		text, ok := key.(string)
		if !ok {
			return fmt.Errorf("a row without %s", basefile.RecordKeyColumn)
		}
		n := len(basefile.MetaColumns())
		if err := each(text, basefile.Row{Columns: row.Columns[n:], Values: row.Values[n:]}); err != nil {
			return err
		}
	}
	return nil
}

// rowSum tells rows apart. Columns that are null do not count: an older state may lack them.
func rowSum(row basefile.Row) (sum [sha256.Size]byte, err error) {
	kept := basefile.Row{}
	for i, value := range row.Values {
		if value != nil {
			kept.Columns, kept.Values = append(kept.Columns, row.Columns[i]), append(kept.Values, value)
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return sum, err
	}
	return sha256.Sum256(text), nil
}
