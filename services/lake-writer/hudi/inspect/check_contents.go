package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// checkContents reads what is in the files, partition by partition.
func (v *verifier) checkContents(ctx context.Context) error {
	if !v.buckets.known() {
		v.report.NotChecked = append(v.report.NotChecked, "buckets of keys: nothing says how many there are")
	}
	p := partitionCheck{v: v, keys: newKeySet()}
	if v.report.Logs > 0 {
		var err error
		p.table, err = hudi.Open(ctx, v.store)
		if err != nil && (ctx.Err() != nil || storage.Classify(err) == storage.Retryable) {
			return err
		}
		if err != nil {
			v.report.NotChecked = append(v.report.NotChecked, fmt.Sprintf("rows behind log files: %v", err))
		}
	}
	for slicesOf := range chunkBy(v.view.Slices, func(a, b fileslice.Slice) bool { return a.Partition == b.Partition }) {
		if err := p.check(ctx, slicesOf); err != nil {
			return err
		}
	}
	return v.checkOlderFiles(ctx)
}

// chunkBy yields the runs of equal elements.
func chunkBy[T any](all []T, same func(a, b T) bool) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && same(all[0], all[n]) {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// partitionCheck reads the files of one partition after the other.
type partitionCheck struct {
	v     *verifier
	table *hudi.Table // nil when package hudi does not read the table
	keys  *keySet     // of the partition, where buckets do not keep keys apart
	names []string    // file ids, by the numbers in keys
}

func (p *partitionCheck) check(ctx context.Context, group []fileslice.Slice) error {
	v := p.v
	p.keys.clear()
	p.names = p.names[:0]
	taken := make(map[int]string)
	withLogs := make(map[string]bool)
	damaged := false
	for _, s := range group {
		p.names = append(p.names, s.FileID)
		if b, ok := keys.BucketOf(s.FileID); ok && v.buckets.known() {
			if other := taken[b]; other != "" {
				v.fault(CodeBucketShared, groupOf(s.Partition, s.FileID), "bucket %d is %s too", b, other)
			}
			taken[b] = s.FileID
		}
		if s.HasBase {
			if err := p.checkBase(ctx, s); err != nil {
				return err
			}
		}
		if len(s.Logs) > 0 {
			withLogs[s.FileID] = true
			bad, err := v.checkLogs(ctx, s)
			if err != nil {
				return err
			}
			damaged = damaged || bad
		}
	}
	if len(withLogs) == 0 || p.table == nil || damaged {
		return nil
	}
	return p.checkMerged(ctx, group[0].Partition, withLogs)
}

// seen notes a live key of the partition.
func (p *partitionCheck) seen(where, recordKey string, number int32) {
	if p.v.buckets.known() {
		return // a key is in its bucket's group or a fault already
	}
	if earlier, twice := p.keys.put(recordKey, number); twice && earlier != number {
		p.v.fault(CodeKeyDuplicate, where, "key %s is in group %s too", recordKey, p.names[earlier])
	}
}

// checkMerged reads the slices that have logs as a reader of the snapshot does.
func (p *partitionCheck) checkMerged(ctx context.Context, partition string, withLogs map[string]bool) error {
	q := hudi.Query{Columns: []string{basefile.RecordKeyColumn, basefile.FileNameColumn, basefile.PartitionPathColumn}}
	if partition != "" {
		q.Partitions = []string{partition + "/"}
	}
	for row, err := range p.table.Scan(ctx, q) {
		if err != nil {
			if ctx.Err() != nil || storage.Classify(err) == storage.Retryable {
				return err
			}
			_, table := errors.AsType[*hudi.UnsupportedError](err)
			if _, block := errors.AsType[*merge.UnsupportedError](err); table || block {
				p.v.report.NotChecked = append(p.v.report.NotChecked, fmt.Sprintf("rows behind log files of %q: %v", partition, err))
			} else {
				p.v.fault(CodeLogDamaged, partition, "merging: %v", err)
			}
			return nil
		}
		texts, ok := row3(row)
		if !ok {
			p.v.fault(CodeRowMeta, partition, "merging: a row without its meta columns")
			continue
		}
		fileID, _, _ := strings.Cut(texts[1], "_")
		if !withLogs[fileID] || texts[2] != partition {
			continue
		}
		p.v.report.Rows++
		p.seen(groupOf(partition, fileID), texts[0], int32(slices.Index(p.names, fileID)))
	}
	return nil
}

func row3(row basefile.Row) (texts [3]string, ok bool) {
	for i := range texts {
		if texts[i], ok = row.Values[i].(string); !ok {
			return texts, false
		}
	}
	return texts, true
}

// checkOlderFiles compares the row counts of the files that readers of older instants take with what their commits say.
func (v *verifier) checkOlderFiles(ctx context.Context) error {
	for key, stats := range v.stats {
		size, there := v.sizes[key]
		f, err := fileslice.ParseKey(key)
		if !there || err != nil || v.last[groupOf(f.Partition, f.FileID)] == key {
			continue
		}
		o := open(ctx, v.store, key, size)
		file, err := basefile.OpenReader(o, size)
		if err := v.damaged(o, key, err); err != nil {
			return err
		}
		if err != nil {
			continue
		}
		if s := stats[len(stats)-1]; s.NumWrites != file.NumRows() {
			v.fault(CodeCountWrites, key, "%d rows, commit %s says %d", file.NumRows(), s.entry.Instant, s.NumWrites)
		}
	}
	return nil
}

// damaged makes an error of reading a file a finding, unless it is the store's.
func (v *verifier) damaged(o *object, key string, err error) error {
	if err == nil {
		return nil
	}
	if o.Err() != nil || o.ctx.Err() != nil {
		return fmt.Errorf("read %s: %w", key, errors.Join(o.Err(), o.ctx.Err()))
	}
	v.fault(CodeFileDamaged, key, "%v", err)
	return nil
}

// movesRows reports whether a stat is of a commit that moved rows which other commits wrote.
func (s writtenStat) movesRows() bool {
	return s.operation == meta.OperationCompact || s.operation == meta.OperationCluster || s.operation == "LOG_COMPACT"
}
