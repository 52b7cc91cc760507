// Package mdt reads Hudi's metadata table at .hoodie/metadata: the partition "files", which tells engines what files a table has so that
// they need not list it. It exists to judge such a table (a stale one hides rows from every engine that trusts it), and never writes one.
//
// It owns the merging of that partition's records and what instants count in it. Files and blocks are packages hfile's and logfile's; what
// the table really holds is the caller's to say.
package mdt
