package mdt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// StaleError: another writer has worked past the metadata table, which therefore is not right and cannot be made so.
type StaleError struct {
	Instant string // of the table or of the metadata table
	Reason  string
}

// Error implements error.
func (e *StaleError) Error() string {
	return fmt.Sprintf("the metadata table is stale: instant %s %s", e.Instant, e.Reason)
}

// OthersError: the metadata table has partitions besides "files", which would become stale.
type OthersError struct{ Partitions []string }

// Error implements error.
func (e *OthersError) Error() string {
	return "the metadata table has partitions that are not maintained: " + strings.Join(e.Partitions, ", ")
}

// checkFresh compares the timelines when an instant is about to be written.
func (w *writer) checkFresh(writing string) error {
	partitions := append(w.data.properties.List(meta.MetadataPartitions), w.data.properties.List(meta.MetadataPartitionsInflight)...)
	if !slices.Contains(partitions, filesPartition) {
		return ErrAbsent
	}
	if others := slices.DeleteFunc(partitions, func(p string) bool { return p == filesPartition }); len(others) > 0 {
		return &OthersError{others}
	}
	built, known := w.own.written[initialInstant]
	for i, completion := range w.data.changed {
		if _, here := w.own.written[i]; here || i == writing {
			continue
		}
		// What completed before the metadata table was built is in its first base file. When the instant that built it has left the
		// timeline, so have all instants before the first.
		if known && completion < built || !known && i < w.own.first {
			continue
		}
		return &StaleError{i, "of the table is not in it"}
	}
	for i := range w.own.written {
		_, there := w.data.actions[i]
		if there || i == writing || i < w.data.first || w.ownService(i) {
			continue
		}
		return &StaleError{i, "in it is none of the table"}
	}
	return nil
}

// ownService reports whether an instant is one of the metadata table's own: what built it, and its compactions.
func (w *writer) ownService(instant string) bool {
	return strings.HasPrefix(instant, initialInstant[:14]) ||
		slices.ContainsFunc(w.own.actions[instant], func(action string) bool { return action == "compaction" || action == "logcompaction" })
}
