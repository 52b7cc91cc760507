// Package interop lets engines that others wrote judge the tables: Spark with released Hudi bundles, and hudi-rs. They read what a run with
// real Kafka, a real registry and a real S3 server committed, where every column of every row must equal what the generator sent; that
// uses the wire and the table only. And they read a matrix of tables that the table library wrote by itself, at several stages of a
// table's life, where every row must equal a model in memory.
package interop
