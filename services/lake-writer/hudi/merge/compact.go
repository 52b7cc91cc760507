package merge

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		kept, err := out.CopyFrom(ctx, base, m.replaced)
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
	columns := []string{basefile.RecordKeyColumn}
	if m.ordering != nil && slices.Contains(base.Columns(), m.cfg.Ordering) {
		columns = append(columns, m.cfg.Ordering)
	}
	n := 0
	for row, err := range base.Rows(columns) {
		if err != nil {
			return fmt.Errorf("read keys of the base file: %w", err)
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, _ := row.Values[0].(string)
		w := m.winners.get([]byte(key))
		if w == nil {
			continue
		}
		w.base = true
		var old winner
		if len(row.Values) > 1 {
			old.ordering = orderingOf(row.Values[1], m.ordering)
		}
		w.lost = !m.beats(w, &old)
	}
	return nil
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
	for _, w := range m.winners.all() {
		if order, ok := w.ordering.Compare(greatest); !w.always && (!ok || order < 0) {
			return false
		}
	}
	return true
}

// replaced reports whether a row of the base file does not stay. A winner that lost to it is its key's no more.
func (m *merger) replaced(key string) bool {
	w := m.winners.index[key]
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

func (m *merger) appendWinners(ctx context.Context, out *basefile.Writer) error {
	indexes := make(map[*schema]int)
	for i, w := range m.winners.all() {
		if w.lost || w.deleted {
			continue
		}
		if i%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		index, known := indexes[w.schema]
		if !known {
			var err error
			if index, err = out.AddWriterSchema(w.schema.text); err != nil {
				return fmt.Errorf("schema of a log block: %w", err)
			}
			indexes[w.schema] = index
		}
		datum, err := m.winners.load(w)
		if err != nil {
			return err
		}
		meta, payload, err := logfile.SplitMeta(datum)
		if err != nil {
			return fmt.Errorf("record %q: %w", w.key, err)
		}
		rec := basefile.KeptRecord{CommitTime: meta.CommitTime, SeqNo: meta.SeqNo, Key: w.key, Writer: index, Payload: payload}
		if err := out.AppendKept(rec); err != nil {
			return fmt.Errorf("add record %q: %w", w.key, err)
		}
		m.stats.Rows++
		if !w.base {
			m.stats.Inserted++
		}
	}
	return nil
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
