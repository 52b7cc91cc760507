// Package record holds the events on their way from the Kafka reader to the table: plain data that
// the reader fills and the converter reads, and what becomes of those that have no place in it. It owns the vocabulary only, no behaviour.
package record

import "iter"

// Record is one Kafka record. Its slices alias the fetch answer and are valid only while the chunk
// that holds it is being delivered; a receiver copies what it keeps.
type Record struct {
	// Offset is the record's offset in its partition.
	Offset int64
	// Timestamp is in milliseconds since the Unix epoch.
	Timestamp int64
	// Value is the record's value.
	Value []byte
}

// Chunk is a gapless run of offsets of one partition. Offsets of control records and of aborted
// transactions count as read but have no record.
type Chunk struct {
	// Topic and Partition name the partition.
	Topic     string
	Partition int32
	// From is the first offset that the chunk covers, Next the first one that it does not.
	From, Next int64
	// Count and Bytes are the number of records and the sum of the lengths of their values.
	Count, Bytes int
	// Records yields the records in the order of their offsets.
	Records iter.Seq[Record]
}

// Refused is an event that cannot become a row, and why. It owns its memory.
type Refused struct {
	Topic     string
	Partition int32
	Offset    int64
	// Timestamp is in milliseconds since the Unix epoch.
	Timestamp int64
	// Value is the record's value, untouched.
	Value []byte
	// Schema is the schema id in front of the value, 0 when there is none. EventID is empty when it could not be found.
	Schema  int
	EventID string
	// Cause is the name of a cause of proto playhead.ingest.v1 without its prefix; Path names the field, Detail says more. None of them quotes
	// the value: events hold personal data.
	Cause, Path, Detail string
}

// HaltError says that a partition must not move on: going on would skip or repeat an event. An
// operator reads Reason.
type HaltError struct {
	// Reason names the fault and the offset.
	Reason string
}

// Error returns the reason.
func (e *HaltError) Error() string { return e.Reason }
