// Package hudi writes and reads Apache Hudi tables on any object store, exactly once: a commit carries its rows and the offsets of the
// streams they came from, and one conditional PUT of one object (package txn) decides about both.
//
// It is a library: it knows nothing of message brokers, clouds, loggers or metrics. It writes table versions 6 and 9 and reads
// 8 as well, copy-on-write and merge-on-read, with a bucket index or append-only; everything else is refused by name. Start reading at DESIGN.md.
package hudi
