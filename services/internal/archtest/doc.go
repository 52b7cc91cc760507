// Package archtest holds the rules of who may import and do what in this repository, as tables that a test evaluates over the sources of every
// module of the workspace. It has tests only. To change the architecture, change rules_test.go in the same commit and say why there.
package archtest
