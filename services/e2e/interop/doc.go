// Package interop lets engines that others wrote judge the tables: Spark with released Hudi bundles, and hudi-rs.
//
//   - They read what a run with real Kafka, a real registry and a real S3 server committed, where every column of every row must equal what
//     the generator sent; that uses the wire and the table only.
//   - They read a matrix of tables that the table library wrote by itself, at several stages of a table's life, on local files and from an S3
//     server, where every row must equal a model in memory.
//   - Spark writes tables in turns with the library: tables of ours, and tables that it created.
//   - The library reads tables that they wrote, where every row must equal what they read.
//
// With PLAYHEAD_ENGINE_TABLE the tests write down what works with which engine, in the form of the library's ENGINES.md.
package interop
