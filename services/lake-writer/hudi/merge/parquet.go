package merge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// parquetRecords takes the rows of a Parquet block as records of the block's schema, as HoodieParquetDataBlock does: the header's schema
// decides, not the file's, whose columns are found by name. One row at a time is decoded, beside the block.
func (m *merger) parquetRecords(ctx context.Context, b *logfile.Block) error {
	s, err := m.schema(b.Header[logfile.Schema])
	if err != nil {
		return err
	}
	text, err := withoutMetaFields(s.text)
	if err != nil {
		return err
	}
	file, err := basefile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
	if err != nil {
		return err
	}
	var e encoder
	n := 0
	for row, err := range file.RowsAs(text, nil) {
		if err != nil {
			return err
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		e.data = e.data[:0]
		if err := e.row(row, s.payload); err != nil {
			return err
		}
		if err := m.record(s, e.data); err != nil {
			return err
		}
	}
	return nil
}

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
