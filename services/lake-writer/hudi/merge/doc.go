// Package merge owns how the log files of a file slice become rows: which blocks count, which record of a key wins, and what of
// the base file stays. It serves snapshot reads, incremental reads and compaction.
//
// It follows Hudi's key based file group record buffer (KeyBasedFileGroupRecordBuffer, BufferedRecordMergerFactory) for the event
// time and commit time merge modes. What it does not merge it refuses with an *UnsupportedError: partial updates, log
// compaction, change data capture and HFile blocks. Which log files make up a slice is package fileslice's, their bytes are
// package logfile's, and which instants count is the caller's decision.
//
// # Rules
//
// Blocks are taken oldest to newest. Rollback commands are looked for first: they take away the blocks of their target wherever
// those are, and they count whatever Config.Accept says of their own instant, since their target was never committed.
//
// By event time a record wins over an earlier one when its ordering value is not smaller. Null is smaller than everything (Hudi
// 0.15 fails on it, 1.2 accepts it). A delete with the ordering value int 0 is one by commit time: it wins over everything before
// it, and everything behind it wins over it. Any other delete loses to an earlier record of a greater ordering value of the same
// Java class; values of two classes are not compared, the later record wins. Columns of timestamps are of the class Long.
//
// # Memory
//
// A winner is a place in a block, and blocks stay as they are: in memory up to Config.MemoryBytes, behind that in a temporary file,
// until all of their records lost to later ones. What won is read block after block, so that the file is read once, from its
// beginning to its end, and rows come in the order of the records that won. The index (about a hundred bytes and the key, for each
// key) counts but always stays in memory, on top of the bound where it alone reaches it, as does the one block that is being read.
// Rows of the base file are streamed.
//
// Of a Parquet block, keys, ordering values and deletions are read first and the columns of its winners in the end, column by column.
// Where a block's columns do not become the table's as they are, its rows are turned into Avro records, which do.
package merge
