// Package scenario holds the tests of the whole pipeline. Each scenario starts backends and a stack, sends load through real WebSockets, does
// something to the services meanwhile, waits until everything acked is committed, and lets the ledger judge. Nothing here looks inside a
// service.
package scenario
