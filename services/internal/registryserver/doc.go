// Package registryserver is a schema registry for Avro: the REST routes of Confluent Schema Registry that srclient and the Java client
// use, with real compatibility checks, kept in an append-only file. It serves the embedded stack and tests; a production deployment
// brings its own registry. It owns status and error codes, ids and compatibility; it knows nothing of what fields mean.
//
// Ids are global: the same schema has the same id in every subject. Two texts are the same schema when they are equal as JSON.
package registryserver
