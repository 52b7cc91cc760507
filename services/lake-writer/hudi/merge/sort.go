package merge

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// SortConfig says how the rows of base files are brought into one order.
type SortConfig struct {
	TableSchema string   // Avro record without meta columns; older files are read by it
	Columns     []string // root or meta columns, the first one decides first; none: the order of the files
	MemoryBytes int64    // rows held in memory; 0 means 64 MiB. More of them go to a temporary file in sorted runs
	SpillDir    string   // folder of the temporary file; "" is the system's
}

// Sorted are rows of base files in the order of their columns, nulls first, texts by their bytes. Rows that are alike in them stay in the
// order in which they came. Close it.
type Sorted struct {
	Rows  int64
	limit int
	dir   string
	arena []byte // records of the run that is being filled
	run   []span
	file  *os.File
	out   *bufio.Writer
	end   int64      // of the file
	runs  [][2]int64 // begin and end in the file
}

// span is a record's place in the arena. It begins with its sort key.
type span struct{ at, keyEnd, end int }

const (
	spanBytes = 24       // of memory
	runBuffer = 64 << 10 // read ahead of each run
)

// Sort reads base files, one after the other, and sorts their rows. A column that cannot order rows, or that the table lacks, is a
// *basefile.SchemaError.
func Sort(ctx context.Context, cfg SortConfig, files iter.Seq2[*basefile.Reader, error]) (_ *Sorted, err error) {
	text, err := basefile.WithMetaFields(cfg.TableSchema)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	table, err := parseSchema(text)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	order, err := sortColumns(table.payload, cfg.Columns)
	if err != nil {
		return nil, err
	}
	// An arena that grows is copied, so that half of the memory is what it may hold.
	s := &Sorted{limit: int(cmp.Or(max(cfg.MemoryBytes, 0), defaultMemoryBytes) / 2), dir: cfg.SpillDir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for file, err := range files {
		if err != nil {
			return nil, err
		}
		if err := s.addFile(ctx, file, cfg.TableSchema, table.payload, order); err != nil {
			return nil, err
		}
	}
	s.sortRun()
	if s.out != nil {
		if err := s.out.Flush(); err != nil {
			return nil, &SpillError{Doing: "write", Err: err}
		}
	}
	return s, nil
}

func (s *Sorted) addFile(ctx context.Context, file *basefile.Reader, schema string, payload *node, order []sortColumn) error {
	var e encoder
	var key sortKey
	n := 0
	for row, err := range file.RowsAs(schema, nil) {
		if err != nil {
			return err
		}
		if n++; n%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if key, err = key[:0].row(row, order); err != nil {
			return err
		}
		e.data = e.data[:0]
		if err := e.fields(row.Values[metaFields:], payload, ""); err != nil {
			return err
		}
		if err := s.add(key, row, e.data); err != nil {
			return err
		}
	}
	return nil
}

// add puts a row into the run: the sort key, then commit time, sequence number and record key, each behind its length, and the payload.
func (s *Sorted) add(key []byte, row basefile.Row, payload []byte) error {
	if len(s.arena) > 0 && len(s.arena)+len(key)+len(payload)+spanBytes*len(s.run) > s.limit {
		if err := s.spill(); err != nil {
			return err
		}
	}
	at := len(s.arena)
	s.arena = append(s.arena, key...)
	keyEnd := len(s.arena)
	for _, v := range row.Values[:keptFields] {
		text, _ := v.(string)
		s.arena = binary.AppendUvarint(s.arena, uint64(len(text)))
		s.arena = append(s.arena, text...)
	}
	s.arena = append(s.arena, payload...)
	s.run = append(s.run, span{at, keyEnd, len(s.arena)})
	s.Rows++
	return nil
}

// keptFields are the meta columns that a row keeps: commit time, sequence number, record key. The others are the file's.
const keptFields = 3

func (s *Sorted) sortRun() {
	slices.SortFunc(s.run, func(a, b span) int {
		return cmp.Or(bytes.Compare(s.arena[a.at:a.keyEnd], s.arena[b.at:b.keyEnd]), cmp.Compare(a.at, b.at))
	})
}

// spill appends the run, sorted, to the temporary file.
func (s *Sorted) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "playhead-sort-")
		if err != nil {
			return &SpillError{Doing: "write", Err: err}
		}
		s.file, s.out = f, bufio.NewWriterSize(f, 1<<18)
	}
	s.sortRun()
	begin := s.end
	var head []byte
	for _, r := range s.run {
		head = binary.AppendUvarint(head[:0], uint64(r.keyEnd-r.at))
		head = binary.AppendUvarint(head, uint64(r.end-r.keyEnd))
		for _, part := range [][]byte{head, s.arena[r.at:r.end]} {
			if _, err := s.out.Write(part); err != nil {
				return &SpillError{Doing: "write", Err: err}
			}
		}
		s.end += int64(len(head) + r.end - r.at)
	}
	s.runs = append(s.runs, [2]int64{begin, s.end})
	s.arena, s.run = s.arena[:0], s.run[:0]
	return nil
}

// All yields the rows, whose payloads are Avro records of the table's schema and last until the next one. It can be ranged over once.
func (s *Sorted) All(ctx context.Context) iter.Seq2[basefile.KeptRecord, error] {
	return func(yield func(basefile.KeptRecord, error) bool) {
		var runs cursors
		for i, r := range s.runs {
			runs = append(runs, &cursor{n: i, file: bufio.NewReaderSize(io.NewSectionReader(s.file, r[0], r[1]-r[0]), runBuffer)})
		}
		runs = append(runs, &cursor{n: len(s.runs), arena: s.arena, run: s.run})
		for i := len(runs) - 1; i >= 0; i-- {
			if more, err := runs[i].next(); err != nil {
				yield(basefile.KeptRecord{}, err)
				return
			} else if !more {
				runs = slices.Delete(runs, i, i+1)
			}
		}
		heap.Init(&runs)
		for n := 0; len(runs) > 0; n++ {
			if n%checkEvery == 0 && ctx.Err() != nil {
				yield(basefile.KeptRecord{}, ctx.Err())
				return
			}
			rec, err := runs[0].record()
			if !yield(rec, err) || err != nil {
				return
			}
			more, err := runs[0].next()
			if err != nil {
				yield(basefile.KeptRecord{}, err)
				return
			}
			if more {
				heap.Fix(&runs, 0)
			} else {
				heap.Pop(&runs)
			}
		}
	}
}

// Close deletes the temporary file.
func (s *Sorted) Close() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// cursor is at one record of a run, which is in the temporary file or in memory.
type cursor struct {
	n         int // of the run: earlier ones have the rows that came first
	file      *bufio.Reader
	arena     []byte
	run       []span
	buffer    []byte
	key, rest []byte
}

// next goes to the next record, and reports whether there is one.
func (c *cursor) next() (bool, error) {
	if c.file == nil {
		if len(c.run) == 0 {
			return false, nil
		}
		r := c.run[0]
		c.run, c.key, c.rest = c.run[1:], c.arena[r.at:r.keyEnd], c.arena[r.keyEnd:r.end]
		return true, nil
	}
	keySize, err := binary.ReadUvarint(c.file)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	var size uint64
	if err == nil {
		size, err = binary.ReadUvarint(c.file)
	}
	if err == nil {
		c.buffer = slices.Grow(c.buffer[:0], int(keySize+size))[:keySize+size]
		_, err = io.ReadFull(c.file, c.buffer)
	}
	if err != nil {
		return false, &SpillError{Doing: "read", Err: err}
	}
	c.key, c.rest = c.buffer[:keySize], c.buffer[keySize:]
	return true, nil
}

// record is the row that the cursor is at.
func (c *cursor) record() (basefile.KeptRecord, error) {
	var texts [keptFields]string
	rest := c.rest
	for i := range texts {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			return basefile.KeptRecord{}, &SpillError{Doing: "read", Err: io.ErrUnexpectedEOF}
		}
		texts[i], rest = string(rest[n:n+int(size)]), rest[n+int(size):]
	}
	return basefile.KeptRecord{CommitTime: texts[0], SeqNo: texts[1], Key: texts[2], Payload: rest}, nil
}

// cursors is a heap, the least record first.
type cursors []*cursor

func (c cursors) Len() int { return len(c) }
func (c cursors) Less(i, j int) bool {
	return cmp.Or(bytes.Compare(c[i].key, c[j].key), cmp.Compare(c[i].n, c[j].n)) < 0
}
func (c cursors) Swap(i, j int) { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)   { *c = append(*c, x.(*cursor)) }
func (c *cursors) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// sortColumn is a column that rows are sorted by.
type sortColumn struct {
	name string
	at   int   // in a row
	node *node // nil for a meta column, which is a text
}

// CheckSortColumns refuses columns that Sort cannot sort a table by.
func CheckSortColumns(tableSchema string, columns []string) error {
	text, err := basefile.WithMetaFields(tableSchema)
	if err != nil {
		return fmt.Errorf("table schema: %w", err)
	}
	table, err := parseSchema(text)
	if err != nil {
		return fmt.Errorf("table schema: %w", err)
	}
	_, err = sortColumns(table.payload, columns)
	return err
}

func sortColumns(payload *node, names []string) ([]sortColumn, error) {
	var columns []sortColumn
	for _, name := range names {
		if i := slices.Index(basefile.MetaColumns(), name); i >= 0 {
			columns = append(columns, sortColumn{name: name, at: i})
			continue
		}
		i := payload.index(name)
		if i < 0 {
			return nil, &basefile.SchemaError{Path: name, Reason: "the column to sort by is not in the table schema"}
		}
		n := payload.fields[i].node
		switch n.kind {
		case avro.Boolean, avro.Int, avro.Long, avro.Float, avro.Double, avro.String, avro.Enum, avro.Bytes, avro.Fixed:
			columns = append(columns, sortColumn{name, metaFields + i, n})
		default:
			return nil, &basefile.SchemaError{Path: name, Reason: fmt.Sprintf("a %s does not order rows", n)}
		}
	}
	return columns, nil
}
