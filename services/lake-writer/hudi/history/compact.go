package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// CompactOptions say how files are merged. The zero value is Hudi's merging with smaller files.
type CompactOptions struct {
	Files    int   // of a level that are merged, at least 2; 0 means 10 (hoodie.timeline.compaction.batch.size)
	MaxBytes int64 // of a merged file, about, which is built in memory; 0 means 64 MiB, where Hudi has 1 GiB
}

const (
	defaultMergeFiles = 10
	defaultMergeBytes = 64 << 20
	keptVersions      = 3 // besides those that one Compact makes, as in Hudi; a reader of an older one must read again
)

// CompactResult says what a compaction did.
type CompactResult struct {
	Merged []string // keys of the files that were made of others
	Swept  []string // keys of what was deleted
}

// Compact merges files of a level, when there are enough, into one of the next, and deletes what no version needs that a reader may be at:
// manifests older than the last three, files that only those name, and files of writers that stopped before they had named them.
//
// An error that wraps storage.ErrPrecondition says that another writer changed the history meanwhile; it is whole.
func Compact(ctx context.Context, store storage.Store, folder string, o CompactOptions) (CompactResult, error) {
	o.Files, o.MaxBytes = max(cmp.Or(o.Files, defaultMergeFiles), 2), cmp.Or(o.MaxBytes, defaultMergeBytes)
	t := tree{store, folder}
	var result CompactResult
	before, err := t.list(ctx)
	if err != nil {
		return result, err
	}
	begin, err := readSnapshot(ctx, store, folder)
	if err != nil || begin.version == 0 {
		return result, err
	}
	if slices.Contains(before.manifests, begin.version+1) { // its writer stopped before it moved the number
		if _, err := t.moveVersion(ctx, begin.version+1); err != nil {
			return result, err
		}
		if begin, err = readSnapshot(ctx, store, folder); err != nil {
			return result, err
		}
	}
	s := begin
	for level := range lastLevel {
		files := mergeable(s.manifest.Files, level, o)
		if len(files) == 0 {
			continue
		}
		var merged ManifestFile
		if s, merged, err = t.merge(ctx, s, files); err != nil {
			return result, err
		}
		result.Merged = append(result.Merged, folder+merged.Name)
	}
	result.Swept, err = t.sweep(ctx, before, begin, s)
	return result, err
}

// mergeable are the oldest files of a level that are worth merging, none when there are not enough. Files that are large already stay at
// their level.
func mergeable(files []ManifestFile, level int, o CompactOptions) []ManifestFile {
	var small []ManifestFile
	for _, f := range files {
		if f.level == level && f.Size <= o.MaxBytes/2 {
			small = append(small, f)
		}
	}
	if len(small) < o.Files {
		return nil
	}
	bytes := int64(0)
	for i, f := range small[:o.Files] {
		if bytes += f.Size; bytes > o.MaxBytes {
			return small[:i] // two at least
		}
	}
	return small[:o.Files]
}

// merge replaces files of one level by one of the next.
func (t tree) merge(ctx context.Context, s snapshot, files []ManifestFile) (snapshot, ManifestFile, error) {
	e := newEncoder()
	for in, err := range readFiles(ctx, t.store, t.folder, files) {
		if err == nil {
			err = e.add(in)
		}
		if err != nil {
			return s, ManifestFile{}, fmt.Errorf("merge history: %w", err)
		}
	}
	data, err := e.bytes()
	if err != nil {
		return s, ManifestFile{}, err
	}
	last := slices.MaxFunc(files, func(a, b ManifestFile) int { return cmp.Compare(a.last, b.last) }).last
	merged, err := t.putFile(ctx, files[0].first, last, files[0].level+1, data)
	if err != nil {
		return s, ManifestFile{}, err
	}
	gone := func(f ManifestFile) bool {
		return slices.ContainsFunc(files, func(g ManifestFile) bool { return g.Name == f.Name })
	}
	m := Manifest{Files: append(slices.DeleteFunc(slices.Clone(s.manifest.Files), gone), merged)}
	done, err := t.publish(ctx, s, m, merged)
	if err == nil && !done {
		err = fmt.Errorf("merge history: version %d is another writer's: %w", s.version+1, storage.ErrPrecondition)
	}
	if err != nil {
		return s, ManifestFile{}, err
	}
	return snapshot{s.version + 1, m}, merged, nil
}

// contents are the objects of a history's folder.
type contents struct {
	manifests []int    // numbers, descending
	files     []string // names of data files
}

func (t tree) list(ctx context.Context) (contents, error) {
	var c contents
	for info, err := range t.store.List(ctx, t.folder) {
		if err != nil {
			return c, fmt.Errorf("list %s: %w", t.folder, err)
		}
		name := strings.TrimPrefix(info.Key, t.folder)
		if n, ok := manifestNumber(name); ok {
			c.manifests = append(c.manifests, n)
		} else if dataName.MatchString(name) {
			c.files = append(c.files, name)
		}
	}
	slices.SortFunc(c.manifests, func(a, b int) int { return cmp.Compare(b, a) })
	return c, nil
}

// sweep deletes what was there before the version of begin and is needed by none of the newest versions up to now's.
//
// A file that no manifest names may be one whose writer is about to name it. That one has read the version of begin or an earlier one,
// since the file was there before that was read here, so it will not get its manifest once there is a later version: if this run has made
// none yet, it makes one with the same files.
func (t tree) sweep(ctx context.Context, before contents, begin, now snapshot) ([]string, error) {
	oldest := before.oldestKept(begin.version)
	named := make(map[string]bool)
	for _, f := range now.manifest.Files {
		named[f.Name] = true
	}
	var swept []string
	for _, number := range before.manifests {
		if number < oldest {
			swept = append(swept, manifestKey(t.folder, number))
			continue
		}
		m, err := readManifest(ctx, t.store, t.folder, number)
		if errors.Is(err, storage.ErrNotExist) { // swept by somebody else
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, f := range m.Files {
			named[f.Name] = true
		}
	}
	for _, f := range begin.manifest.Files {
		named[f.Name] = true
	}
	var files []string
	for _, name := range before.files {
		if !named[name] {
			files = append(files, t.folder+name)
		}
	}
	if len(files) > 0 && now.version == begin.version {
		if done, err := t.putManifest(ctx, now.version+1, now.manifest.encode()); err != nil || !done {
			return nil, err
		}
		if _, err := t.moveVersion(ctx, now.version+1); err != nil {
			return nil, err
		}
	}
	swept = append(swept, files...)
	for i, key := range swept {
		if err := t.store.Delete(ctx, key); err != nil {
			return swept[:i], fmt.Errorf("sweep history: %w", err)
		}
	}
	return swept, nil
}

// oldestKept is the lowest number of a manifest that stays when a version counts, 0 when all do.
func (c contents) oldestKept(version int) int {
	kept := 0
	for _, number := range c.manifests { // descending
		if number > version {
			continue
		}
		if kept++; kept == keptVersions {
			return number
		}
	}
	return 0
}
