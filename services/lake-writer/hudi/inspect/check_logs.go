package inspect

import (
	"bytes"
	"context"
	"errors"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// checkLogs checks the log files of a slice, and tells whether one is damaged.
func (v *verifier) checkLogs(ctx context.Context, s fileslice.Slice) (damaged bool, err error) {
	c := sliceLogs{v: v, targets: make(map[timeline.Instant]bool)}
	for _, l := range s.Logs {
		o := open(ctx, v.store, l.Key(), l.Size)
		bad, err := c.scan(o, l)
		if err != nil {
			return false, err
		}
		damaged = damaged || bad
	}
	for _, w := range c.written {
		c.judge(w)
	}
	return damaged, nil
}

// sliceLogs goes through the logs of one slice in their order.
type sliceLogs struct {
	v       *verifier
	last    timeline.Instant          // of the blocks so far that hold records or deletions
	barrier timeline.Instant          // of the first rollback that is later than the last commit
	targets map[timeline.Instant]bool // that command blocks roll back
	written []logWrite
}

// logWrite is what one instant wrote into one log file.
type logWrite struct {
	key     string
	instant timeline.Instant
	records int64
	deletes int64
}

func (c *sliceLogs) scan(o *object, l fileslice.LogFile) (damaged bool, err error) {
	key := l.Key()
	writes := make(map[timeline.Instant]*logWrite)
	for b, err := range logfile.Scan(o, l.Size, logfile.ScanOptions{}) {
		if err == nil {
			err = c.block(l, b, writes)
		}
		if err == nil {
			continue
		}
		if o.Err() != nil || o.ctx.Err() != nil {
			return false, errors.Join(o.Err(), o.ctx.Err())
		}
		if _, ok := errors.AsType[*logfile.UnsupportedError](err); ok {
			c.v.warn(CodeLogUnsupported, key, "%v", err)
			return true, nil
		}
		c.v.fault(CodeLogDamaged, key, "%v", err)
		return true, nil
	}
	for _, w := range writes {
		c.written = append(c.written, *w)
	}
	return false, nil
}

// block checks one block, and counts what is in it.
func (c *sliceLogs) block(l fileslice.LogFile, b *logfile.Block, writes map[timeline.Instant]*logWrite) error {
	at := b.Instant()
	if target, ok := b.RollbackTarget(); ok {
		c.targets[target] = true
		if c.barrier == "" && at > c.v.report.Instant {
			c.barrier = at
		}
		return nil
	}
	if at < c.last {
		c.v.fault(CodeLogOrder, l.Key(), "the block at %d is of %s, one before it of %s", b.Offset, at, c.last)
	}
	if c.barrier != "" {
		c.v.fault(CodeLogOrder, l.Key(), "the block at %d is behind a rollback of %s, later than the last commit: Hudi 0.15 does not see it", b.Offset, c.barrier)
	}
	c.last = max(c.last, at)
	w := writes[at]
	if w == nil {
		w = &logWrite{key: l.Key(), instant: at}
		writes[at] = w
	}
	switch b.Type {
	case logfile.Delete:
		deletes, err := logfile.Deletes(b)
		w.deletes += int64(len(deletes))
		for _, d := range deletes {
			c.v.checkBucket(l.Key(), l.FileID, d.Key)
		}
		return err
	case logfile.AvroData:
		return c.avroRecords(l, b, w)
	case logfile.ParquetData:
		return c.parquetRecords(l, b, w)
	default:
		c.v.warn(CodeLogUnsupported, l.Key(), "a block of type %s at %d", b.Type, b.Offset)
		return nil
	}
}

func (c *sliceLogs) avroRecords(l fileslice.LogFile, b *logfile.Block, w *logWrite) error {
	keys := newKeySet()
	for datum, err := range logfile.Records(b) {
		var m logfile.Meta
		if err == nil {
			m, _, err = logfile.SplitMeta(datum)
		}
		if err != nil {
			return err
		}
		c.record(l, b, w, m, keys)
	}
	return nil
}

func (c *sliceLogs) parquetRecords(l fileslice.LogFile, b *logfile.Block, w *logWrite) error {
	file, err := basefile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
	if err != nil {
		return err
	}
	keys := newKeySet()
	for row, err := range file.Rows(basefile.MetaColumns()) {
		if err != nil {
			return err
		}
		var texts [5]string
		for i, value := range row.Values {
			texts[i], _ = value.(string)
		}
		c.record(l, b, w, logfile.Meta{CommitTime: texts[0], SeqNo: texts[1], Key: texts[2], Partition: texts[3], FileID: texts[4]}, keys)
	}
	return nil
}

// record checks the meta fields of a record. Hudi expects one record for each key of a block.
func (c *sliceLogs) record(l fileslice.LogFile, b *logfile.Block, w *logWrite, m logfile.Meta, keys *keySet) {
	w.records++
	key := l.Key()
	if _, twice := keys.put(m.Key, 0); twice {
		c.v.fault(CodeKeyDuplicate, key, "key %s is twice in the block at %d", m.Key, b.Offset)
	}
	if m.Key == "" {
		c.v.fault(CodeRowMeta, key, "a record without key in the block at %d", b.Offset)
		return
	}
	if m.Partition != l.Partition {
		c.v.fault(CodeRowMeta, key, "key %s is of partition %s", m.Key, m.Partition)
	}
	if m.CommitTime != string(w.instant) {
		c.v.fault(CodeRowMeta, key, "key %s is of commit %s in a block of %s", m.Key, m.CommitTime, w.instant)
	}
	c.v.checkBucket(key, l.FileID, m.Key)
}

// judge compares what an instant wrote into a log with what its commit says.
func (c *sliceLogs) judge(w logWrite) {
	v := c.v
	for _, s := range v.stats[w.key] {
		if s.entry.Instant != w.instant {
			continue
		}
		if s.NumWrites != w.records {
			v.fault(CodeCountWrites, w.key, "%d records, commit %s says %d", w.records, w.instant, s.NumWrites)
		}
		if said := s.NumInserts + s.NumUpdateWrites; said != w.records {
			v.fault(CodeCountInserts, w.key, "%d records, commit %s says %d inserts and %d updates", w.records, w.instant, s.NumInserts, s.NumUpdateWrites)
		}
		if s.NumDeletes != w.deletes {
			v.fault(CodeCountDeletes, w.key, "%d deletions, commit %s says %d", w.deletes, w.instant, s.NumDeletes)
		}
		return
	}
	switch {
	case v.active(w.instant):
		v.fault(CodeFileUnnamed, w.key, "has blocks of %s, whose commit does not name it, and readers show them", w.instant)
	case !v.tl.Committed(w.instant) && !v.pending(w.instant) && !c.targets[w.instant]:
		v.warn(CodeFileOrphan, w.key, "instant %s is not on the timeline; when that is archived past it, its blocks become visible", w.instant)
	}
}
