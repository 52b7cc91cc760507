package model

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// sliceReader reads one file slice as a snapshot query does and checks every row. It reads the logs three times: for the blocks that
// count, for the newest version of each key, and for the rows. So it keeps a few words per key of the logs of one slice, and one block.
type sliceReader struct {
	r      *rowChecker
	slice  *FileSlice
	paths  []string // of the logs
	blocks liveBlocks
	newest map[string]*version // by record key, of the logs
}

// version is the newest of a key's versions in the logs.
type version struct {
	ordering int64
	number   int // of the record or delete among all in the slice's logs
	deleted  bool
	loses    bool // to the row of the base file
}

// beats says whether v, which came later, wins over old: the later one does of equals (Hudi class BufferedRecordMergerFactory, event time).
func (v *version) beats(old int64) bool {
	return v.deleted && v.ordering == deleteWinsOverride || v.ordering >= old
}

// slice checks one file slice.
func (r *rowChecker) slice(ctx context.Context, slice *FileSlice) error {
	s := &sliceReader{r: r, slice: slice, newest: make(map[string]*version)}
	for _, log := range slice.Logs {
		s.paths = append(s.paths, filepath.Join(r.table.Base, filepath.FromSlash(log)))
	}
	blocks, instants, err := live(s.paths, r.table.timeline)
	if err == nil {
		s.blocks = blocks
		err = errors.Join(r.named(slice, instants), s.readVersions(ctx))
	}
	if err != nil {
		// What the logs say is not known; the base file is judged without them.
		err = fmt.Errorf("read logs of %s: %w", slice.group(), err)
		clear(s.newest)
	}
	if slice.Path != "" {
		err = errors.Join(err, s.readBase(ctx))
	}
	if len(s.newest) > 0 {
		err = errors.Join(err, s.readRows(ctx))
	}
	return err
}

// named says whether each log has a block of the commit that says it wrote the file.
func (r *rowChecker) named(slice *FileSlice, instants []map[string]bool) error {
	for i, log := range slice.Logs {
		if instant, ok := r.table.logs[slice.group()][log]; ok && !instants[i][instant] {
			return fmt.Errorf("%s has no block of commit %s, which wrote it", log, instant)
		}
	}
	return nil
}

// records calls data with each data block that counts and remove with each delete block, in order.
func (s *sliceReader) records(ctx context.Context, data func(at place, b batch) error, remove func([]deletedKey)) error {
	return s.blocks.visit(s.paths, func(log int, block *logBlock) error {
		at := place{slice: s.slice, path: s.slice.Logs[log], instant: block.headers[headerInstant], log: true}
		checked := func(b batch) error {
			if err := knownColumns(b.names()); err != nil {
				return err
			}
			return data(at, b)
		}
		switch block.kind {
		case blockDelete:
			keys, err := readDeleteBlock(block)
			remove(keys)
			return err
		case blockAvro:
			b, err := readAvroBlock(block)
			if err != nil {
				return err
			}
			return checked(b)
		case blockParquet:
			return readParquet(ctx, bytes.NewReader(block.content), checked)
		default:
			return fmt.Errorf("log block of type %d, which this reader does not know", block.kind)
		}
	})
}

// readVersions finds the newest version of each key.
func (s *sliceReader) readVersions(ctx context.Context) error {
	count := 0
	take := func(key string, v *version) {
		v.number = count
		count++
		if old := s.newest[key]; old == nil || old.deleted && old.ordering == deleteWinsOverride || v.beats(old.ordering) {
			s.newest[key] = v
		}
	}
	return s.records(ctx, func(at place, b batch) error {
		for i := range b.rows() {
			ordering, err := number(b, "event_time", i)
			if err != nil {
				return err
			}
			key := text(b, "_hoodie_record_key", i)
			if key == "" {
				return fmt.Errorf("record without a key in a block of %s", at.instant)
			}
			take(key, &version{ordering: ordering})
		}
		return nil
	}, func(keys []deletedKey) {
		for _, k := range keys {
			take(k.key, &version{ordering: k.ordering, deleted: true})
		}
	})
}

// readBase checks the rows of the base file, and marks the versions in the logs that lose to them.
func (s *sliceReader) readBase(ctx context.Context) error {
	path := filepath.Join(s.r.table.Base, filepath.FromSlash(s.slice.Path))
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	at := place{slice: s.slice, path: s.slice.Path, instant: s.slice.Instant}
	err = readParquet(ctx, in, func(b batch) error {
		if err := knownColumns(b.names()); err != nil {
			return err
		}
		for i := range b.rows() {
			wins := true
			if v := s.newest[text(b, "_hoodie_record_key", i)]; v != nil {
				ordering, err := number(b, "event_time", i)
				if err != nil {
					return err
				}
				wins = !v.beats(ordering)
				v.loses = wins
			}
			s.r.row(b, i, at, wins)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", s.slice.Path, err)
	}
	return nil
}

// readRows checks the records of the logs.
func (s *sliceReader) readRows(ctx context.Context) error {
	count := 0
	return s.records(ctx, func(at place, b batch) error {
		for i := range b.rows() {
			v := s.newest[text(b, "_hoodie_record_key", i)]
			s.r.row(b, i, at, v != nil && v.number == count && !v.loses)
			count++
		}
		return nil
	}, func(keys []deletedKey) { count += len(keys) })
}
