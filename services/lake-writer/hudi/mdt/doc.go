// Package mdt reads and writes Hudi's metadata table at .hoodie/metadata: the partition "files", which tells engines what files a table
// has so that they need not list it. A stale one hides rows from every engine that trusts it, and says nothing: so Append refuses to go on
// from one, and Compare judges one by what is stored.
//
// It owns that partition's records, files and timeline, and what instants count in it. Files and blocks are packages hfile's and logfile's;
// what a table really holds, and which of its instants are decided, is the caller's to say. Other partitions (column statistics, record
// index) it does not maintain: Narrow takes them away.
//
// # What is written
//
// The metadata table is a merge-on-read table of its own, with one file group, files-0000-0, whose base files are HFiles and whose log
// blocks are HFiles too. Only tables of layout 2 (version 8 and 9) are written. Of each instant T of the table that adds or deletes files,
// a commit, compaction, replacement or clean, Append writes
//
//	.hoodie/metadata/.hoodie/timeline/T.deltacommit.requested     empty
//	.hoodie/metadata/.hoodie/timeline/T.deltacommit.inflight      empty
//	.hoodie/metadata/files/.files-0000-0_T.log.1_0-0-1            a record for each partition: its new files with their sizes, tombstones
//	.hoodie/metadata/.hoodie/timeline/T_C.deltacommit             C is when T completed
//
// in this order. Everything in them follows from T's own commit, so that whoever finds the work half done does it again, with the same
// bytes; every object is put if it is absent.
//
// # Order
//
// Append is called when T is decided (HEAD names it) and before its completed file is on the table's timeline. Readers count a block when
// its instant completed here and is not pending in the table (HoodieTableMetadataUtil.getValidInstantTimestamps). So what is decided is seen
// with T's completed file and not before, what is not decided is never here, and a T that is complete is here. Hudi writes the metadata
// table before it decides; then it needs rollbacks here, and a writer that was paused meanwhile can undo them with one late request.
//
// # Rollback
//
// Attempts of this library that failed were never here. What another engine has written here of an instant that never completed, Revert
// takes away; as in Hudi the completed file goes first, then the log files (version 8 and later have no rollback blocks). It must be called
// before the instant leaves the table's timeline, since from then on its blocks would count.
//
// # Staleness
//
// Append compares both timelines first. Every instant of the table that changed files has to be here, but for those that the table was
// built with or that have left this timeline, and every delta commit here has to be an instant of the table. If not, another writer has
// worked past the metadata table (*StaleError), and the caller drops it: first hoodie.table.metadata.partitions, then the folder (Drop).
// Engines list directories then, and Create builds it again.
package mdt
