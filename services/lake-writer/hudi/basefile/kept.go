package basefile

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// KeptRecord is a row that an earlier commit wrote and a rewrite keeps: the winner of a merge of log blocks. It goes on under the
// commit time and sequence number that it has; only the file name becomes this file's (HoodieMergeHandle does the same).
type KeptRecord struct {
	CommitTime string
	SeqNo      string
	Key        string
	Writer     int    // index into Config.WriterSchemas, or what AddWriterSchema returned
	Payload    []byte // Avro binary in that schema, without the meta columns; not kept after AppendKept returns
}

// AppendKept adds a row with the meta columns that it has had. After a *RecordError nothing of the record is in the file, and the
// writer goes on. It takes no sequence number from those that Append gives.
func (w *Writer) AppendKept(rec KeptRecord) error {
	for _, m := range []struct{ column, value string }{{CommitTimeColumn, rec.CommitTime}, {CommitSeqnoColumn, rec.SeqNo}} {
		if m.value == "" || !utf8.ValidString(m.value) {
			return &RecordError{Path: m.column, Reason: fmt.Sprintf("value %q", m.value)}
		}
	}
	if err := w.appendRow(Record{Key: rec.Key, Writer: rec.Writer, Payload: rec.Payload}, rec.CommitTime, rec.SeqNo, 0); err != nil {
		return err
	}
	return w.flushFull()
}

// AddWriterSchema makes another writer schema known, as log blocks bring them along, and returns its index for records. The same
// text has the same index. A schema that begins with the meta columns is taken for what comes behind them. It refuses what cannot
// be written without loss: *SchemaError; the writer then goes on.
func (w *Writer) AddWriterSchema(schema string) (index int, err error) {
	if i := slices.Index(w.cfg.WriterSchemas, schema); i >= 0 {
		return i, nil
	}
	if err := w.addProgram(schema, parseWithoutMeta); err != nil {
		return 0, fmt.Errorf("writer schema %d: %w", len(w.programs), err)
	}
	return len(w.programs) - 1, nil
}

// parseWithoutMeta reads a record schema and leaves the meta columns out, if it begins with them.
func parseWithoutMeta(schema string) (*avroType, error) {
	t, err := parseSchema(schema)
	if err != nil {
		return nil, err
	}
	meta := MetaColumns()
	if len(t.fields) > len(meta) && slices.EqualFunc(t.fields[:len(meta)], meta, func(f avroField, name string) bool { return f.name == name }) {
		t.fields = t.fields[len(meta):]
	}
	return t, nil
}
