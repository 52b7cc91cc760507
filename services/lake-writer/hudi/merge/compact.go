package merge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// Compact writes a slice's rows to a new base file: those of the older one that stay, column by column, and the winners of the logs behind
// them, in the order in which their keys came. Rows keep their meta columns but for the file's name. out stays open.
func Compact(ctx context.Context, cfg Config, base *basefile.Reader, logs []Source, out *basefile.Writer) (_ Stats, err error) {
	m, err := newMerger(cfg)
	if err != nil {
		return Stats{}, err
	}
	defer func() { err = errors.Join(err, m.winners.close()) }()
	if err := m.collect(ctx, logs); err != nil {
		return Stats{}, err
	}
	if base != nil {
		if err := m.decide(ctx, base); err != nil {
			return Stats{}, err
		}
		kept, err := out.CopyRows(ctx, base, func(_ int64, key []byte) bool { return !m.replaced(key) })
		if err != nil {
			return Stats{}, fmt.Errorf("copy rows of the base file: %w", err)
		}
		m.stats.Rows += kept
	}
	return m.stats, m.appendWinners(ctx, out)
}

// decide compares the winners with the rows of the base file.
func (m *merger) decide(ctx context.Context, base *basefile.Reader) error {
	if m.winsOverAll(base) {
		return nil
	}
	ordering := ""
	if m.ordering != nil {
		ordering = m.cfg.Ordering
	}
	err := m.keyRows(ctx, base, ordering, "", func(_ int64, key []byte, old version) {
		if w := m.winners.get(key); w != nil {
			w.base = true
			w.lost = !m.beats(m.winners.version(w), old)
		}
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("read keys of the base file: %w", err)
	}
	return err
}

// winsOverAll reports whether every winner surely wins over whatever row of its key the base file has, by the greatest ordering value in
// its footer: the keys need not be read twice then. Only whole numbers are sure, whose statistics every writer keeps alike.
func (m *merger) winsOverAll(base *basefile.Reader) bool {
	if m.ordering == nil {
		return true // the later one wins
	}
	stats, err := base.Statistics(m.cfg.Ordering)
	if err != nil || !stats.Known || stats.Max == nil {
		return false // reading on will tell what is wrong, if anything is
	}
	greatest := orderingOf(stats.Max, m.ordering)
	if greatest.Kind != logfile.OrderingLong && greatest.Kind != logfile.OrderingInt {
		return false
	}
	for w := range m.winners.all() {
		if order, ok := m.winners.version(w).ordering.Compare(greatest); !w.always && (!ok || order < 0) {
			return false
		}
	}
	return true
}

// replaced reports whether a row of the base file does not stay. A winner that lost to it is its key's no more.
func (m *merger) replaced(key []byte) bool {
	w := m.winners.get(key)
	if w == nil || w.lost {
		return false
	}
	w.base = true
	if w.deleted {
		m.stats.Deleted++
	} else {
		m.stats.Updated++
	}
	return true
}

// appendWinners adds the winners' records, segment by segment, so that what was spilled is read from its beginning to its end.
func (m *merger) appendWinners(ctx context.Context, out *basefile.Writer) error {
	for i := range m.winners.list {
		if err := ctx.Err(); err != nil {
			return err
		}
		g := &m.winners.list[i]
		if g.live == 0 {
			continue
		}
		content, err := m.winners.load(g)
		if err != nil {
			return err
		}
		if g.rows {
			err = m.appendRows(ctx, g, content, out)
		} else {
			err = m.appendRecords(g, content, out)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// appendRecords adds the winners of a segment of Avro records.
func (m *merger) appendRecords(g *segment, content []byte, out *basefile.Writer) error {
	index, err := out.AddWriterSchema(g.schema.text)
	if err != nil {
		return fmt.Errorf("schema of a log block: %w", err)
	}
	for w := range m.winners.of(g) {
		if err := out.AppendMerged(content[w.at:][:w.size], index); err != nil {
			return fmt.Errorf("add record %q: %w", m.winners.keyOf(w), err)
		}
		m.count(w)
	}
	return nil
}

// appendRows adds the winners of a segment of rows, column by column.
func (m *merger) appendRows(ctx context.Context, g *segment, content []byte, out *basefile.Writer) error {
	file, stays, err := m.rowsOf(g, content)
	if err != nil {
		return err
	}
	rows, err := out.CopyRows(ctx, file, func(row int64, _ []byte) bool { return row < int64(len(stays)) && stays[row] })
	if err != nil {
		return g.fail(err)
	}
	if want := int64(len(stays)); rows > want {
		return g.fail(fmt.Errorf("%d rows of %d", rows, want))
	}
	return nil
}

// count adds a winner's row to the figures.
func (m *merger) count(w *winner) {
	m.stats.Rows++
	if !w.base {
		m.stats.Inserted++
	}
}

// orderingOf is a base file's value as its column's Java class; null and what is of another class are nothing.
func orderingOf(value any, column *node) logfile.Ordering {
	switch v := value.(type) {
	case bool:
		return logfile.BoolOrdering(v)
	case int64:
		if column.kind == avro.Int {
			return logfile.IntOrdering(int32(v))
		}
		return logfile.LongOrdering(v)
	case float32:
		return logfile.FloatOrdering(v)
	case float64:
		return logfile.DoubleOrdering(v)
	case string:
		return logfile.StringOrdering(v)
	case []byte:
		return logfile.BytesOrdering(v)
	case time.Time:
		if column.logical == avro.TimestampMillis {
			return logfile.LongOrdering(v.UnixMilli())
		}
		return logfile.LongOrdering(v.UnixMicro())
	case time.Duration:
		return logfile.LongOrdering(v.Microseconds())
	case basefile.Date:
		return logfile.DateOrdering(int32(v))
	default:
		return logfile.Ordering{}
	}
}
