// Package logfile owns the bytes of Hudi's log files: the frame of blocks (log format version 1), their headers, and the contents of Avro
// data, delete and command blocks, read and written. Parquet and HFile blocks hold whole files of those formats, which are passed on as they
// are. Names of log files are package fileslice's; which blocks count for a reader and how records merge is package merge's.
//
// The layout is that of HoodieLogFormatWriter and HoodieLogFileReader; the published format description differs from it. All integers are
// big-endian:
//
//	magic "#HUDI#"
//	int64 length of all that follows, without this field
//	int32 log format version = 1
//	int32 block type
//	header: int32 n, n times (int32 key, int32 length, text)
//	int64 content length, content
//	footer: as the header, always empty
//	int64 reverse pointer: bytes of the block before this field
package logfile
