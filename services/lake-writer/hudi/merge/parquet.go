package merge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// parquetBlock takes the rows of a Parquet block, as HoodieParquetDataBlock does: the header's schema decides, not the file's, whose columns
// are found by name. Where the file's columns become the table's as they are, its bytes are kept, and only what merging asks for is read now.
func (m *merger) parquetBlock(ctx context.Context, l openLog, b *logfile.Block) error {
	s, err := m.schema(b.Header[logfile.Schema])
	if err != nil {
		return err
	}
	file, err := basefile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
	if err != nil {
		return err
	}
	fits, err := m.fits(s, file)
	if err != nil {
		return err
	}
	if !fits {
		return m.parquetRecords(ctx, s, l, b, file)
	}
	m.winners.begin(segment{log: l.name, offset: b.Offset, schema: s, rows: true, content: b.Content})
	ordering, deleted := "", ""
	if s.orderingAt >= 0 {
		ordering = m.cfg.Ordering
	}
	if s.deletedAt >= 0 {
		deleted = deletedField
	}
	err = m.keyRows(ctx, file, ordering, deleted, func(row int64, key []byte, v version) {
		v.always = v.deleted && v.ordering.Kind == logfile.OrderingInt && v.ordering.Int64() == 0
		m.offer(key, v, int(row), 0)
	})
	if err != nil {
		return err
	}
	return m.winners.finish()
}

// keyRows reads of each row of a file what merging compares. An empty name asks for no column, and a column that the file lacks is null.
func (m *merger) keyRows(
	ctx context.Context, file *basefile.Reader, ordering, deleted string, each func(row int64, key []byte, v version),
) error {
	kind := logfile.OrderingNone
	if ordering != "" {
		kind = orderingKind(m.ordering)
	}
	if kind == logfile.OrderingNone || kind == logfile.OrderingLong || kind == logfile.OrderingInt || kind == logfile.OrderingDate {
		ok, err := file.KeyRows(ordering, deleted, func(row int64, k basefile.KeyRow) error {
			if row%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			v := version{deleted: k.Flag}
			if k.Ordered {
				v.ordering = numberOrdering(k.Number, kind)
			}
			each(row, k.Key, v)
			return nil
		})
		if ok || err != nil {
			return err
		}
	}
	columns := []string{basefile.RecordKeyColumn}
	for _, name := range []string{ordering, deleted} {
		if name != "" && slices.Contains(file.Columns(), name) {
			columns = append(columns, name)
		}
	}
	n := int64(0)
	for row, err := range file.Rows(columns) {
		if err != nil {
			return err
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, _ := row.Values[0].(string)
		if key == "" {
			return &basefile.FileError{Offset: -1, Reason: fmt.Sprintf("row %d has no record key", n-1)}
		}
		var v version
		if o, ok := row.Get(ordering); ok {
			v.ordering = orderingOf(o, m.ordering)
		}
		if d, ok := row.Get(deleted); ok {
			v.deleted, _ = d.(bool)
		}
		each(n-1, []byte(key), v)
	}
	return nil
}

// numberOrdering is a whole number as the Java class of the table's column.
func numberOrdering(v int64, kind logfile.OrderingKind) logfile.Ordering {
	switch kind {
	case logfile.OrderingInt:
		return logfile.IntOrdering(int32(v))
	case logfile.OrderingDate:
		return logfile.DateOrdering(int32(v))
	default:
		return logfile.LongOrdering(v)
	}
}

// fits reports whether a block's file has no column that the header's schema lacks, and each becomes the table's of its name as it is.
func (m *merger) fits(s *schema, file *basefile.Reader) (bool, error) {
	if m.columnsOf == nil {
		table, err := basefile.ParseTable(m.cfg.TableSchema)
		if err != nil {
			return false, err
		}
		m.columnsOf = table
	}
	meta := basefile.MetaColumns()
	for _, name := range file.Columns() {
		if !slices.Contains(meta, name) && s.payload.index(name) < 0 {
			return false, nil
		}
	}
	return m.columnsOf.Takes(file) == nil, nil
}

// rowsOf opens a segment of rows, and says which of them are winners; those are counted.
func (m *merger) rowsOf(g *segment, content []byte) (file *basefile.Reader, stays []bool, err error) {
	if file, err = basefile.OpenReader(bytes.NewReader(content), int64(len(content))); err != nil {
		return nil, nil, g.fail(err)
	}
	stays = make([]bool, file.NumRows()) // as many as were read
	for w := range m.winners.of(g) {
		stays[w.at] = true
		m.count(w)
	}
	return file, stays, nil
}

// parquetRecords takes the rows of a Parquet block as Avro records of its header's schema, which is how columns that the table has no more
// are left out and types change. They make segments of their own, since they are longer than the block.
func (m *merger) parquetRecords(ctx context.Context, s *schema, l openLog, b *logfile.Block, file *basefile.Reader) error {
	text, err := withoutMetaFields(s.text)
	if err != nil {
		return err
	}
	var e encoder
	n := 0
	m.winners.begin(segment{log: l.name, offset: b.Offset, schema: s})
	for row, err := range file.RowsAs(text, nil) {
		if err != nil {
			return err
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if len(e.data) >= encodedBytes {
			if err := m.winners.finishWith(e.data); err != nil {
				return err
			}
			m.winners.begin(segment{log: l.name, offset: b.Offset, schema: s})
			e.data = nil
		}
		at := len(e.data)
		if err := e.row(row, s.payload); err != nil {
			return err
		}
		if err := m.record(s, e.data[at:], at); err != nil {
			return err
		}
	}
	return m.winners.finishWith(e.data)
}

// encodedBytes is about how long a segment of records is that come of Parquet rows.
const encodedBytes = 1 << 20

// withoutMetaFields is the text of a schema, known to begin with the meta fields, of what comes behind them.
func withoutMetaFields(text string) (string, error) {
	var record map[string]json.RawMessage
	var fields []json.RawMessage
	err := json.Unmarshal([]byte(text), &record)
	if err == nil {
		err = json.Unmarshal(record["fields"], &fields)
	}
	if err != nil || len(fields) <= metaFields {
		return "", &basefile.SchemaError{Reason: fmt.Sprintf("a block's schema of %d fields: %v", len(fields), err)}
	}
	if record["fields"], err = json.Marshal(fields[metaFields:]); err != nil {
		return "", &basefile.SchemaError{Reason: err.Error()}
	}
	short, err := json.Marshal(record)
	if err != nil {
		return "", &basefile.SchemaError{Reason: err.Error()}
	}
	return string(short), nil
}
