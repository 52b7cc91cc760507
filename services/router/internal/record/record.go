// Package record holds what the parts of the router that make records and the part that writes them agree on. It is pure.
package record

import "fmt"

// Record is one record to write. Whoever writes it copies key and value.
type Record struct {
	Partition int32
	// Key may be nil.
	Key, Value []byte
	Headers    []Header
	// Millis is the timestamp, in milliseconds since the Unix epoch.
	Millis int64
	// Tag tells the owner which of its records was refused.
	Tag uint32
}

// Header is a record header.
type Header struct {
	Key   string
	Value []byte
}

// Owner is told what became of its records: each leads to exactly one call, or to a share of one. The calls come from the writer's only loop
// and must return soon. They may hand over further records. An Owner must be comparable.
type Owner interface {
	// Acked says that n more records are in the log, on all in-sync replicas.
	Acked(n int)
	// Refused says that the record with this tag can never be written as it is.
	Refused(tag uint32, err *RefusedError)
}

// RefusedError says why a record can never be written to its topic.
type RefusedError struct {
	Topic     string
	Partition int32
	// Reason is the name of the broker's error.
	Reason string
	// TooLarge tells that a shorter record could pass.
	TooLarge bool
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("write to %s/%d: refused for good: %s", e.Topic, e.Partition, e.Reason)
}
