package basefile

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The keys of a base file's footer (HoodieAvroWriteSupport, HoodieBloomFilterWriteSupport, parquet-avro's AvroWriteSupport).
const (
	avroSchemaKey  = "parquet.avro.schema"
	writerModelKey = "writer.model.name"
	bloomKey       = "org.apache.hudi.bloomfilter"
	bloomTypeKey   = "hoodie_bloom_filter_type_code"
	minKeyKey      = "hoodie_min_record_key"
	maxKeyKey      = "hoodie_max_record_key"
)

// WithMetaFields is the text of a record schema with the meta columns put first, as it stands in a footer.
func WithMetaFields(schema string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(schema))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return "", &SchemaError{Reason: "not a record"}
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return "", &SchemaError{Reason: err.Error()}
		}
		if name != "fields" {
			var skipped json.RawMessage
			if err := dec.Decode(&skipped); err != nil {
				return "", &SchemaError{Reason: err.Error()}
			}
			continue
		}
		if token, err := dec.Token(); err != nil || token != json.Delim('[') {
			return "", &SchemaError{Reason: "fields are no list"}
		}
		at := dec.InputOffset()
		var meta strings.Builder
		for i, column := range MetaColumns() {
			if i > 0 {
				meta.WriteByte(',')
			}
			fmt.Fprintf(&meta, `{"name":%q,"type":["null","string"],"doc":"","default":null}`, column)
		}
		if dec.More() {
			meta.WriteByte(',')
		}
		return schema[:at] + meta.String() + schema[at:], nil
	}
	return "", &SchemaError{Reason: "record without fields"}
}
