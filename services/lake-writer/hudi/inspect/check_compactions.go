package inspect

import (
	"context"
	"errors"
	"path"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// planOf reads the plan of a compaction.
func planOf(e timeline.Entry) func(v *verifier, data []byte) error {
	return func(v *verifier, data []byte) error {
		plan, err := meta.ParseCompactionPlan(data)
		if err != nil {
			return err
		}
		for _, op := range plan.Operations {
			partition := ""
			if op.PartitionPath != nil {
				partition = *op.PartitionPath
			}
			v.plans[path.Join(string(e.Instant), partition, *op.FileID)] = op
		}
		return nil
	}
}

// checkCompactions compares what compactions say of the logs that they folded in with their plans, and with the logs that are there still.
func (v *verifier) checkCompactions(ctx context.Context) error {
	for key, stats := range v.stats {
		for _, s := range stats {
			op, planned := v.plans[path.Join(string(s.entry.Instant), s.partition, s.FileID)]
			if s.operation != meta.OperationCompact || !planned {
				continue
			}
			if s.TotalLogFilesCompacted != int64(len(op.DeltaFilePaths)) {
				v.fault(CodeCountCompacted, key, "%d log files by the plan, commit %s says %d", len(op.DeltaFilePaths), s.entry.Instant, s.TotalLogFilesCompacted)
				continue
			}
			if err := v.checkCompacted(ctx, key, s, op); err != nil {
				return err
			}
		}
	}
	return nil
}

// logCounts is what one instant wrote into the logs of a slice.
type logCounts struct{ records, deletes int64 }

// checkCompacted counts the bytes and records of the logs. Where a clean took one, nothing can be said.
func (v *verifier) checkCompacted(ctx context.Context, key string, s writtenStat, op meta.CompactionOperation) error {
	var bytes int64
	rolledBack := make(map[timeline.Instant]bool)
	counts := make(map[timeline.Instant]logCounts)
	for _, name := range op.DeltaFilePaths {
		log := path.Join(s.partition, path.Base(name))
		size, there := v.sizes[log]
		if !there {
			return nil
		}
		bytes += size
		if whole, err := v.countLog(ctx, log, size, counts, rolledBack); err != nil || !whole {
			return err
		}
	}
	if s.TotalLogSizeCompacted != bytes {
		v.fault(CodeCountCompacted, key, "%d log bytes, commit %s says %d", bytes, s.entry.Instant, s.TotalLogSizeCompacted)
	}
	var all logCounts
	for instant, n := range counts {
		if !rolledBack[instant] && v.tl.Committed(instant) {
			all.records += n.records
			all.deletes += n.deletes
		}
	}
	// Hudi counts records alone; this library counted deletions too.
	if s.TotalLogRecords != all.records && s.TotalLogRecords != all.records+all.deletes {
		v.fault(CodeCountCompacted, key, "%d log records and %d deletions, commit %s says %d", all.records, all.deletes, s.entry.Instant, s.TotalLogRecords)
	}
	return nil
}

// countLog adds up a log by instants. whole is false for one that cannot be read to its end: where it is a snapshot's that is found and
// said, and an older one harms nobody.
func (v *verifier) countLog(
	ctx context.Context, key string, size int64, counts map[timeline.Instant]logCounts, rolledBack map[timeline.Instant]bool,
) (whole bool, err error) {
	o := open(ctx, v.store, key, size)
	for b, err := range logfile.Scan(o, size, logfile.ScanOptions{}) {
		var n int64
		if err == nil {
			n, err = countRecords(b)
		}
		if err != nil {
			return false, errors.Join(o.Err(), ctx.Err())
		}
		if target, ok := b.RollbackTarget(); ok {
			rolledBack[target] = true
		}
		c := counts[b.Instant()]
		if b.Type == logfile.Delete {
			c.deletes += n
		} else {
			c.records += n
		}
		counts[b.Instant()] = c
	}
	return true, nil
}
