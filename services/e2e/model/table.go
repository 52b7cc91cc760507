package model

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Snapshot is what a snapshot query of a Hudi table of version 6 reads, of either type, found from its folder alone.
type Snapshot struct {
	Base     string
	Instants []string // completed commits of the active timeline, oldest first
	// Compacting are the compactions that were requested and are not complete.
	Compacting []string
	Slices     []FileSlice // newest of each file group, in the order of partitions and file ids
	// Next holds the next offset to read of each Kafka topic and partition: the furthest of the commits' Hudi Streamer checkpoints.
	Next map[string]map[int32]int64

	timeline *timeline
	logs     map[string]map[string]string     // by file group: its log files that commits name, and which commit
	taken    map[string]map[int32]offsetRange // by instant and Kafka partition; of one topic, which feeds one table
	buckets  int                              // 0: unknown
}

// FileSlice is what readers merge of one file group: a base file and log files.
type FileSlice struct {
	Partition string // folder below the table, "event_date=2026-11-22/event_hour=08"
	FileID    string
	Instant   string   // of the base file, or the base instant in the logs' names
	Path      string   // of the base file, below the table; empty when there is none yet
	Logs      []string // below the table, in the order in which they were written
}

// group names the slice's file group.
func (f *FileSlice) group() string { return f.Partition + "/" + f.FileID }

// ReadSnapshot reads the table in folder base. A folder without a table gives a Snapshot without files and fs.ErrNotExist. The table may
// change meanwhile: a reading that a clean or an archive came between is made again.
func ReadSnapshot(base string) (*Snapshot, error) {
	for attempt := 1; ; attempt++ {
		snapshot, err := readSnapshot(base)
		if err == nil || attempt == maxAttempts || snapshot.timeline == nil || !snapshot.Changed() {
			return snapshot, err
		}
	}
}

// maxAttempts bounds how often something is read anew because the table changed meanwhile.
const maxAttempts = 10

// Changed says whether the timeline is another one than when s was read.
func (s *Snapshot) Changed() bool {
	now, err := readTimeline(s.Base)
	return err != nil || !slices.Equal(now.names, s.timeline.names)
}

func readSnapshot(base string) (*Snapshot, error) {
	s := &Snapshot{Base: base, Next: make(map[string]map[int32]int64)}
	if err := s.readProperties(); err != nil {
		return s, err
	}
	var err error
	if s.timeline, err = readTimeline(base); err != nil {
		return s, err
	}
	for _, name := range s.timeline.files {
		instant, _, _ := strings.Cut(name, ".")
		s.Instants = append(s.Instants, instant)
	}
	for instant := range s.timeline.compacts {
		s.Compacting = append(s.Compacting, instant)
	}
	slices.Sort(s.Compacting)
	written, err := s.readCommits()
	if err != nil {
		return s, torn(err)
	}
	files, err := s.listFiles()
	if err != nil {
		return s, torn(err)
	}
	for group, g := range files {
		if slice, ok := g.newest(s.timeline); ok && !written.replaced[group] {
			s.Slices = append(s.Slices, slice)
		}
	}
	slices.SortFunc(s.Slices, func(a, b FileSlice) int { return strings.Compare(a.group(), b.group()) })
	s.logs = maps.Clone(written.logs)
	s.taken, err = written.chain()
	return s, errors.Join(err, s.compare(written))
}

// torn keeps a file that vanished from being taken for a table that is not there.
func torn(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &DamageError{Problem: err.Error()}
	}
	return err
}

// readProperties refuses tables of other versions and takes the number of buckets from where the lake-writer keeps it.
func (s *Snapshot) readProperties() error {
	text, err := os.ReadFile(filepath.Join(s.Base, ".hoodie", "hoodie.properties"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read table properties: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if version, ok := strings.CutPrefix(lines.Text(), "hoodie.table.version="); ok && version != "6" {
			return fmt.Errorf("read table properties: table version %s, which this reader does not know", version)
		}
	}
	var note struct {
		Buckets int `json:"buckets"`
	}
	text, err = os.ReadFile(filepath.Join(s.Base, ".hoodie", "playhead", "table.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	if err != nil {
		return fmt.Errorf("read number of buckets: %w", err)
	}
	s.buckets = note.Buckets
	return nil
}

// fileGroup is all that lies in a partition under one file id.
type fileGroup struct {
	bases []FileSlice
	logs  []logFile
}

// logFile is a log file by its name.
type logFile struct {
	partition, fileID, instant, token, path string
	version                                 int
}

// listFiles lists the table's base and log files by file group.
func (s *Snapshot) listFiles() (map[string]*fileGroup, error) {
	groups := make(map[string]*fileGroup)
	in := func(group string) *fileGroup {
		if groups[group] == nil {
			groups[group] = new(fileGroup)
		}
		return groups[group]
	}
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
		relative = filepath.ToSlash(relative)
		if base, ok := parseBaseFile(relative); ok {
			in(base.group()).bases = append(in(base.group()).bases, base)
		} else if log, ok := parseLogFile(relative); ok {
			group := in(log.partition + "/" + log.fileID)
			group.logs = append(group.logs, log)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list table %s: %w", s.Base, err)
	}
	return groups, nil
}

// newest finds the slice that a snapshot query reads (Hudi class AbstractTableFileSystemView, getLatestMergedFileSlices): the one of the
// newest instant, together with the one before it while the newest holds only what was appended since a compaction was requested.
func (g *fileGroup) newest(t *timeline) (slice FileSlice, ok bool) {
	for _, base := range g.bases {
		if t.happened(base.Instant) && base.Instant > slice.Instant {
			slice, ok = base, true
		}
	}
	slices.SortFunc(g.logs, func(a, b logFile) int {
		return cmp.Or(strings.Compare(a.instant, b.instant), cmp.Compare(a.version, b.version), strings.Compare(a.token, b.token))
	})
	for _, log := range g.logs {
		if log.instant < slice.Instant {
			continue
		}
		if log.instant > slice.Instant && !t.compacts[log.instant] { // a slice of logs only
			slice, ok = FileSlice{Partition: log.partition, FileID: log.fileID, Instant: log.instant}, true
		}
		slice.Partition, slice.FileID, ok = log.partition, log.fileID, true
		slice.Logs = append(slice.Logs, log.path)
	}
	return slice, ok
}

// parseBaseFile reads `<partition>/<file id>_<write token>_<instant>.parquet` (Hudi class FSUtils).
func parseBaseFile(relative string) (FileSlice, bool) {
	dir, name := path.Split(relative)
	stem, ok := strings.CutSuffix(name, ".parquet")
	parts := strings.Split(stem, "_")
	if !ok || len(parts) != 3 || strings.HasPrefix(name, ".") {
		return FileSlice{}, false
	}
	return FileSlice{Partition: strings.TrimSuffix(dir, "/"), FileID: parts[0], Instant: parts[2], Path: relative}, true
}

// logName is `.<file id>_<base instant>.log.<version>_<write token>` (Hudi class FSUtils).
var logName = regexp.MustCompile(`^\.([^._]+)_(\d+)\.log\.(\d+)_(\d+-\d+-\d+)$`)

func parseLogFile(relative string) (logFile, bool) {
	dir, name := path.Split(relative)
	m := logName.FindStringSubmatch(name)
	if m == nil {
		return logFile{}, false
	}
	version, err := strconv.Atoi(m[3])
	return logFile{
		partition: strings.TrimSuffix(dir, "/"), fileID: m[1], instant: m[2], version: version, token: m[4], path: relative,
	}, err == nil
}

// compare says whether the files that were found are those that the commits of the active timeline name. Files of archived commits are
// named nowhere any more, and a clean may have deleted what newer slices replace.
func (s *Snapshot) compare(written *commits) error {
	for _, slice := range s.Slices {
		group := slice.group()
		named := written.bases[group]
		archived := named == "" && !s.timeline.completed[slice.Instant]
		if slice.Path != named && !archived {
			return &DamageError{Problem: fmt.Sprintf("newest base file of %s is %q, but its newest commit names %q", group, slice.Path, named)}
		}
		for log, instant := range written.logs[group] {
			if name, _ := parseLogFile(log); name.instant >= slice.Instant && !slices.Contains(slice.Logs, log) {
				return &DamageError{Problem: fmt.Sprintf("log file %s of commit %s is not there", log, instant)}
			}
		}
		delete(written.bases, group)
		delete(written.logs, group)
	}
	for group, named := range written.bases {
		if !written.replaced[group] {
			return &DamageError{Problem: fmt.Sprintf("file %s of %s is named by a commit and is not there", named, group)}
		}
	}
	for group := range written.logs {
		if !written.replaced[group] {
			return &DamageError{Problem: fmt.Sprintf("log files of %s are named by a commit and none is there", group)}
		}
	}
	return nil
}

// DamageError is a table whose commits and files do not fit together. The files that are there can still be read.
type DamageError struct{ Problem string }

func (e *DamageError) Error() string { return "damaged table: " + e.Problem }
