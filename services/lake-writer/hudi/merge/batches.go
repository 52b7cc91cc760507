package merge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"
)

// A batch of log records has at most so many rows, and so many bytes of records unless it is a single one.
const (
	batchRows  = 8192
	batchBytes = 8 << 20
)

// Batches yields what Rows does, by columns: those of the base file that stay, then the winners of the logs, whose records are decoded straight
// into columns. A batch is valid until the next one of the scratch. After an error it yields nothing more.
func Batches(
	ctx context.Context, cfg Config, scratch *basefile.Scratch, base *basefile.Reader, logs []Source, columns []string,
) iter.Seq2[*columnar.Batch, error] {
	return func(yield func(*columnar.Batch, error) bool) {
		m, err := newMerger(cfg)
		if err != nil {
			yield(nil, err)
			return
		}
		if columns == nil {
			columns = m.columns()
		}
		stopped, err := m.batches(ctx, scratch, base, logs, columns, yield)
		if err = errors.Join(err, m.winners.close()); err != nil && !stopped {
			yield(nil, err)
		}
	}
}

func (m *merger) batches(
	ctx context.Context, scratch *basefile.Scratch, base *basefile.Reader, logs []Source, columns []string, yield func(*columnar.Batch, error) bool,
) (stopped bool, err error) {
	if err := m.collect(ctx, logs); err != nil {
		return false, err
	}
	if base != nil {
		batches := scratch.Batches(base, m.cfg.TableSchema, m.needed(columns))
		if stopped, err = m.baseBatches(ctx, batches, columns, yield); stopped || err != nil {
			return stopped, err
		}
	}
	return m.logBatches(ctx, scratch, columns, yield)
}

// needed are the wanted columns, and behind them what deciding needs.
func (m *merger) needed(columns []string) []string {
	needed := slices.Clone(columns)
	for _, c := range []string{basefile.RecordKeyColumn, m.cfg.Ordering} {
		if c != "" && !slices.Contains(needed, c) {
			needed = append(needed, c)
		}
	}
	return needed
}

// baseBatches yields the rows of the base file that stay.
func (m *merger) baseBatches(
	ctx context.Context, batches iter.Seq2[*columnar.Batch, error], columns []string, yield func(*columnar.Batch, error) bool,
) (stopped bool, err error) {
	var keep []int32
	for b, err := range batches {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return false, fmt.Errorf("read the base file: %w", err)
		}
		keep = m.staying(b, keep[:0])
		b.Keep(keep)
		out := columnar.Batch{Names: columns, Columns: b.Columns[:len(columns)], Rows: b.Rows}
		if out.Rows > 0 && !yield(&out, nil) {
			return true, nil
		}
	}
	return false, nil
}

// staying are the rows of a batch that no log record replaces, and notes of the log records whose rows they are.
func (m *merger) staying(b *columnar.Batch, keep []int32) []int32 {
	keys := b.Column(basefile.RecordKeyColumn)
	var order *columnar.Column
	if m.ordering != nil {
		order = b.Column(m.cfg.Ordering)
	}
	for i := range b.Rows {
		var key []byte
		if !keys.IsNull(i) {
			key = keys.Bytes(i)
		}
		if w := m.winners.get(key); w != nil {
			w.base = true
			var old version
			if order != nil {
				old.ordering = orderingOf(basefile.ColumnValue(order, i), m.ordering)
			}
			if w.lost = !m.beats(m.winners.version(w), old); !w.lost {
				continue
			}
		}
		keep = append(keep, int32(i))
	}
	return keep
}

// logBatches yields the winners of the logs, segment by segment as Rows does: records go into columns that are filled from one segment to the
// next, blocks of rows are read by columns themselves.
func (m *merger) logBatches(
	ctx context.Context, scratch *basefile.Scratch, columns []string, yield func(*columnar.Batch, error) bool,
) (stopped bool, err error) {
	d, err := m.decoder(columns)
	if err != nil {
		return false, err
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
		if !g.rows {
			stopped, err = m.recordBatches(ctx, d, g, content, yield)
		} else if stopped = !d.flush(yield); !stopped {
			stopped, err = m.rowBatches(ctx, scratch, g, content, columns, yield)
		}
		if stopped || err != nil {
			return stopped, err
		}
	}
	return !d.flush(yield), nil
}

// recordBatches appends the winners of a segment of Avro records to the decoder's columns, and yields these when they are full.
func (m *merger) recordBatches(
	ctx context.Context, d *decoder, g *segment, content []byte, yield func(*columnar.Batch, error) bool,
) (stopped bool, err error) {
	for w := range m.winners.of(g) {
		if d.full(int(w.size)) {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			if !d.flush(yield) {
				return true, nil
			}
		}
		if err := d.append(g.schema, content[w.at:][:w.size]); err != nil {
			return false, fmt.Errorf("record %q: %w", m.winners.keyOf(w), err)
		}
	}
	return false, nil
}

// rowBatches yields the winners of a segment of rows.
func (m *merger) rowBatches(
	ctx context.Context, scratch *basefile.Scratch, g *segment, content []byte, columns []string, yield func(*columnar.Batch, error) bool,
) (stopped bool, err error) {
	file, stays, err := m.rowsOf(g, content)
	if err != nil {
		return false, err
	}
	var keep []int32
	for b, err := range scratch.Batches(file, m.cfg.TableSchema, columns) {
		if err == nil && b.Rows > len(stays) {
			err = fmt.Errorf("%d rows more than were counted", b.Rows-len(stays))
		}
		if err != nil {
			return false, g.fail(err)
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		keep = keep[:0]
		for i, stay := range stays[:b.Rows] {
			if stay {
				keep = append(keep, int32(i))
			}
		}
		stays = stays[b.Rows:]
		b.Keep(keep)
		if b.Rows > 0 && !yield(b, nil) {
			return true, nil
		}
	}
	return false, nil
}

// decoder makes batches of data: the wanted columns, in the table's types.
type decoder struct {
	table *schema
	batch columnar.Batch
	bytes int // of the batch's records
	plans map[*schema]*plan
}

func (m *merger) decoder(columns []string) (*decoder, error) {
	types, err := basefile.ColumnTypes(m.cfg.TableSchema, columns)
	if err != nil {
		return nil, err
	}
	d := &decoder{table: m.table, batch: columnar.Batch{Names: columns}, plans: make(map[*schema]*plan)}
	for _, t := range types {
		d.batch.Columns = append(d.batch.Columns, columnar.New(t))
	}
	return d, nil
}

// full reports whether the batch has no room for a record of so many bytes.
func (d *decoder) full(size int) bool {
	return d.batch.Rows == batchRows || d.batch.Rows > 0 && d.bytes+size > batchBytes
}

// flush yields the batch, unless it is empty, and begins another; it says whether to go on.
func (d *decoder) flush(yield func(*columnar.Batch, error) bool) bool {
	if d.batch.Rows == 0 {
		return true
	}
	if !yield(&d.batch, nil) {
		return false
	}
	for _, c := range d.batch.Columns {
		c.Reset()
	}
	d.batch.Rows, d.bytes = 0, 0
	return true
}

// plan is which columns the fields of a schema become.
type plan struct {
	meta   [metaFields]*columnar.Column
	fields []*columnar.Column // nil: not wanted
	absent []*columnar.Column // wanted, and null in every record of the schema
}

func (d *decoder) plan(s *schema) *plan {
	if p, ok := d.plans[s]; ok {
		return p
	}
	p := &plan{fields: make([]*columnar.Column, len(s.payload.fields))}
	for i, name := range d.batch.Names {
		if at := slices.Index(basefile.MetaColumns(), name); at >= 0 {
			p.meta[at] = d.batch.Columns[i]
		} else if at := s.payload.index(name); at >= 0 && s.payload.fields[at].to >= 0 {
			p.fields[at] = d.batch.Columns[i]
		} else {
			p.absent = append(p.absent, d.batch.Columns[i])
		}
	}
	d.plans[s] = p
	return p
}

func (d *decoder) append(s *schema, datum []byte) error {
	p := d.plan(s)
	w := walker{data: datum}
	for i, value := range w.meta() {
		switch c := p.meta[i]; {
		case c == nil:
		case value == nil:
			c.AppendNulls(1)
		default:
			c.AppendBytes(value)
		}
	}
	for i, c := range p.fields {
		f := &s.payload.fields[i]
		if c == nil {
			w.skip(f.node)
			continue
		}
		w.appendTo(c, f.node, d.table.payload.fields[f.to].node)
	}
	for _, c := range p.absent {
		c.AppendNulls(1)
	}
	if w.err == nil && w.pos != len(datum) {
		w.fail("%d bytes behind the record", len(datum)-w.pos)
	}
	d.batch.Rows++
	d.bytes += len(datum)
	return w.failure()
}

// appendTo appends a value of a writer's type to a column of the table's type. After a failure the column is spoilt, and of the same length as
// if there had been none.
func (w *walker) appendTo(c *columnar.Column, from, to *node) {
	if !w.present(from) {
		c.AppendNulls(1)
		return
	}
	switch from.kind {
	case avro.Int, avro.Long:
		v := w.long()
		if from.logical == avro.TimestampMillis && to.logical == avro.TimestampMicros || from.logical == avro.TimeMillis && to.logical == avro.TimeMicros {
			v *= 1000
		}
		if c.Type.Kind == columnar.Int32 {
			c.AppendInt32(int32(v))
		} else {
			c.AppendInt64(v)
		}
	case avro.String, avro.Bytes:
		c.AppendBytes(w.bytes(w.long()))
	case avro.Record:
		w.appendRecord(c, from, to)
	case avro.Array:
		w.blocks(func() { w.appendTo(c.Children[0], from.items, to.items) })
		c.CloseItems()
	case avro.Map:
		w.blocks(func() {
			c.Children[0].AppendBytes(w.bytes(w.long()))
			w.appendTo(c.Children[1], from.items, to.items)
		})
		c.CloseItems()
	default:
		w.appendFixed(c, from)
	}
}

// appendFixed appends a value whose type says how many bytes it has, or a symbol.
func (w *walker) appendFixed(c *columnar.Column, from *node) {
	size := from.size
	switch from.kind {
	case avro.Boolean:
		size = 1
	case avro.Float:
		size = 4
	case avro.Double:
		size = 8
	case avro.Enum:
		i := w.long()
		if i < 0 || i >= int64(len(from.symbols)) {
			w.fail("symbol %d of an enum", i)
			c.AppendNulls(1)
			return
		}
		c.AppendBytes([]byte(from.symbols[i]))
		return
	}
	b := w.bytes(int64(size))
	if b == nil {
		c.AppendNulls(1)
		return
	}
	switch from.kind {
	case avro.Boolean:
		c.AppendBool(b[0] != 0)
	case avro.Float:
		c.AppendFloat32(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case avro.Double:
		c.AppendFloat64(math.Float64frombits(binary.LittleEndian.Uint64(b)))
	default:
		c.AppendBytes(b)
	}
}

func (w *walker) appendRecord(c *columnar.Column, from, to *node) {
	for _, f := range from.fields {
		if f.to < 0 {
			w.skip(f.node)
			continue
		}
		w.appendTo(c.Children[f.to], f.node, to.fields[f.to].node)
	}
	for _, child := range c.Children {
		if child.Len == c.Len { // the writer's record lacks it
			child.AppendNulls(1)
		}
	}
	c.Extend(1)
}
