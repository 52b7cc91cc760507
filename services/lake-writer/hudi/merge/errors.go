package merge

import "fmt"

// UnsupportedError reports a block that is not merged because of what it is or what its header asks for.
type UnsupportedError struct {
	Log    string // name of the file
	Offset int64  // of the block in it
	Header string // the header's name in Hudi (IS_PARTIAL, COMPACTED_BLOCK_TIMES), or the block type
}

// Error names the block and the header.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("log %s: block at offset %d: unsupported: %s", e.Log, e.Offset, e.Header)
}

// DatumError reports bytes that are no record of their block's schema.
type DatumError struct {
	Offset int // in the record
	Reason string
}

// Error says where and what.
func (e *DatumError) Error() string {
	return fmt.Sprintf("record at byte %d: %s", e.Offset, e.Reason)
}
