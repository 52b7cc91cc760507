package convert

import (
	"encoding/json"
	"fmt"
)

// Columns that the lake-writer appends to the fields of an event. The two of the event's time are the
// partition of the table; the Kafka ones carry the names that Hudi Streamer gives them
// (KafkaOffsetPostProcessor).
const (
	ColumnDate      = "event_date"
	ColumnHour      = "event_hour"
	ColumnPartition = "_hoodie_kafka_source_partition"
	ColumnOffset    = "_hoodie_kafka_source_offset"
	ColumnTimestamp = "_hoodie_kafka_source_timestamp"
)

// appended lists the columns behind the fields of an event, in the order in which Convert encodes them.
func appended(kafkaColumns bool) []field {
	list := []field{{ColumnDate, &typ{kind: "string"}}, {ColumnHour, &typ{kind: "string"}}}
	if !kafkaColumns {
		return list
	}
	return append(list,
		field{ColumnPartition, &typ{kind: "int"}},
		field{ColumnOffset, &typ{kind: "long"}},
		field{ColumnTimestamp, &typ{kind: "long"}})
}

// TableSchema returns the schema of a table for the events of the given schema: their fields and the
// appended columns, all nullable.
func TableSchema(event string, kafkaColumns bool) (string, error) {
	t, err := tableType(event, kafkaColumns)
	if err != nil {
		return "", err
	}
	return t.text()
}

func tableType(event string, kafkaColumns bool) (*typ, error) {
	parsed, err := parseSchema(event)
	if err != nil {
		return nil, err
	}
	all := *parsed
	all.fields = append(append([]field(nil), parsed.fields...), appended(kafkaColumns)...)
	seen := make(map[string]bool)
	for _, f := range all.fields {
		if seen[f.name] {
			return nil, fmt.Errorf("field %s is there twice: the lake-writer adds columns of its own", f.name)
		}
		seen[f.name] = true
	}
	return all.element()
}

// writerSchema returns the event's schema with the appended fields, of which none is null: the schema
// of the bytes that Convert makes. All else of the event's schema stays as it is.
func writerSchema(event string, kafkaColumns bool) (string, error) {
	var schema map[string]json.RawMessage
	if err := json.Unmarshal([]byte(event), &schema); err != nil {
		return "", fmt.Errorf("parse schema: %w", err)
	}
	var fields []json.RawMessage
	if err := json.Unmarshal(schema["fields"], &fields); err != nil {
		return "", fmt.Errorf("parse fields: %w", err)
	}
	for _, f := range appended(kafkaColumns) {
		data, err := json.Marshal(entry{Name: f.name, Type: f.typ.kind})
		if err != nil {
			return "", fmt.Errorf("write field %s: %w", f.name, err)
		}
		fields = append(fields, data)
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("write fields: %w", err)
	}
	schema["fields"] = data
	data, err = json.Marshal(schema)
	if err != nil {
		return "", fmt.Errorf("write schema: %w", err)
	}
	return string(data), nil
}
