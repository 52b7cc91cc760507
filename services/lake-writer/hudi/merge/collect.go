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
		err = m.records(ctx, l, b)
	case logfile.Delete:
		err = m.deletes(b)
	case logfile.ParquetData:
		err = m.parquetBlock(ctx, l, b)
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

// records takes an Avro block's records. Its content becomes a segment: what wins is not copied.
func (m *merger) records(ctx context.Context, l openLog, b *logfile.Block) error {
	s, err := m.schema(b.Header[logfile.Schema])
	if err != nil {
		return err
	}
	if int64(len(b.Content)) > maxSegment {
		return fmt.Errorf("a block of %d bytes, %d are allowed", len(b.Content), int64(maxSegment))
	}
	m.winners.begin(segment{log: l.name, offset: b.Offset, schema: s, content: b.Content})
	n, at := 0, avroHeadBytes
	for datum, err := range logfile.Records(b) {
		if err != nil {
			return err
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		at += avroLengthBytes
		if err := m.record(s, datum, at); err != nil {
			return err
		}
		at += len(datum)
	}
	return m.winners.finish()
}

// An Avro block's content is a version and a count, and then records, each behind its length (HoodieAvroDataBlock).
const (
	avroHeadBytes   = 8
	avroLengthBytes = 4
)

// maxSegment is the greatest content whose places fit a winner. Hudi has blocks of less, since it cuts lengths to 31 bits.
const maxSegment = 1<<32 - 1

// record merges a record that is at an offset of the open segment.
func (m *merger) record(s *schema, datum []byte, at int) error {
	rec, err := s.scan(datum)
	if err != nil {
		return err
	}
	v := version{ordering: rec.ordering, deleted: rec.deleted}
	v.always = v.deleted && v.ordering.Kind == logfile.OrderingInt && v.ordering.Int64() == 0
	m.offer(rec.key, v, at, len(datum))
	return nil
}

// offer takes a record of a data block. Where it is says at and size, in the open segment.
func (m *merger) offer(key []byte, v version, at, size int) {
	m.stats.LogRecords++
	m.contend(key, v, at, size)
}

// contend makes a record or a deletion its key's winner if it wins.
func (m *merger) contend(key []byte, v version, at, size int) {
	hash := m.winners.hash(key)
	number, known := m.winners.find(key, hash)
	if !known {
		number = m.winners.add(key, hash)
	} else if m.ordering != nil && !m.beats(v, m.winners.version(m.winners.at(number))) {
		return
	}
	m.winners.put(number, v, at, size)
}

func (m *merger) deletes(b *logfile.Block) error {
	records, err := logfile.Deletes(b)
	if err != nil {
		return err
	}
	for _, r := range records {
		m.contend([]byte(r.Key), version{ordering: r.Ordering, deleted: true, always: r.Ordering.ByCommitTime()}, 0, 0)
	}
	return nil
}
