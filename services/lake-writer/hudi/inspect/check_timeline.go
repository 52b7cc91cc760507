package inspect

import (
	"context"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// clockTolerance is how far clocks may lie apart before an instant counts as one of the future.
const clockTolerance = 10 * time.Minute

// checkTimeline checks the instants by their names alone.
func (v *verifier) checkTimeline(ctx context.Context) error {
	names, err := v.timelineNames(ctx)
	if err != nil {
		return err
	}
	v.names, v.tl = names, timeline.NewLayout(v.layout, names)
	requested := make(map[timeline.Instant]bool)
	for _, name := range names {
		if e, ok := v.layout.ParseFileName(name); ok && e.State == timeline.Requested {
			requested[e.Instant] = true
		}
	}
	actions := make(map[timeline.Instant]timeline.Entry)
	for _, e := range v.tl.Entries() {
		v.checkEntry(e)
		if e.Action == timeline.Savepoint { // it has the instant of its commit, and begins as inflight
			continue
		}
		if !requested[e.Instant] {
			v.warn(CodeTimelineRequest, e.Key(), "no requested file: Hudi fails when it archives the instant")
		}
		if other, taken := actions[e.Instant]; taken {
			v.fault(CodeTimelineShared, e.Key(), "%s is of the same instant", other.FileName())
		}
		actions[e.Instant] = e
	}
	return nil
}

func (v *verifier) checkEntry(e timeline.Entry) {
	if e.State != timeline.Completed {
		v.warn(CodeTimelinePending, e.Key(), "under way, or left behind")
	}
	if e.Completion != "" && e.Completion <= e.Instant {
		v.fault(CodeTimelineCompletion, e.Key(), "completed at %s, before it began", e.Completion)
	}
	newest := max(e.Instant, e.Completion)
	if v.options.Now.IsZero() || !strings.EqualFold(v.props[meta.TimelineTimezone], "UTC") {
		return
	}
	if at, err := newest.Time(); err == nil && at.After(v.options.Now.Add(clockTolerance)) {
		v.warn(CodeTimelineFuture, e.Key(), "it is %s now: Hudi 0.15 stops reading logs at the first block of the future", timeline.At(v.options.Now))
	}
}

// checkOrder checks that the commits of this library follow one another on the timeline as they followed one another in HEAD. A
// predecessor that is not on the timeline was archived or restored away.
func (v *verifier) checkOrder() {
	position := make(map[string]int)
	for i, c := range v.commits {
		if c.ours {
			position[c.note.CommitID] = i
		}
	}
	before := -1 // the last commit of this library
	for i, c := range v.commits {
		if !c.ours {
			continue
		}
		key := c.entry.Key()
		if at, known := position[c.note.PreviousCommitID]; known && at != before {
			v.fault(CodeTimelineOrder, key, "its commit followed that of %s", v.commits[at].entry.Instant)
		}
		if before >= 0 {
			if previous := v.commits[before].entry; previous.Completion != "" && previous.Completion >= c.entry.Instant {
				v.fault(CodeTimelineOrder, key, "began before commit %s completed, at %s", previous.Instant, previous.Completion)
			}
		}
		before = i
	}
}
