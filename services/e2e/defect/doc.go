// Package defect makes a sound pipeline wrong from outside: proxies that stand between two parts and lie, as a wrong implementation of one of
// them would. The services hold no hooks for it. Whoever puts a proxy in place runs load and asserts that the ledger fails.
package defect
