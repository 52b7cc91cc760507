package meta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrFile: bytes are no content of a timeline's file.
var ErrFile = errors.New("malformed instant file")

// DecodeFile is what any file of a timeline holds, for people to look at: the record of an Avro container file, with Avro's names and values
// as nil, bool, int64, float64, string, []byte, []any and map[string]any, or a JSON object, with numbers as json.Number. A file without
// content is nil.
func DecodeFile(data []byte) (_ map[string]any, err error) {
	if len(data) == 0 {
		return nil, nil
	}
	defer func() { // the Avro library panics on some malformed schemas
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrFile, r)
		}
	}()
	var record any
	if isContainer(data) {
		record, err = readContainer(data)
	} else {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		err = dec.Decode(&record)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	fields, ok := record.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: no record", ErrFile)
	}
	return fields, nil
}
