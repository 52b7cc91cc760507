package meta

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/hamba/avro/v2"
	"github.com/hamba/avro/v2/ocf"
)

// Most metadata files are Avro object container files of one record. Two ways lead from them to Go types: by avro tags through the Avro
// library (encodeOCF, decodeOCF), and by json tags, for records that are JSON elsewhere (encodeRecord, decodeRecord).

// containerMagic begins every object container file.
const containerMagic = "Obj\x01"

func isContainer(data []byte) bool { return bytes.HasPrefix(data, []byte(containerMagic)) }

// encodeOCF writes one record with the schema's own text: Hudi's readers look for fields by name and want Java's string property.
func encodeOCF(schema string, record any) ([]byte, error) {
	var b bytes.Buffer
	enc, err := ocf.NewEncoder(schema, &b, ocf.WithSchemaMarshaler(func(avro.Schema) ([]byte, error) { return []byte(schema), nil }))
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	if err := enc.Encode(record); err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	return b.Bytes(), nil
}

// decodeOCF reads the one record of a container file. The bytes come from other writers. They are read by this package first: on malformed
// ones the Avro library allocates what they ask for, skips without end, or takes a record that was cut off for a short one.
func decodeOCF(data []byte, record any) (err error) {
	defer recovered(&err)
	if _, err := readContainer(data); err != nil {
		return err
	}
	dec, err := ocf.NewDecoder(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: %w", errAvro, err)
	}
	defer dec.Close()
	if !dec.HasNext() {
		return fmt.Errorf("%w: no record: %w", errAvro, dec.Error())
	}
	if err := dec.Decode(record); err != nil {
		return fmt.Errorf("%w: %w", errAvro, err)
	}
	return nil
}

// recovered makes a panic of the Avro library, which some malformed schemas cause, an error.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", errAvro, r)
	}
}

// encodeRecord writes a value whose JSON has the names of a record's fields. Fields that the JSON lacks are null. The bytes are the same
// for the same value: the sync marker, which Java takes at random, is drawn from them.
func encodeRecord(schemaText string, schema avro.Schema, record map[string]any) ([]byte, error) {
	datum, err := appendAvro(nil, schema, record)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(datum)
	marker := sum[:16]
	const key = "avro.schema" // without a codec's name the codec is null
	dst := binary.AppendVarint([]byte(containerMagic), 1)
	dst = append(binary.AppendVarint(dst, int64(len(key))), key...)
	dst = append(binary.AppendVarint(dst, int64(len(schemaText))), schemaText...)
	dst = append(append(dst, 0), marker...)
	dst = binary.AppendVarint(dst, 1)
	dst = append(binary.AppendVarint(dst, int64(len(datum))), datum...)
	return append(dst, marker...), nil
}

// decodeRecord reads the one record of a container file into a value whose json tags have the names of the record's fields. Fields that
// are null are left as they are in the value.
func decodeRecord(data []byte, record any) (err error) {
	defer recovered(&err)
	v, err := readContainer(data)
	if err != nil {
		return err
	}
	dropNulls(v)
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", errAvro, err)
	}
	if err := json.Unmarshal(text, record); err != nil {
		return fmt.Errorf("%w: %w", errAvro, err)
	}
	return nil
}

// readContainer reads the one record of a container file, as decodeAvro gives it. Hudi compresses none of the files that it is for.
func readContainer(data []byte) (any, error) {
	if !isContainer(data) {
		return nil, fmt.Errorf("%w: no container file", errAvro)
	}
	b := avroBytes{rest: data[len(containerMagic):]}
	header := make(map[string]string)
	b.blocks(func() {
		key := string(b.take(b.long()))
		header[key] = string(b.take(b.long()))
	})
	marker := b.take(16)
	records, datum := b.long(), b.take(b.long())
	if end := b.take(16); b.err == nil && (records != 1 || !bytes.Equal(end, marker)) {
		b.fail("a block of %d records, or its end is another file's", records)
	}
	if b.err != nil {
		return nil, b.err
	}
	if codec := header["avro.codec"]; codec != "" && codec != "null" {
		return nil, fmt.Errorf("%w: codec %q", errAvro, codec)
	}
	schema, err := embeddedSchema(header["avro.schema"])
	if err != nil {
		return nil, err
	}
	return decodeAvro(schema, datum)
}

// embeddedSchema is the schema of a file. Those of commits are parsed once: there are as many commits as files on a timeline.
func embeddedSchema(text string) (avro.Schema, error) {
	switch text {
	case commitSchemaText:
		return commitSchema()
	case replaceSchemaText:
		return replaceSchema()
	}
	schema, err := parseSchema(text)
	if err != nil {
		return nil, err
	}
	_, err = expanded(schema, make(map[avro.Schema]int))
	return schema, err
}

// maxSchemaNodes bounds how many types a schema consists of when each name in it is replaced by what it stands for. Those of Hudi have
// hundreds. More, or a record that holds itself, may mean values without end that take no bytes.
const maxSchemaNodes = 1 << 12

// expanded counts the types of a schema. seen has the counts of records, 0 while they are counted.
func expanded(schema avro.Schema, seen map[avro.Schema]int) (int, error) {
	if ref, ok := schema.(*avro.RefSchema); ok {
		schema = ref.Schema()
	}
	count := 1
	var parts []avro.Schema
	switch s := schema.(type) {
	case *avro.RecordSchema:
		if n, ok := seen[s]; ok {
			if n == 0 {
				return 0, fmt.Errorf("%w: record %s holds itself", errAvro, s.FullName())
			}
			return n, nil
		}
		seen[s] = 0
		for _, f := range s.Fields() {
			parts = append(parts, f.Type())
		}
	case *avro.UnionSchema:
		parts = s.Types()
	case *avro.ArraySchema:
		parts = []avro.Schema{s.Items()}
	case *avro.MapSchema:
		parts = []avro.Schema{s.Values()}
	}
	for _, part := range parts {
		n, err := expanded(part, seen)
		if err != nil {
			return 0, err
		}
		if count += n; count > maxSchemaNodes {
			return 0, fmt.Errorf("%w: a schema of more than %d types", errAvro, maxSchemaNodes)
		}
	}
	if r, ok := schema.(*avro.RecordSchema); ok {
		seen[r] = count
	}
	return count, nil
}

// dropNulls takes the fields that are null out of records and maps, at any depth.
func dropNulls(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, field := range v {
			if field == nil {
				delete(v, key)
				continue
			}
			dropNulls(field)
		}
	case []any:
		for _, item := range v {
			dropNulls(item)
		}
	}
}

// generic is a value as its JSON says it, with exact numbers.
func generic(v any) (map[string]any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var record map[string]any
	if err := dec.Decode(&record); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return record, nil
}
