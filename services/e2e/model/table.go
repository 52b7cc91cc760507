package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is what a snapshot query of a copy-on-write Hudi table of version 6 reads, found from its folder alone.
type Snapshot struct {
	Base     string
	Instants []string   // completed commits, oldest first
	Files    []BaseFile // newest of each file group, in the order of their paths
	// Next holds the next offset to read of each Kafka topic and partition, from the newest commit's Hudi Streamer checkpoint.
	Next map[string]map[int32]int64
}

// BaseFile is one Parquet file of a table.
type BaseFile struct {
	Partition string // folder below the table, "event_date=2026-11-22/event_hour=08"
	FileID    string
	Instant   string
	Path      string // below the table
}

// commitFile is what is needed of a completed commit's JSON (Hudi class HoodieCommitMetadata).
type commitFile struct {
	Stats map[string][]struct {
		FileID string `json:"fileId"`
		Path   string `json:"path"`
	} `json:"partitionToWriteStats"`
	Extra map[string]string `json:"extraMetadata"`
}

// checkpointKey is where Hudi Streamer keeps "topic,0:123,1:456" in a commit's extra metadata.
const checkpointKey = "deltastreamer.checkpoint.key"

// ReadSnapshot reads the table in folder base. A folder without a table gives a Snapshot without files and fs.ErrNotExist.
func ReadSnapshot(base string) (*Snapshot, error) {
	snapshot := &Snapshot{Base: base, Next: make(map[string]map[int32]int64)}
	entries, err := os.ReadDir(filepath.Join(base, ".hoodie"))
	if err != nil {
		return snapshot, fmt.Errorf("read timeline: %w", err)
	}
	for _, entry := range entries {
		instant, action, _ := strings.Cut(entry.Name(), ".")
		if _, err := strconv.ParseUint(instant, 10, 64); err != nil {
			continue // not an instant
		}
		switch action {
		case "commit":
			snapshot.Instants = append(snapshot.Instants, instant)
		case "deltacommit", "replacecommit", "compaction.requested":
			return nil, fmt.Errorf("read timeline: instant %s is a %s, which this reader does not know", instant, action)
		}
	}
	slices.Sort(snapshot.Instants)
	written, err := snapshot.readCommits()
	if err != nil {
		return nil, err
	}
	if err := snapshot.findFiles(); err != nil {
		return nil, err
	}
	return snapshot, snapshot.compare(written)
}

// readCommits returns the newest file of each file group by the commits' own word, and takes the newest checkpoint.
func (s *Snapshot) readCommits() (map[string]string, error) {
	written := make(map[string]string)
	for _, instant := range s.Instants {
		text, err := os.ReadFile(filepath.Join(s.Base, ".hoodie", instant+".commit"))
		if err != nil {
			return nil, fmt.Errorf("read commit %s: %w", instant, err)
		}
		var commit commitFile
		if err := json.Unmarshal(text, &commit); err != nil {
			return nil, fmt.Errorf("read commit %s: %w", instant, err)
		}
		for partition, stats := range commit.Stats {
			for _, stat := range stats {
				written[partition+"/"+stat.FileID] = stat.Path
			}
		}
		if checkpoint, ok := commit.Extra[checkpointKey]; ok {
			topic, next, err := parseCheckpoint(checkpoint)
			if err != nil {
				return nil, fmt.Errorf("read checkpoint of commit %s: %w", instant, err)
			}
			s.Next[topic] = next
		}
	}
	return written, nil
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

// findFiles lists the table's Parquet files and keeps, of each file group, the one of the newest completed instant.
func (s *Snapshot) findFiles() error {
	completed := make(map[string]bool, len(s.Instants))
	for _, instant := range s.Instants {
		completed[instant] = true
	}
	newest := make(map[string]BaseFile)
	err := filepath.WalkDir(s.Base, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == ".hoodie" {
				return fs.SkipDir
			}
			return nil
		}
		relative, err := filepath.Rel(s.Base, name)
		if err != nil {
			return err
		}
		file, ok := parseBaseFile(filepath.ToSlash(relative))
		if !ok || !completed[file.Instant] {
			return nil // a partition's metadata, or a file of a commit that did not happen
		}
		group := file.Partition + "/" + file.FileID
		if file.Instant > newest[group].Instant {
			newest[group] = file
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list table %s: %w", s.Base, err)
	}
	for _, file := range newest {
		s.Files = append(s.Files, file)
	}
	slices.SortFunc(s.Files, func(a, b BaseFile) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// parseBaseFile reads `<partition>/<file id>_<write token>_<instant>.parquet` (Hudi class FSUtils).
func parseBaseFile(relative string) (BaseFile, bool) {
	dir, name := path.Split(relative)
	stem, ok := strings.CutSuffix(name, ".parquet")
	parts := strings.Split(stem, "_")
	if !ok || len(parts) != 3 || strings.HasPrefix(name, ".") {
		return BaseFile{}, false
	}
	return BaseFile{Partition: strings.TrimSuffix(dir, "/"), FileID: parts[0], Instant: parts[2], Path: relative}, true
}

// compare says whether the files that were found are those that the commits name.
func (s *Snapshot) compare(written map[string]string) error {
	for _, file := range s.Files {
		group := file.Partition + "/" + file.FileID
		if named := written[group]; named != file.Path {
			return &DamageError{Problem: fmt.Sprintf("newest file of %s is %s, but its newest commit names %q", group, file.Path, named)}
		}
		delete(written, group)
	}
	for group, named := range written {
		return &DamageError{Problem: fmt.Sprintf("file %s of %s is named by a commit and is not there", named, group)}
	}
	return nil
}

// DamageError is a table whose commits and files do not fit together. The files that are there can still be read.
type DamageError struct{ Problem string }

func (e *DamageError) Error() string { return "damaged table: " + e.Problem }
