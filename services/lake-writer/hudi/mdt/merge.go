package mdt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// merger merges the records of slices, oldest first.
type merger struct {
	store     storage.Store
	data, own *instants
	schemas   map[string]*recordSchema    // by their text: all blocks of a release share one
	records   map[string]map[string]int64 // sizes of files by record key and name
	damaged   []string
}

func newMerger(store storage.Store, data, own *instants) merger {
	return merger{store: store, data: data, own: own, schemas: make(map[string]*recordSchema), records: make(map[string]map[string]int64)}
}

func (m *merger) slice(ctx context.Context, s slice) error {
	if s.base != nil {
		if err := m.baseFile(ctx, *s.base); err != nil {
			return err
		}
	}
	var blocks []placedBlock
	for _, f := range s.logs {
		var err error
		if blocks, err = m.logBlocks(ctx, f, blocks); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		if err := m.block(b); err != nil {
			return fmt.Errorf("block at %d of %s: %w", b.Offset, b.key, err)
		}
	}
	return nil
}

func (m *merger) object(ctx context.Context, f dataFile) ([]byte, error) {
	if f.size > maxObjectBytes {
		return nil, fmt.Errorf("read %s: %d bytes are more than %d", f.key, f.size, maxObjectBytes)
	}
	data, _, err := m.store.Get(ctx, f.key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.key, err)
	}
	return data, nil
}

// schemaInfo is where a base file has its records' schema; a log block has it in its header.
const schemaInfo = "schema"

func (m *merger) baseFile(ctx context.Context, f dataFile) error {
	data, err := m.object(ctx, f)
	if err != nil {
		return err
	}
	r, err := hfile.OpenReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("open %s: %w", f.key, err)
	}
	schema, ok := r.Info(schemaInfo)
	if !ok && r.Len() > 0 {
		return fmt.Errorf("open %s: %w", f.key, errNoSchema)
	}
	if err := m.entries(r, string(schema)); err != nil {
		return fmt.Errorf("read %s: %w", f.key, err)
	}
	return nil
}

// placedBlock is a block with the key of its log file.
type placedBlock struct {
	*logfile.Block
	key string
}

// logBlocks appends the blocks of a log file that count. A rollback takes away what its target has written before it, in whatever file.
func (m *merger) logBlocks(ctx context.Context, f dataFile, blocks []placedBlock) ([]placedBlock, error) {
	data, err := m.object(ctx, f)
	if err != nil {
		return nil, err
	}
	for b, err := range logfile.Scan(bytes.NewReader(data), int64(len(data)), logfile.ScanOptions{SkipCorrupt: true}) {
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.key, err)
		}
		instant := b.Header[logfile.InstantTime]
		switch b.Type {
		case logfile.Corrupt:
			m.damaged = append(m.damaged, f.key)
		case logfile.Command:
			if target := b.Header[logfile.TargetInstantTime]; m.own.completed(instant) {
				blocks = slices.DeleteFunc(blocks, func(b placedBlock) bool { return b.Header[logfile.InstantTime] == target })
			}
		default:
			if m.counts(instant) {
				blocks = append(blocks, placedBlock{b, f.key})
			}
		}
	}
	m.damaged = slices.Compact(m.damaged)
	return blocks, nil
}

// counts reports whether readers take a block of the instant. The metadata table is written before the table's own instant completes;
// until then its part must not be seen (HoodieTableMetadataUtil.getValidInstantTimestamps).
func (m *merger) counts(instant string) bool {
	_, completed := m.own.completion(instant)
	_, pending := m.data.pending[instant]
	return completed && !pending
}

var errNoSchema = errors.New("records without a schema")

func (m *merger) block(b placedBlock) error {
	switch b.Type {
	case logfile.Delete:
		deleted, err := logfile.Deletes(b.Block)
		if err != nil {
			return err
		}
		for _, d := range deleted {
			delete(m.records, d.Key)
		}
		return nil
	case logfile.HFileData:
		r, err := hfile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
		if err != nil {
			return err
		}
		schema, ok := b.Header[logfile.Schema]
		if !ok {
			return errNoSchema
		}
		return m.entries(r, schema)
	default:
		return fmt.Errorf("a block of type %d in a metadata table", b.Type)
	}
}

// entries merges the records of an HFile.
func (m *merger) entries(r *hfile.Reader, schemaText string) error {
	schema, ok := m.schemas[schemaText]
	if !ok && r.Len() > 0 {
		var err error
		if schema, err = parseRecordSchema(schemaText); err != nil {
			return err
		}
		m.schemas[schemaText] = schema
	}
	for e, err := range r.Entries() {
		if err != nil {
			return err
		}
		rec, err := schema.decode(e.Value)
		if err != nil {
			return fmt.Errorf("record %q: %w", e.Key, err)
		}
		if rec.kind != typePartitions && rec.kind != typeFiles {
			return fmt.Errorf("record %q: type %d in the partition of files", e.Key, rec.kind)
		}
		key := string(e.Key)
		m.records[key] = combine(m.records[key], rec.files)
	}
	return nil
}

// combine merges a later record's files into an earlier one's (HoodieTableMetadataUtil.combineFileSystemMetadata): a tombstone takes the
// file away, and of two sizes the larger counts, since files only grow and records may come out of order. Tombstones need not be kept,
// since nothing older is merged later.
func combine(older map[string]int64, newer map[string]fileInfo) map[string]int64 {
	if older == nil {
		older = make(map[string]int64, len(newer))
	}
	for name, info := range newer {
		if info.deleted {
			delete(older, name)
		} else {
			older[name] = max(older[name], info.size)
		}
	}
	return older
}
