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

// BlockError reports a block whose content cannot be read. Its cause is a *DatumError, a *logfile.CorruptError, a *basefile.FileError
// (with an offset in the Parquet file that the block holds) or a *basefile.SchemaError.
type BlockError struct {
	Log    string // name of the file
	Offset int64  // of the block in it
	Err    error
}

// Error names the block and the cause.
func (e *BlockError) Error() string {
	return fmt.Sprintf("log %s: block at offset %d: %v", e.Log, e.Offset, e.Err)
}

// Unwrap is the cause.
func (e *BlockError) Unwrap() error { return e.Err }

// DatumError reports bytes that are no record of their block's schema.
type DatumError struct {
	Offset int // in the record
	Reason string
}

// Error says where and what.
func (e *DatumError) Error() string {
	return fmt.Sprintf("record at byte %d: %s", e.Offset, e.Reason)
}

// SpillError reports that the temporary file of log records cannot be written, or does not hold what was written to it.
type SpillError struct {
	Doing string
	Err   error
}

// Error says what went wrong.
func (e *SpillError) Error() string { return fmt.Sprintf("%s spilled log records: %v", e.Doing, e.Err) }

// Unwrap is the cause.
func (e *SpillError) Unwrap() error { return e.Err }
