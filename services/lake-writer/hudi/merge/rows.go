package merge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// Rows yields a slice's rows: those of the base file (nil: there is none) that stay, in its order, then the winners of the logs. Columns
// (nil: the meta columns and the table's)
// that neither has are null; the file name of a log record is its file id. After an error it yields nothing more.
func Rows(ctx context.Context, cfg Config, base *basefile.Reader, logs []Source, columns []string) iter.Seq2[basefile.Row, error] {
	return func(yield func(basefile.Row, error) bool) {
		m, err := newMerger(cfg)
		if err != nil {
			yield(basefile.Row{}, err)
			return
		}
		if columns == nil {
			columns = m.columns()
		}
		stopped, err := m.rows(ctx, base, logs, columns, yield)
		if err = errors.Join(err, m.winners.close()); err != nil && !stopped {
			yield(basefile.Row{}, err)
		}
	}
}

// columns are the meta columns and the table's.
func (m *merger) columns() []string {
	columns := slices.Clone(basefile.MetaColumns())
	for _, f := range m.table.payload.fields {
		columns = append(columns, f.name)
	}
	return columns
}

func (m *merger) rows(
	ctx context.Context, base *basefile.Reader, logs []Source, columns []string, yield func(basefile.Row, error) bool,
) (stopped bool, err error) {
	if err := m.collect(ctx, logs); err != nil {
		return false, err
	}
	if base != nil {
		if stopped, err = m.baseRows(ctx, base, columns, yield); stopped || err != nil {
			return stopped, err
		}
	}
	for i := range m.winners.list {
		g := &m.winners.list[i]
		if g.live == 0 {
			continue
		}
		content, err := m.winners.load(g)
		if err != nil {
			return false, err
		}
		if g.rows {
			stopped, err = m.segmentRows(ctx, g, content, columns, yield)
		} else {
			stopped, err = m.segmentRecords(g, content, columns, yield)
		}
		if stopped || err != nil {
			return stopped, err
		}
	}
	return false, nil
}

// segmentRecords yields the winners of a segment of Avro records.
func (m *merger) segmentRecords(g *segment, content []byte, columns []string, yield func(basefile.Row, error) bool) (stopped bool, err error) {
	for w := range m.winners.of(g) {
		row, err := g.schema.decode(content[w.at:][:w.size], m.table, columns)
		if err != nil {
			return false, fmt.Errorf("record %q: %w", m.winners.keyOf(w), err)
		}
		if !yield(row, nil) {
			return true, nil
		}
	}
	return false, nil
}

// segmentRows yields the winners of a segment of rows.
func (m *merger) segmentRows(
	ctx context.Context, g *segment, content []byte, columns []string, yield func(basefile.Row, error) bool,
) (stopped bool, err error) {
	file, stays, err := m.rowsOf(g, content)
	if err != nil {
		return false, err
	}
	n := 0
	for row, err := range file.RowsAs(m.cfg.TableSchema, columns) {
		if err != nil {
			return false, g.fail(err)
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		if n <= len(stays) && stays[n-1] && !yield(row, nil) {
			return true, nil
		}
	}
	return false, nil
}

// baseRows yields the rows of the base file that stay.
func (m *merger) baseRows(ctx context.Context, base *basefile.Reader, columns []string, yield func(basefile.Row, error) bool) (stopped bool, err error) {
	n := 0
	for row, err := range base.RowsAs(m.cfg.TableSchema, m.needed(columns)) {
		if err != nil {
			return false, fmt.Errorf("read the base file: %w", err)
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		value, _ := row.Get(basefile.RecordKeyColumn)
		key, _ := value.(string)
		if w := m.winners.get([]byte(key)); w != nil {
			w.base = true
			var old version
			if m.ordering != nil {
				v, _ := row.Get(m.cfg.Ordering)
				old.ordering = orderingOf(v, m.ordering)
			}
			if w.lost = !m.beats(m.winners.version(w), old); !w.lost {
				continue
			}
		}
		out := basefile.Row{Columns: columns, Values: make([]any, len(columns))}
		for i, c := range columns {
			out.Values[i], _ = row.Get(c)
		}
		if !yield(out, nil) {
			return true, nil
		}
	}
	return false, nil
}

// decode reads the wanted columns of a datum, in the table's types.
func (s *schema) decode(datum []byte, table *schema, columns []string) (basefile.Row, error) {
	row := basefile.Row{Columns: columns, Values: make([]any, len(columns))}
	w := walker{data: datum}
	meta := w.meta()
	for i, name := range basefile.MetaColumns() {
		if at := slices.Index(columns, name); at >= 0 && meta[i] != nil {
			row.Values[at] = string(meta[i])
		}
	}
	for _, f := range s.payload.fields {
		at := slices.Index(columns, f.name)
		if at < 0 || f.to < 0 {
			w.skip(f.node)
			continue
		}
		row.Values[at] = w.value(f.node, table.payload.fields[f.to].node)
	}
	if w.err == nil && w.pos != len(datum) {
		w.fail("%d bytes behind the record", len(datum)-w.pos)
	}
	return row, w.failure()
}

// value reads a value of a writer's type as the table's type has it; see basefile.Row for the Go types.
func (w *walker) value(from, to *node) any {
	if !w.present(from) {
		return nil
	}
	switch from.kind {
	case avro.Boolean:
		b := w.bytes(1)
		return b != nil && b[0] != 0
	case avro.Int, avro.Long:
		return integer(w.long(), from, to)
	case avro.Float:
		if b := w.bytes(4); b != nil {
			return math.Float32frombits(binary.LittleEndian.Uint32(b))
		}
	case avro.Double:
		if b := w.bytes(8); b != nil {
			return math.Float64frombits(binary.LittleEndian.Uint64(b))
		}
	case avro.Enum:
		i := w.long()
		if i >= 0 && i < int64(len(from.symbols)) {
			return from.symbols[i]
		}
		w.fail("symbol %d of an enum", i)
	case avro.String:
		return string(w.bytes(w.long()))
	case avro.Bytes:
		return binaryValue(w.bytes(w.long()), to)
	case avro.Fixed:
		return binaryValue(w.bytes(int64(from.size)), to)
	case avro.Record:
		return w.record(from, to)
	case avro.Array:
		items := []any{}
		w.blocks(func() { items = append(items, w.value(from.items, to.items)) })
		return items
	case avro.Map:
		entries := map[string]any{}
		w.blocks(func() {
			key := string(w.bytes(w.long()))
			entries[key] = w.value(from.items, to.items)
		})
		return entries
	}
	return nil
}

func (w *walker) record(from, to *node) any {
	row := basefile.Row{Columns: make([]string, len(to.fields)), Values: make([]any, len(to.fields))}
	for i, f := range to.fields {
		row.Columns[i] = f.name
	}
	for _, f := range from.fields {
		if f.to < 0 {
			w.skip(f.node)
			continue
		}
		row.Values[f.to] = w.value(f.node, to.fields[f.to].node)
	}
	return row
}

func integer(v int64, from, to *node) any {
	if from.logical == avro.TimestampMillis && to.logical == avro.TimestampMicros || from.logical == avro.TimeMillis && to.logical == avro.TimeMicros {
		v *= 1000
	}
	switch to.logical {
	case avro.TimestampMicros:
		return time.UnixMicro(v).UTC()
	case avro.TimestampMillis:
		return time.UnixMilli(v).UTC()
	case avro.Date:
		return basefile.Date(v)
	case avro.TimeMicros:
		return time.Duration(v) * time.Microsecond
	case avro.TimeMillis:
		return time.Duration(v) * time.Millisecond
	default:
		return v
	}
}

// binaryValue is a copy of the bytes, or the decimal number that they are.
func binaryValue(b []byte, to *node) any {
	if to.logical != avro.Decimal {
		return slices.Clone(b)
	}
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 { // two's complement
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return decimal(n, to.scale)
}

func decimal(n *big.Int, scale int) json.Number {
	text := n.String()
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	if scale <= 0 {
		return json.Number(sign + text)
	}
	if len(text) <= scale {
		text = strings.Repeat("0", scale+1-len(text)) + text
	}
	return json.Number(sign + text[:len(text)-scale] + "." + text[len(text)-scale:])
}
