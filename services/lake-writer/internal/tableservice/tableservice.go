// Package tableservice keeps a table healthy: it compacts, cleans and archives, when a policy says so and on demand, slowly enough for
// commits to go on. It owns when a service runs, in which pieces and at which pace; what a service does to a table is the Hudi library's,
// and whether this instance may work on the table is decided by the table's HEAD with each piece.
package tableservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Kind is a table service.
type Kind string

// The services, in the order in which they run when several are due: a clean deletes what a compaction made superfluous, and an archive
// goes as far as the clean before it allows.
const (
	Compaction Kind = "compaction"
	Clean      Kind = "clean"
	Archive    Kind = "archive"
)

// Kinds are all services in their order.
func Kinds() []Kind { return []Kind{Compaction, Clean, Archive} }

// Policy says when services run and what they leave.
type Policy struct {
	Compaction CompactionPolicy
	Clean      CleanPolicy
	Archive    ArchivePolicy
	// Share is the part of the time, above 0 and up to 1, that a service works; it rests for the remainder after each piece.
	Share float64
	// BytesPerSecond bounds what compactions read; 0 is no bound.
	BytesPerSecond int64
}

// CompactionPolicy says when logs are folded into base files. The first limit that is reached decides.
type CompactionPolicy struct {
	// Every is the longest time between two compactions.
	Every time.Duration
	// Commits is the number of commits, and LogBytes the size of the data that they wrote, after which one begins early; 0 is no limit.
	Commits  int
	LogBytes int64
	// StepBytes bounds what one piece reads, unless a single file slice is larger. Commits wait for a piece to end.
	StepBytes int64
}

// CleanPolicy says which old file slices stay.
type CleanPolicy struct {
	// Every is the time between two cleans.
	Every time.Duration
	// Hours and Commits are how far back a reader can go; exactly one of them is not 0.
	Hours, Commits int
}

// ArchivePolicy says how long the active timeline is.
type ArchivePolicy struct {
	// Every is the time between two looks.
	Every time.Duration
	// KeepMin commits stay when there are more than KeepMax.
	KeepMin, KeepMax int
}

// Writer is a table's owner, as far as services need it.
type Writer interface {
	PlanCompaction(ctx context.Context, o hudi.CompactOptions) ([]hudi.CompactionGroup, error)
	Compact(ctx context.Context, o hudi.CompactOptions) (*hudi.CommitResult, error)
	Clean(ctx context.Context, o hudi.CleanOptions) (*hudi.CleanResult, error)
	Archive(ctx context.Context, o hudi.ArchiveOptions) (*hudi.ArchiveResult, error)
	// Resolve tells what became of a piece whose outcome is not known.
	Resolve(ctx context.Context) (*hudi.CommitResult, error)
	// Redo shows a piece on the timeline that could not be shown at once.
	Redo(ctx context.Context) error
}

// Target is a table while this instance owns it.
type Target struct {
	Writer Writer
	// Type decides whether there is anything to compact.
	Type hudi.TableType
	// Exclusive runs a piece while nothing else writes to the table. A piece whose outcome is unknown is resolved before it ends, so that
	// whoever comes next never meets the outcome of another's work.
	Exclusive func(ctx context.Context, piece func() error) error
	// Last tells when each service last ended, as the timeline has it.
	Last map[Kind]time.Time
}

// Report is what a run did, or with a dry run would do.
type Report struct {
	Kind   Kind
	DryRun bool
	// Pieces is the number of instants made.
	Pieces int
	// Groups, LogFiles and Bytes are the file groups compacted, and the log files and bytes read for it.
	Groups, LogFiles int
	Bytes            int64
	// Deleted is the number of files that a clean deleted, and DeletedBytes their size.
	Deleted      int
	DeletedBytes int64
	// Archived is the number of instants that left the active timeline; Held says why no more did, empty when nothing was held.
	Archived int
	Held     string
	// Instant is the last instant made, empty when none was.
	Instant timeline.Instant
	Took    time.Duration
}

// Status is what is known of a service.
type Status struct {
	Kind    Kind
	Paused  bool
	Running bool
	// Last is when the last run ended well, Due when the next begins. Both are zero when not known.
	Last, Due time.Time
	// LastError is why the newest run failed, empty when it did not.
	LastError string
}

// ErrIdle is returned by Do when this instance does not own the table.
var ErrIdle = errors.New("this instance does not write the table")

// errPaused ends a run between two pieces.
var errPaused = errors.New("the service was paused")

// LastRuns finds when each service last completed on a timeline. Archives leave no instant.
func LastRuns(tl *timeline.Timeline, table hudi.TableType) map[Kind]time.Time {
	last := make(map[Kind]time.Time)
	for _, e := range tl.Entries() {
		at, err := e.Instant.Time()
		switch {
		case err != nil || e.State != timeline.Completed:
		case e.Action == timeline.Clean:
			last[Clean] = at
		case e.Action == timeline.Commit && table == hudi.MergeOnRead:
			last[Compaction] = at
		}
	}
	return last
}

// ParseKind reads a service's name.
func ParseKind(name string) (Kind, error) {
	for _, k := range Kinds() {
		if string(k) == name {
			return k, nil
		}
	}
	return "", fmt.Errorf("no table service %q", name)
}
