// Package basefile owns Hudi's Parquet base files: it shreds Avro records into columns, copies the rows of an older file,
// writes the meta columns and footer keys that Hudi's readers look for, and reads such files back, Spark's included, by rows or by columns.
//
// It knows nothing of tables, timelines and storage: callers hand it an io.Writer or io.ReaderAt and the names that go into the
// meta columns. Which records belong into a file, and which keys are there already, is the caller's decision.
package basefile

// The meta columns, always the first of a base file, in this order (org.apache.hudi.common.model.HoodieRecord).
const (
	CommitTimeColumn    = "_hoodie_commit_time"
	CommitSeqnoColumn   = "_hoodie_commit_seqno"
	RecordKeyColumn     = "_hoodie_record_key"
	PartitionPathColumn = "_hoodie_partition_path"
	FileNameColumn      = "_hoodie_file_name"
)

// MetaColumns are the names of the meta columns in their order.
func MetaColumns() []string {
	return []string{CommitTimeColumn, CommitSeqnoColumn, RecordKeyColumn, PartitionPathColumn, FileNameColumn}
}
