package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// operations are the names that Hudi's readers know (WriteOperationType); another one makes them fail.
var operations = []string{
	"INSERT", "INSERT_PREPPED", "UPSERT", "UPSERT_PREPPED", "BULK_INSERT", "BULK_INSERT_PREPPED", "DELETE", "DELETE_PREPPED", "BOOTSTRAP",
	"INSERT_OVERWRITE", "INSERT_OVERWRITE_TABLE", "DELETE_PARTITION", "CLUSTER", "COMPACT", "LOG_COMPACT", "INDEX", "ALTER_SCHEMA",
	"BUCKET_RESCALE", "UNKNOWN",
}

// loadCommits reads what the active commits say that they wrote.
func (v *verifier) loadCommits(ctx context.Context) error {
	for _, e := range v.tl.Commits() {
		v.report.Instant = e.Instant
		data, _, err := v.store.Get(ctx, e.Key())
		if errors.Is(err, storage.ErrNotExist) { // archived or restored away since the listing, which the last step finds
			continue
		}
		if err != nil {
			return err
		}
		if len(data) == 0 {
			v.warn(CodeCommitEmpty, e.Key(), "a completed file without content: hudi-rs refuses the table")
		}
		c, err := meta.ParseCommit(data)
		if err != nil {
			v.fault(CodeInstantMalformed, e.Key(), "%v", err)
			continue
		}
		v.checkOperation(e, data, c)
		facts := commit{entry: e, schema: c.ExtraMetadata[meta.SchemaKey]}
		facts.note, facts.ours = c.Note()
		v.commits = append(v.commits, facts)
		v.takeStats(e, c, facts)
	}
	v.checkOrder()
	return nil
}

// checkOperation looks at the raw JSON too, where an empty name, which is fatal for Hudi, differs from none.
func (v *verifier) checkOperation(e timeline.Entry, data []byte, c *meta.Commit) {
	var raw struct {
		OperationType *string `json:"operationType"`
	}
	if json.Unmarshal(data, &raw) != nil || raw.OperationType == nil {
		if c.OperationType == "" {
			return
		}
		raw.OperationType = &c.OperationType
	}
	if !slices.Contains(operations, *raw.OperationType) {
		v.fault(CodeCommitOperation, e.Key(), "operationType %q: Hudi's readers fail on it", *raw.OperationType)
	}
}

// takeStats takes over a commit's write stats. Commits come in the order of their instants.
func (v *verifier) takeStats(e timeline.Entry, c *meta.Commit, facts commit) {
	for partition, stats := range c.PartitionToWriteStats {
		for _, s := range stats {
			if s.Path == nil {
				v.fault(CodeCommitPath, e.Key(), "write stat of %s without path", s.FileID)
				continue
			}
			stat := writtenStat{WriteStat: s, entry: e, partition: partition, operation: c.OperationType}
			isLog := v.checkName(stat, facts)
			v.stats[*s.Path] = append(v.stats[*s.Path], stat)
			group := groupOf(partition, s.FileID)
			if isLog {
				v.logs[group] = append(v.logs[group], *s.Path)
				continue
			}
			v.last[group] = *s.Path
			delete(v.logs, group) // they are of the slice before
		}
	}
	for partition, ids := range c.PartitionToReplaceFileIDs {
		v.replaced[partition] = append(v.replaced[partition], ids...)
		for _, id := range ids {
			delete(v.last, groupOf(partition, id))
			delete(v.logs, groupOf(partition, id))
		}
	}
}

// checkName checks that a file's name is the one that its commit would give it, and tells whether it is a log's.
func (v *verifier) checkName(s writtenStat, facts commit) (isLog bool) {
	key := *s.Path
	if l, err := fileslice.ParseLogKey(key); err == nil {
		v.checkLogName(s, facts, l)
		return true
	}
	f, err := fileslice.ParseKey(key)
	if err != nil {
		v.fault(CodeCommitPath, s.entry.Key(), "%s is no data file's name", key)
		return false
	}
	v.checkGroup(s, facts, f.Partition, f.FileID, f.Token)
	if f.Instant != s.entry.Instant {
		v.fault(CodeFileName, key, "is of instant %s, commit %s names it", f.Instant, s.entry.Instant)
	}
	if before := timeline.Instant(s.PrevCommit); before >= s.entry.Instant && before != meta.NoPreviousCommit {
		v.fault(CodeTimelineOrder, s.entry.Key(), "rewrites a file of %s, which is not before it: %s", before, key)
	}
	return false
}

func (v *verifier) checkGroup(s writtenStat, facts commit, partition, fileID string, token fileslice.Token) {
	if partition != s.partition || fileID != s.FileID {
		v.fault(CodeFileName, *s.Path, "commit %s names it for group %s", s.entry.Instant, groupOf(s.partition, s.FileID))
	}
	if facts.ours && token.B != facts.note.Epoch {
		v.fault(CodeFileName, *s.Path, "token %s is not of epoch %d, as commit %s is", token, facts.note.Epoch, s.entry.Instant)
	}
}

func (v *verifier) checkLogName(s writtenStat, facts commit, l fileslice.LogFile) {
	key := *s.Path
	v.checkGroup(s, facts, l.Partition, l.FileID, l.Token)
	switch {
	case v.layout == timeline.Layout2 && l.Instant != s.entry.Instant:
		v.fault(CodeFileName, key, "is of instant %s, commit %s names it", l.Instant, s.entry.Instant)
	case v.layout == timeline.Layout1 && l.Instant > s.entry.Instant: // equal: the first file of a group that begins with a log
		v.fault(CodeFileName, key, "is on a base file of %s, later than commit %s which names it", l.Instant, s.entry.Instant)
	}
	if s.LogStat == nil {
		return
	}
	if s.LogVersion != l.Version {
		v.fault(CodeFileName, key, "log version %d, commit %s says %d", l.Version, s.entry.Instant, s.LogVersion)
	}
	if base, err := fileslice.ParseName(s.BaseFile); err == nil && (base.FileID != l.FileID || base.Instant > l.Instant) {
		v.fault(CodeFileName, key, "commit %s says that it is on %s", s.entry.Instant, s.BaseFile)
	}
}

// loadServices reads the plans and results of the other actions: what they deleted explains why a file is gone.
func (v *verifier) loadServices(ctx context.Context) error {
	for _, e := range v.tl.Entries() {
		for _, part := range serviceParts(e) {
			data, _, err := v.store.Get(ctx, part.entry.Key())
			if errors.Is(err, storage.ErrNotExist) { // the next state's file may be there without it
				continue
			}
			if err != nil {
				return err
			}
			if err := part.read(v, data); err != nil {
				v.fault(CodeInstantMalformed, part.entry.Key(), "%v", err)
			}
		}
		v.restored = v.restored || e.Action == timeline.Restore
	}
	return nil
}

// servicePart is one file of an instant, and what reads it.
type servicePart struct {
	entry timeline.Entry
	read  func(v *verifier, data []byte) error
}

func serviceParts(e timeline.Entry) []servicePart {
	requested, completed := e.In(timeline.Requested), e
	switch {
	case e.Action == timeline.Clean && e.State == timeline.Completed:
		return []servicePart{{requested, readCleanPlan}, {completed, (*verifier).readClean}}
	case e.Action == timeline.Clean:
		return []servicePart{{requested, readCleanPlan}}
	case e.Action == timeline.Rollback && e.State == timeline.Completed:
		return []servicePart{{requested, readRollbackPlan}, {completed, (*verifier).readRollback}}
	case e.Action == timeline.Rollback:
		return []servicePart{{requested, readRollbackPlan}}
	case e.Action == timeline.Savepoint && e.State == timeline.Completed:
		return []servicePart{{completed, func(_ *verifier, data []byte) error { _, err := meta.ParseSavepoint(data); return err }}}
	case e.Action == timeline.Compaction || e.Action == timeline.LogCompaction:
		return []servicePart{{requested, planOf(e)}}
	case e.Action == timeline.Commit && e.State == timeline.Completed: // of a compaction, perhaps
		plan := requested
		plan.Action = timeline.Compaction
		return []servicePart{{plan, planOf(e)}, {e.In(timeline.Inflight), readProfile}}
	case e.Action == timeline.ReplaceCommit && e.State == timeline.Completed && e.Layout == timeline.Layout2: // of a clustering, perhaps
		plan := requested
		plan.Action = timeline.Clustering
		return []servicePart{{plan, readRequestedReplace}, {requested, readRequestedReplace}, {e.In(timeline.Inflight), readProfile}}
	case e.Action == timeline.ReplaceCommit || e.Action == timeline.Clustering:
		return []servicePart{{requested, readRequestedReplace}, {e.In(timeline.Inflight), readProfile}}
	case e.Action == timeline.Commit || e.Action == timeline.DeltaCommit:
		return []servicePart{{e.In(timeline.Inflight), readProfile}}
	case (e.Action == timeline.Restore || e.Action == timeline.Indexing) && e.State == timeline.Completed:
		return []servicePart{{completed, func(_ *verifier, data []byte) error { _, err := meta.DecodeFile(data); return err }}}
	default:
		return nil
	}
}

func readProfile(_ *verifier, data []byte) error {
	_, err := meta.ParseCommit(data)
	return err
}

func readRequestedReplace(_ *verifier, data []byte) error {
	_, err := meta.ParseRequestedReplace(data)
	return err
}

func readCleanPlan(_ *verifier, data []byte) error {
	_, err := meta.ParseCleanPlan(data)
	return err
}

func readRollbackPlan(_ *verifier, data []byte) error {
	_, err := meta.ParseRollbackPlan(data)
	return err
}

func (v *verifier) readClean(data []byte) error {
	m, err := meta.ParseCleanMetadata(data)
	if err != nil {
		return err
	}
	for partition, p := range m.Partitions {
		for _, name := range slices.Concat(p.SuccessDeleteFiles, p.DeletePathPatterns) {
			v.deleted[path.Join(partition, path.Base(name))] = true
		}
	}
	return nil
}

func (v *verifier) readRollback(data []byte) error {
	m, err := meta.ParseRollbackMetadata(data)
	if err != nil {
		return err
	}
	for partition, p := range m.Partitions {
		for _, name := range p.SuccessDeleteFiles {
			v.deleted[path.Join(partition, path.Base(name))] = true
		}
	}
	return nil
}

// checkNamed checks every file that an active commit names: that it is there, or why not, and its size.
func (v *verifier) checkNamed(context.Context) error {
	for key, stats := range v.stats {
		newest := stats[len(stats)-1]
		for _, s := range stats {
			// A commit that appended to an older commit's log found it shorter.
			if s.FileSizeInBytes != newest.FileSizeInBytes && (newest.LogStat == nil || newest.LogOffset == 0) {
				v.fault(CodeFileNamedTwice, key, "%d bytes by commit %s, %d by %s", s.FileSizeInBytes, s.entry.Instant, newest.FileSizeInBytes, newest.entry.Instant)
			}
		}
		size, there := v.sizes[key]
		switch {
		case there && size != newest.FileSizeInBytes:
			v.fault(CodeFileSize, key, "%d bytes, commit %s says %d", size, newest.entry.Instant, newest.FileSizeInBytes)
		case !there && !v.needed(newest) && !v.deleted[key] && !v.restored && !strings.Contains(key, ".cdc"):
			v.warn(CodeFileGone, key, "commit %s named it; it was superseded since, and no clean says that it deleted it", newest.entry.Instant)
		}
	}
	return nil
}

// needed reports whether readers of the snapshot need the file, so that its absence is an error.
func (v *verifier) needed(s writtenStat) bool {
	group := groupOf(s.partition, s.FileID)
	return v.last[group] == *s.Path || slices.Contains(v.logs[group], *s.Path)
}
