package merge

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// openLog is a log file that is being read.
type openLog struct {
	name   string
	r      io.ReaderAt
	blocks []*logfile.Block // without their contents
}

// collect reads the logs and keeps each key's winner.
func (m *merger) collect(ctx context.Context, logs []Source) (err error) {
	var open []openLog
	defer func() {
		for _, l := range open {
			if c, ok := l.r.(io.Closer); ok {
				err = errors.Join(err, c.Close())
			}
		}
	}()
	undone := make(map[timeline.Instant]bool)
	for _, source := range logs {
		r, size, err := source.Open(ctx)
		if err != nil {
			return fmt.Errorf("open log %s: %w", source.Name, err)
		}
		open = append(open, openLog{name: source.Name, r: r})
		l := &open[len(open)-1]
		options := logfile.ScanOptions{SkipCorrupt: m.cfg.Logs.SkipCorrupt, MaxBlockBytes: m.cfg.Logs.MaxBlockBytes, HeadersOnly: true}
		for b, err := range logfile.Scan(r, size, options) {
			if err != nil {
				return fmt.Errorf("read log %s: %w", source.Name, err)
			}
			if target, ok := b.RollbackTarget(); ok {
				undone[target] = true
				m.stats.Rollbacks++
				continue
			}
			l.blocks = append(l.blocks, b)
		}
	}
	for _, l := range open {
		for _, b := range l.blocks {
			if err := ctx.Err(); err != nil {
				return err
			}
			if b.Type == logfile.Corrupt {
				m.stats.Corrupt++
				continue
			}
			if undone[b.Instant()] || m.cfg.Accept != nil && !m.cfg.Accept(b.Instant()) {
				continue
			}
			if err := m.block(ctx, l, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// block takes the records of one block.
func (m *merger) block(ctx context.Context, l openLog, b *logfile.Block) error {
	unsupported := func(what string) error { return &UnsupportedError{Log: l.name, Offset: b.Offset, Header: what} }
	switch {
	case b.Header[logfile.IsPartial] == "true":
		return unsupported("IS_PARTIAL")
	case b.Header[logfile.CompactedBlockTimes] != "":
		return unsupported("COMPACTED_BLOCK_TIMES")
	}
	if err := b.Load(l.r); err != nil {
		return fmt.Errorf("read log %s: %w", l.name, err)
	}
	defer func() { b.Content = nil }()
	m.stats.LogBlocks++
	var err error
	switch b.Type {
	case logfile.AvroData:
		err = m.records(ctx, b)
	case logfile.Delete:
		err = m.deletes(b)
	case logfile.ParquetData:
		err = m.parquetRecords(ctx, b)
	case logfile.HFileData:
		return unsupported("HFILE_DATA_BLOCK")
	default:
		return unsupported(fmt.Sprintf("block type %d", b.Type))
	}
	if _, ok := errors.AsType[*SpillError](err); ok || ctx.Err() != nil {
		return err // not the block's fault
	}
	if err != nil {
		return &BlockError{Log: l.name, Offset: b.Offset, Err: err}
	}
	return nil
}

// checkEvery is how many records pass between two looks at the context.
const checkEvery = 4096

func (m *merger) records(ctx context.Context, b *logfile.Block) error {
	s, err := m.schema(b.Header[logfile.Schema])
	if err != nil {
		return err
	}
	n := 0
	for datum, err := range logfile.Records(b) {
		if err != nil {
			return err
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := m.record(s, datum); err != nil {
			return err
		}
	}
	return nil
}

// record merges a record, whose bytes are the caller's again afterwards.
func (m *merger) record(s *schema, datum []byte) error {
	m.stats.LogRecords++
	rec, err := s.scan(datum)
	if err != nil {
		return err
	}
	n := winner{ordering: rec.ordering, deleted: rec.deleted, schema: s}
	n.always = n.deleted && n.ordering.Kind == logfile.OrderingInt && n.ordering.Int64() == 0
	old := m.winners.get(rec.key)
	if old != nil && !m.beats(&n, old) {
		return nil
	}
	if rec.deleted {
		datum = nil
	}
	return m.winners.put(old, rec.key, n, datum)
}

func (m *merger) deletes(b *logfile.Block) error {
	records, err := logfile.Deletes(b)
	if err != nil {
		return err
	}
	for _, r := range records {
		key := []byte(r.Key)
		n := winner{ordering: r.Ordering, deleted: true, always: r.Ordering.ByCommitTime()}
		old := m.winners.get(key)
		if old != nil && !m.beats(&n, old) {
			continue
		}
		if err := m.winners.put(old, key, n, nil); err != nil {
			return err
		}
	}
	return nil
}
