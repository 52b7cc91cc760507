// Package inspect owns what people and tests ask about a table from outside: is it whole (Verify), what is on its timeline (Instants,
// ShowInstant), in its log files (ShowLog) and file groups (Slices), and in what two of its states differ (Diff).
//
// It changes nothing, and trusts nothing that it can look up itself: a table of any version can be looked at, a broken one too. Only rows
// that logs change are read through package hudi, whose merging is judged elsewhere.
package inspect
