package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// timeline is what the active timeline of a table of version 6 says.
type timeline struct {
	names     []string        // all of its files, sorted: what tells two readings apart
	completed map[string]bool // instants of commit, deltacommit and replacecommit
	pending   map[string]bool // instants of these and of compactions that are requested or inflight
	compacts  map[string]bool // of pending, the compactions
	files     []string        // of the completed commits, oldest instant first
	first     string          // oldest completed instant; what is older was archived, and so happened
}

// readTimeline lists the timeline of the table in folder base.
func readTimeline(base string) (*timeline, error) {
	entries, err := os.ReadDir(filepath.Join(base, ".hoodie"))
	if err != nil {
		return nil, fmt.Errorf("read timeline: %w", err)
	}
	t := &timeline{completed: map[string]bool{}, pending: map[string]bool{}, compacts: map[string]bool{}}
	for _, entry := range entries {
		instant, action, _ := strings.Cut(entry.Name(), ".")
		if _, err := strconv.ParseUint(instant, 10, 64); err != nil {
			continue // not an instant
		}
		t.names = append(t.names, entry.Name())
		switch action, state, _ := strings.Cut(action, "."); action {
		case "commit", "deltacommit", "replacecommit", "compaction", "inflight": // "T.inflight" is a commit's
			if state == "" && action != "inflight" {
				t.completed[instant] = true
				t.files = append(t.files, entry.Name())
				continue
			}
			t.pending[instant] = true
			t.compacts[instant] = t.compacts[instant] || action == "compaction"
		case "clean", "rollback", "savepoint", "restore": // say nothing about which rows there are
		default:
			return nil, fmt.Errorf("read timeline: %s is of an action that this reader does not know", entry.Name())
		}
	}
	for instant := range t.completed { // its earlier states stay beside it
		delete(t.pending, instant)
		delete(t.compacts, instant)
		if t.first == "" || instant < t.first {
			t.first = instant
		}
	}
	slices.Sort(t.files)
	return t, nil
}

// happened says whether what an instant wrote counts (Hudi class HoodieTimeline, containsOrBeforeTimelineStarts).
func (t *timeline) happened(instant string) bool {
	return t.completed[instant] || instant < t.first && !t.pending[instant]
}

// commitFile is what is needed of a completed commit's JSON (Hudi class HoodieCommitMetadata).
type commitFile struct {
	Stats map[string][]struct {
		FileID string `json:"fileId"`
		Path   string `json:"path"`
	} `json:"partitionToWriteStats"`
	Replaced map[string][]string `json:"partitionToReplaceFileIds"`
	Extra    map[string]string   `json:"extraMetadata"`
}

// commitNote is what the lake-writer says of itself in a commit.
type commitNote struct {
	ID       string                     `json:"commit_id"`
	Previous string                     `json:"previous_commit_id"`
	Offsets  map[string]map[int32]int64 `json:"offsets"`
}

// Keys of a commit's extra metadata: Hudi Streamer's "topic,0:123,1:456", and the lake-writer's JSON.
const (
	checkpointKey = "deltastreamer.checkpoint.key"
	noteKey       = "playhead.commit"
)

// readCommits reads the completed commits: what they wrote, what they replaced and how far they are in Kafka.
func (s *Snapshot) readCommits() (*commits, error) {
	c := &commits{bases: map[string]string{}, logs: map[string]map[string]string{}, replaced: map[string]bool{}, notes: map[string]commitNote{}}
	for _, name := range s.timeline.files {
		instant, _, _ := strings.Cut(name, ".")
		text, err := os.ReadFile(filepath.Join(s.Base, ".hoodie", name))
		if err != nil {
			return nil, fmt.Errorf("read commit %s: %w", name, err)
		}
		var commit commitFile
		if err := json.Unmarshal(text, &commit); err != nil {
			return nil, fmt.Errorf("read commit %s: %w", name, err)
		}
		c.add(instant, &commit)
		if err := s.takeCheckpoint(commit.Extra[checkpointKey]); err != nil {
			return nil, fmt.Errorf("read checkpoint of commit %s: %w", name, err)
		}
		if text, ok := commit.Extra[noteKey]; ok {
			var note commitNote
			if err := json.Unmarshal([]byte(text), &note); err != nil {
				return nil, fmt.Errorf("read note of commit %s: %w", name, err)
			}
			c.notes[instant] = note
		}
	}
	return c, nil
}

// takeCheckpoint keeps the furthest offsets: an instant is when a commit began, and a compaction that began early may end late.
func (s *Snapshot) takeCheckpoint(text string) error {
	if text == "" {
		return nil
	}
	topic, next, err := parseCheckpoint(text)
	if err != nil {
		return err
	}
	if s.Next[topic] == nil {
		s.Next[topic] = next
	}
	for partition, offset := range next {
		s.Next[topic][partition] = max(s.Next[topic][partition], offset)
	}
	return nil
}

// parseCheckpoint reads "topic,0:123,1:456".
func parseCheckpoint(text string) (topic string, next map[int32]int64, err error) {
	topic, rest, _ := strings.Cut(text, ",")
	next = make(map[int32]int64)
	for _, item := range strings.Split(rest, ",") {
		if item == "" {
			continue
		}
		partition, offset, _ := strings.Cut(item, ":")
		p, err1 := strconv.ParseInt(partition, 10, 32)
		o, err2 := strconv.ParseInt(offset, 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return "", nil, err
		}
		next[int32(p)] = o
	}
	return topic, next, nil
}

// commits are the completed commits of the active timeline taken together. File groups go by "<partition>/<file id>".
type commits struct {
	bases    map[string]string            // newest base file of each group
	logs     map[string]map[string]string // log files of each group, and the instant that wrote them
	replaced map[string]bool
	notes    map[string]commitNote // by instant
}

func (c *commits) add(instant string, commit *commitFile) {
	for partition, stats := range commit.Stats {
		for _, stat := range stats {
			group := partition + "/" + stat.FileID
			if log, ok := parseLogFile(stat.Path); ok {
				if c.logs[group] == nil {
					c.logs[group] = make(map[string]string)
				}
				c.logs[group][log.path] = instant
				continue
			}
			if old, ok := parseBaseFile(c.bases[group]); !ok || old.Instant <= instant {
				c.bases[group] = stat.Path
			}
		}
	}
	for partition, ids := range commit.Replaced {
		for _, id := range ids {
			c.replaced[partition+"/"+id] = true
		}
	}
}

// offsetRange is what a commit took of one Kafka partition: from from up to, not including, next.
type offsetRange struct{ from, next int64 }

// chain follows the notes from commit to commit. It returns what each commit took, for those whose predecessor is known, and
// a DamageError when offsets are lost or go back, or when two commits follow the same one.
func (c *commits) chain() (map[string]map[int32]offsetRange, error) {
	byID, follower := make(map[string]commitNote), make(map[string]string)
	for _, note := range c.notes {
		byID[note.ID] = note
	}
	taken := make(map[string]map[int32]offsetRange)
	var damage error
	for _, instant := range slices.Sorted(maps.Keys(c.notes)) {
		note := c.notes[instant]
		if other := follower[note.Previous]; other != "" && note.Previous != "" {
			damage = &DamageError{Problem: fmt.Sprintf("commits %s and %s both follow commit %s", other, instant, note.Previous)}
		}
		follower[note.Previous] = instant
		before, known := byID[note.Previous]
		if !known && note.Previous != "" {
			continue // archived, or a commit that wrote no rows
		}
		taken[instant] = make(map[int32]offsetRange)
		for topic, offsets := range before.Offsets {
			for partition, from := range offsets {
				if next, ok := note.Offsets[topic][partition]; !ok || next < from {
					damage = &DamageError{Problem: fmt.Sprintf("commit %s is at offset %d of partition %d of %s, its predecessor was at %d",
						instant, next, partition, topic, from)}
				}
			}
		}
		for topic, offsets := range note.Offsets {
			for partition, next := range offsets {
				taken[instant][partition] = offsetRange{before.Offsets[topic][partition], next}
			}
		}
	}
	return taken, damage
}
