// Package hfile reads and writes HFiles of version 3, sorted files of keys and values with an index, in the form that Hudi gives
// them: base files and log blocks of the metadata table, and the bootstrap index. A key here is what HBase calls the row; family,
// qualifier, timestamp and type of a cell are constant in Hudi's files.
//
// It knows nothing of what the values hold (package mdt does), caches no block and keeps no file open.
package hfile
