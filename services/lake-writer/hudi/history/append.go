package history

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// ErrInstants: a batch that cannot be archived.
var ErrInstants = errors.New("cannot archive instants")

const (
	attempts  = 5 // at a change that others are faster with, and at a call whose outcome is unknown
	lastLevel = 9 // Hudi reads one digit (LSMTimeline.ARCHIVE_FILE_PATTERN)
)

// Append archives completed instants, of which there is at least one, as one file of level 0, and returns its key. An instant is in the
// history as soon as Append has returned nil; before that it may be, so that it must still be on the active timeline. Doing it again with
// the same batch adds nothing.
func Append(ctx context.Context, store storage.Store, folder string, batch []Instant) (key string, err error) {
	batch, err = checked(batch)
	if err != nil {
		return "", err
	}
	e := newEncoder()
	for _, in := range batch {
		if err := e.add(in); err != nil {
			return "", err
		}
	}
	data, err := e.bytes()
	if err != nil {
		return "", err
	}
	t := tree{store, folder}
	first, last := batch[0].Instant, batch[len(batch)-1].Instant
	for range attempts {
		s, err := readSnapshot(ctx, store, folder)
		if err != nil {
			return "", err
		}
		if name, err := t.find(ctx, s.manifest, first, last, data); name != "" || err != nil {
			return folder + name, err
		}
		f, err := t.putFile(ctx, first, last, 0, data)
		if err != nil {
			return "", err
		}
		done, err := t.publish(ctx, s, Manifest{Files: append(slices.Clone(s.manifest.Files), f)}, f)
		if err != nil {
			return "", err
		}
		if done {
			return folder + f.Name, nil
		}
	}
	return "", fmt.Errorf("archive %d instants from %s: other writers were faster each time: %w", len(batch), first, storage.ErrPrecondition)
}

// checked is a batch in order, each instant once.
func checked(batch []Instant) ([]Instant, error) {
	if len(batch) == 0 {
		return nil, fmt.Errorf("%w: none", ErrInstants)
	}
	for _, in := range batch {
		if !isTime(string(in.Instant)) || in.Completion != "" && !isTime(string(in.Completion)) || in.Action == "" {
			return nil, fmt.Errorf("%w: instant %.20q, completed at %.20q, action %.20q", ErrInstants, in.Instant, in.Completion, in.Action)
		}
	}
	batch = slices.Clone(batch)
	slices.SortStableFunc(batch, func(a, b Instant) int {
		return cmp.Or(cmp.Compare(a.Instant, b.Instant), cmp.Compare(a.Action, b.Action))
	})
	return slices.CompactFunc(batch, func(a, b Instant) bool { return a.Instant == b.Instant && a.Action == b.Action }), nil
}

// tree is a history that is being changed.
type tree struct {
	store  storage.Store
	folder string
}

// find is the file of a manifest that holds just these bytes, "" if there is none.
func (t tree) find(ctx context.Context, m Manifest, first, last timeline.Instant, data []byte) (name string, err error) {
	for _, f := range m.Files {
		if f.first != first || f.last != last || f.Size != int64(len(data)) {
			continue
		}
		there, _, err := t.store.Get(ctx, t.folder+f.Name)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", t.folder+f.Name, err)
		}
		if bytes.Equal(there, data) {
			return f.Name, nil
		}
	}
	return "", nil
}

// putFile writes a data file that was not there before, at the level or, where its name is taken, at the next one that is free. What is
// there already is left alone even if it is equal: if no manifest names it, another writer may be about to sweep it.
func (t tree) putFile(ctx context.Context, first, last timeline.Instant, level int, data []byte) (ManifestFile, error) {
	for ; level <= lastLevel; level++ {
		f := ManifestFile{Name: fileName(first, last, level), Size: int64(len(data)), first: first, last: last, level: level}
		_, err := t.store.Put(ctx, t.folder+f.Name, data, storage.Condition{IfAbsent: true})
		switch storage.Classify(err) {
		case storage.Precondition:
			continue
		case storage.Unknown: // perhaps it comes to be there, and then is swept
			if level < lastLevel {
				continue
			}
		}
		if err != nil {
			return ManifestFile{}, fmt.Errorf("write %s: %w", t.folder+f.Name, err)
		}
		return f, nil
	}
	return ManifestFile{}, fmt.Errorf("write %s: all levels are taken: %w", t.folder+fileName(first, last, lastLevel), storage.ErrPrecondition)
}

// publish makes a manifest, that of a snapshot with added in it, the next version. It is false when another writer was faster: then a later
// version counts, in which added is not.
func (t tree) publish(ctx context.Context, s snapshot, m Manifest, added ManifestFile) (done bool, err error) {
	slices.SortFunc(m.Files, compareFiles)
	number := s.version + 1
	done, err = t.putManifest(ctx, number, m.encode())
	if err != nil {
		return false, err
	}
	version, err := t.moveVersion(ctx, number)
	if err != nil || !done || version == number {
		return done, err
	}
	// Others went on, from this version or, if its number was free only because it is old and swept, from another one.
	now, err := readManifest(ctx, t.store, t.folder, version)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(now.Files, func(f ManifestFile) bool { return f.Name == added.Name }), nil
}

// putManifest writes a manifest; done is false when there is another one of its number.
func (t tree) putManifest(ctx context.Context, number int, data []byte) (done bool, err error) {
	key := manifestKey(t.folder, number)
	for range attempts { // the same bytes may be put again, whatever became of the call before
		if _, err = t.store.Put(ctx, key, data, storage.Condition{IfAbsent: true}); err == nil {
			return true, nil
		}
		switch storage.Classify(err) {
		case storage.Unknown:
			continue
		case storage.Precondition:
			there, _, err := t.store.Get(ctx, key)
			if err != nil {
				return false, fmt.Errorf("read %s: %w", key, err)
			}
			return bytes.Equal(there, data), nil
		default:
			return false, fmt.Errorf("write %s: %w", key, err)
		}
	}
	return false, fmt.Errorf("write %s: %w", key, err)
}

// moveVersion makes a version count, unless a later one does, and returns the one that counts.
func (t tree) moveVersion(ctx context.Context, number int) (int, error) {
	key := t.folder + versionName
	var last error
	for range attempts {
		version, tag, err := currentVersion(ctx, t.store, t.folder)
		if err != nil {
			return 0, err
		}
		if tag != "" && version >= number {
			return version, nil
		}
		number = max(version, number) // without the file the newest manifest counts, and stays what counts
		if _, last = t.store.Put(ctx, key, []byte(strconv.Itoa(number)), storage.Condition{IfMatch: tag, IfAbsent: tag == ""}); last == nil {
			return number, nil
		}
		switch storage.Classify(last) {
		case storage.Unknown, storage.Precondition: // read what became of it
		default:
			return 0, fmt.Errorf("write %s: %w", key, last)
		}
	}
	return 0, fmt.Errorf("write %s: %w", key, last)
}
