package hudi

import (
	"context"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// LostFileError names a data file that a commit of the active timeline brought, that is its group's newest, and that is not there: deleted
// behind the table's back. A commit that went on from the older file would lose its rows for good.
type LostFileError struct {
	Key     string
	Instant timeline.Instant // of the commit that named it
}

func (e *LostFileError) Error() string {
	return fmt.Sprintf("data file %s of commit %s is missing", e.Key, e.Instant)
}

// committedFiles is what the commits of the active timeline say about each file group's newest slice. A listing alone does not tell
// a group that was never written from one whose file vanished. It keeps up with the timeline at the cost of one read per new commit.
type committedFiles struct {
	read   []timeline.Entry // commits that are accounted for, ascending
	groups map[fileGroup]committedGroup
}

type fileGroup struct{ partition, fileID string }

type committedGroup struct {
	instant timeline.Instant // of the last commit that wrote to the group
	base    string           // key of the newest base file, "" when no active commit wrote one
	logs    []string         // keys of the log files on top of it
}

// follow brings the state up to a timeline.
func (c *committedFiles) follow(ctx context.Context, t *Table, tl *timeline.Timeline) error {
	commits := tl.Commits()
	known := c.forget(commits)
	if c.groups == nil {
		c.groups = make(map[fileGroup]committedGroup)
	}
	for _, e := range commits[known:] {
		metadata, err := t.Commit(ctx, e)
		if err != nil {
			return err
		}
		c.add(e.Instant, metadata)
		c.read = append(c.read, e)
	}
	return nil
}

// forget drops what the timeline no longer shows, and returns how many of its commits are accounted for. Commits leave the front when they
// are archived, and their groups with them. Where one is gone or new in the middle, rolled back or finished late, everything is read anew.
func (c *committedFiles) forget(commits []timeline.Entry) int {
	archived := 0
	for archived < len(c.read) && (len(commits) == 0 || c.read[archived].Instant < commits[0].Instant) {
		archived++
	}
	rest := c.read[archived:]
	same := len(rest) <= len(commits)
	for i := 0; same && i < len(rest); i++ {
		same = rest[i] == commits[i]
	}
	if !same {
		c.read, c.groups = nil, nil
		return 0
	}
	if archived > 0 {
		last := c.read[archived-1].Instant
		for g, s := range c.groups {
			if s.instant <= last {
				delete(c.groups, g)
			}
		}
		c.read = append([]timeline.Entry(nil), rest...)
	}
	return len(rest)
}

func (c *committedFiles) add(instant timeline.Instant, commit *meta.Commit) {
	for partition, ids := range commit.PartitionToReplaceFileIDs {
		for _, id := range ids {
			delete(c.groups, fileGroup{partition, id})
		}
	}
	for partition, stats := range commit.PartitionToWriteStats {
		for _, s := range stats {
			if s.Path == nil {
				continue
			}
			id := fileGroup{partition, s.FileID}
			g := c.groups[id]
			g.instant = instant
			if _, err := fileslice.ParseLogKey(*s.Path); err == nil {
				g.logs = append(g.logs, *s.Path)
			} else {
				g.base, g.logs = *s.Path, nil
			}
			c.groups[id] = g
		}
	}
}

// trust adds log files that a look into them showed to be committed, though no active commit names them.
func (c *committedFiles) trust(id fileGroup, key string) {
	g, ok := c.groups[id]
	if !ok && len(c.read) > 0 {
		g.instant = c.read[0].Instant // forgotten with the oldest commit, and looked at again
	}
	g.logs = append(g.logs, key)
	c.groups[id] = g
}

// names reports whether an active commit brought a log file, or a look into it showed that it counts.
func (c *committedFiles) names(id fileGroup, key string) bool {
	return slices.Contains(c.groups[id].logs, key)
}

// check compares a group's slice, as the listing shows it, with what was committed. present is the whole listing of the partition.
func (c *committedFiles) check(id fileGroup, present map[string]bool) error {
	g, ok := c.groups[id]
	if !ok {
		return nil
	}
	for _, key := range append([]string{g.base}, g.logs...) {
		if key != "" && !present[key] {
			return &LostFileError{Key: key, Instant: g.instant}
		}
	}
	return nil
}
