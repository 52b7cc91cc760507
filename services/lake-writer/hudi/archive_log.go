package hudi

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

const (
	archiveName  = ".commits_.archive."
	archiveToken = "_1-0-1"
	// archiveBlock is how many entries Hudi puts into a block (hoodie.commits.archival.batch).
	archiveBlock = 10
	// archiveContent is the version of a block's content (HoodieAvroDataBlock).
	archiveContent = 3
)

// archiveFolder is where the archive lies, with a slash at its end. The name is a property: Hudi 0.15 makes tables with "archived", 1.2 with
// "history".
func (t *Table) archiveFolder() string {
	return timeline.Folder + cmp.Or(t.props[meta.ArchiveFolder], "archived") + "/"
}

// archiveFile is one file of the archived timeline. They are read in the order of their numbers.
type archiveFile struct {
	info   storage.Info
	number int
}

// archiveFiles lists the archive, ascending.
func (t *Table) archiveFiles(ctx context.Context) ([]archiveFile, error) {
	var files []archiveFile
	prefix := t.archiveFolder() + archiveName
	for info, err := range t.store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list archive: %w", err)
		}
		text, _, found := strings.Cut(strings.TrimPrefix(info.Key, prefix), "_")
		if n, err := strconv.Atoi(text); found && err == nil {
			files = append(files, archiveFile{info, n})
		}
	}
	slices.SortFunc(files, func(a, b archiveFile) int {
		return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.info.Key, b.info.Key))
	})
	return files, nil
}

// readArchive yields the entries of one archive file.
func (t *Table) readArchive(ctx context.Context, f archiveFile) iter.Seq2[*meta.ArchivedEntry, error] {
	return func(yield func(*meta.ArchivedEntry, error) bool) {
		fail := func(err error) { yield(nil, fmt.Errorf("read archive %s: %w", f.info.Key, err)) }
		file := storage.NewPieceReader(ctx, t.store, f.info.Key, f.info.Size)
		var dec *meta.ArchiveDecoder
		var schema string
		for block, err := range logfile.Scan(file, f.info.Size, logfile.ScanOptions{}) {
			if err != nil {
				fail(err)
				return
			}
			if text := block.Header[logfile.Schema]; dec == nil || text != schema {
				if dec, err = meta.NewArchiveDecoder(text); err != nil {
					fail(err)
					return
				}
				schema = text
			}
			for datum, err := range logfile.Records(block) {
				var e *meta.ArchivedEntry
				if err == nil {
					e, err = dec.Decode(datum)
				}
				if err != nil {
					fail(err)
					return
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// Archived yields the archived timeline, each state of each instant once, in the order in which they were archived. Of version 9 the states
// are the completed one and, where it held something, the requested one, in the order of time. After an error it yields nothing more. It
// remembers what it has yielded.
func (t *Table) Archived(ctx context.Context) iter.Seq2[*meta.ArchivedEntry, error] {
	if t.layout() == timeline.Layout2 {
		return t.archivedHistory(ctx)
	}
	return func(yield func(*meta.ArchivedEntry, error) bool) {
		files, err := t.archiveFiles(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		seen := make(map[timeline.Entry]bool)
		for _, f := range files {
			for e, err := range t.readArchive(ctx, f) {
				if err == nil && seen[e.Entry] {
					continue
				}
				if !yield(e, err) || err != nil {
					return
				}
				seen[e.Entry] = true
			}
		}
	}
}

// archivedSince are the completed instants in the archive from one on. Archives are written in the order of time, so it reads backwards up
// to the first file that has none.
func (t *Table) archivedSince(ctx context.Context, first timeline.Instant) (map[timeline.Entry]bool, error) {
	if t.layout() == timeline.Layout2 {
		return t.historySince(ctx, first)
	}
	files, err := t.archiveFiles(ctx)
	if err != nil {
		return nil, err
	}
	since := make(map[timeline.Entry]bool)
	for _, f := range slices.Backward(files) {
		found := false
		for e, err := range t.readArchive(ctx, f) {
			if err != nil {
				return nil, err
			}
			if e.Instant >= first {
				found = true
				since[e.Entry] = true
			}
		}
		if !found {
			break
		}
	}
	return since, nil
}

// putStates writes all states of instants into the archive of layout 1, and returns the key of their file.
func (w *Writer) putStates(ctx context.Context, fresh []instantFiles) (string, error) {
	var entries []*meta.ArchivedEntry
	for _, i := range fresh {
		for _, f := range i.files {
			data, info, err := w.table.store.Get(ctx, f.info.Key)
			if err != nil {
				return "", fmt.Errorf("read %s: %w", f.entry.FileName(), err)
			}
			e, err := meta.NewArchivedEntry(f.entry, data, timeline.At(info.ModTime))
			if err != nil {
				return "", err
			}
			entries = append(entries, e)
		}
	}
	return w.table.putArchive(ctx, entries)
}

// putArchive writes entries as the next file of the archive, and makes sure that it is whole. It returns its key.
func (t *Table) putArchive(ctx context.Context, entries []*meta.ArchivedEntry) (string, error) {
	data, err := encodeArchive(entries)
	if err != nil {
		return "", err
	}
	for range instantAttempts {
		files, err := t.archiveFiles(ctx)
		if err != nil {
			return "", err
		}
		next := 1
		if len(files) > 0 {
			next = files[len(files)-1].number + 1
		}
		key := t.archiveFolder() + archiveName + strconv.Itoa(next) + archiveToken
		_, err = t.store.Put(ctx, key, data, storage.Condition{IfAbsent: true})
		if storage.Classify(err) == storage.Precondition {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("write archive %s: %w", key, err)
		}
		info, err := t.store.Stat(ctx, key)
		if err != nil {
			return "", fmt.Errorf("verify archive: %w", err)
		}
		if info.Size != int64(len(data)) {
			return "", storage.MarkRetryable(fmt.Errorf("verify archive %s: the store has %d bytes, not %d", key, info.Size, len(data)))
		}
		return key, nil
	}
	return "", errNoInstant
}

// encodeArchive makes an archive file: log blocks of Avro records whose only header is the schema.
func encodeArchive(entries []*meta.ArchivedEntry) ([]byte, error) {
	var file []byte
	for chunk := range slices.Chunk(entries, archiveBlock) {
		content := binary.BigEndian.AppendUint32(nil, archiveContent)
		content = binary.BigEndian.AppendUint32(content, uint32(len(chunk)))
		for _, e := range chunk {
			datum, err := e.Encode()
			if err != nil {
				return nil, err
			}
			content = binary.BigEndian.AppendUint32(content, uint32(len(datum)))
			content = append(content, datum...)
		}
		file = logfile.AppendBlock(file, logfile.Block{
			Type: logfile.AvroData, Header: map[logfile.HeaderKey]string{logfile.Schema: meta.ArchiveSchema}, Content: content,
		})
	}
	return file, nil
}
