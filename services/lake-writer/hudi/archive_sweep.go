package hudi

import (
	"context"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// orphanSweep deletes data files of attempts that are on the timeline in no state and never committed: what a paused writer put after its
// attempt was rolled back. Readers pass over them by their instant, which is not committed, until the timeline begins after it.
type orphanSweep struct {
	w      *Writer
	tl     *timeline.Timeline
	limit  *limit // lowered to what has to stay on the timeline because of what cannot be deleted
	result *ArchiveResult
	named  map[string]bool // the log files that active commits name; nil until it is needed
}

// isOrphan judges an uncommitted instant by a timeline that is listed after the files were: every engine puts an instant there before it
// writes a file. One that is there keeps what follows on the timeline.
func (s *orphanSweep) isOrphan(now *timeline.Timeline, i timeline.Instant) bool {
	for _, e := range now.Entries() {
		if e.Instant == i {
			s.limit.lower(i, "data files of "+e.FileName())
			return false
		}
	}
	return true
}

func (s *orphanSweep) delete(ctx context.Context, key string) error {
	if err := s.w.deleteAll(ctx, []string{key}); err != nil {
		return err
	}
	s.result.Swept = append(s.result.Swept, key)
	return nil
}

// bases sweeps the base files among a folder's objects.
func (s *orphanSweep) bases(ctx context.Context, objects []fileslice.Object) error {
	dangling := fileslice.Latest(objects, s.tl, nil).Dangling
	if len(dangling) == 0 {
		return nil
	}
	now, err := s.w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	for _, f := range dangling {
		if now.Committed(f.Instant) || !s.isOrphan(now, f.Instant) {
			continue
		}
		if err := s.delete(ctx, f.Key()); err != nil {
			return err
		}
	}
	return nil
}

// logs sweeps the log files among a folder's objects. Their names do not say who wrote them, so the headers of those are read that no
// active commit names. A block that a later command rolls back stays without effect, however old its instant becomes.
func (s *orphanSweep) logs(ctx context.Context, objects []fileslice.Object) error {
	var unnamed []logBlocks
	for _, o := range objects {
		f, err := fileslice.ParseLogKey(o.Key)
		if err != nil {
			continue
		}
		f.Size = o.Size
		if err := s.findNamed(ctx); err != nil {
			return err
		}
		if s.named[o.Key] {
			continue
		}
		blocks, err := s.w.table.readLogBlocks(ctx, f)
		if err != nil {
			return err
		}
		unnamed = append(unnamed, blocks)
	}
	if len(unnamed) == 0 {
		return nil
	}
	type undone struct {
		group fileGroup
		at    timeline.Instant
	}
	rolledBack := make(map[undone]bool)
	for _, b := range unnamed {
		for _, i := range b.targets {
			rolledBack[undone{fileGroup{b.file.Partition, b.file.FileID}, i}] = true
		}
	}
	now, err := s.w.table.Timeline(ctx)
	if err != nil {
		return err
	}
	for _, b := range unnamed {
		var orphans []timeline.Instant
		for _, i := range b.instants {
			if !now.Committed(i) && !rolledBack[undone{fileGroup{b.file.Partition, b.file.FileID}, i}] && s.isOrphan(now, i) {
				orphans = append(orphans, i)
			}
		}
		if len(orphans) == 0 {
			continue
		}
		if len(orphans) == len(b.instants) && len(b.targets) == 0 {
			if err := s.delete(ctx, b.file.Key()); err != nil {
				return err
			}
			continue
		}
		for _, i := range orphans { // others are in the same file
			s.limit.lower(i, "log blocks of "+string(i)+" in "+b.file.Key())
		}
	}
	return nil
}

// findNamed reads which log files the active commits name.
func (s *orphanSweep) findNamed(ctx context.Context) error {
	if s.named != nil {
		return nil
	}
	s.named = make(map[string]bool)
	for _, e := range s.tl.Commits() {
		c, err := s.w.table.Commit(ctx, e)
		if err != nil {
			return err
		}
		for _, stats := range c.PartitionToWriteStats {
			for _, stat := range stats {
				if stat.Path != nil {
					s.named[*stat.Path] = true
				}
			}
		}
	}
	return nil
}
