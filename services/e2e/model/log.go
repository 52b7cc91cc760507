package model

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/hamba/avro/v2"
)

// Block types of Hudi class HoodieLogBlock, by their numbers in files.
const (
	blockCommand = 0
	blockDelete  = 1
	blockAvro    = 3
	blockParquet = 5
)

// Header keys of Hudi class HoodieLogBlock.
const (
	headerInstant      = 0
	headerTarget       = 1
	headerSchema       = 2
	headerCommand      = 3
	headerCompacted    = 4
	headerPartial      = 7
	commandRollback    = "0"
	logMagic           = "#HUDI#"
	logFormatVersion   = 1
	contentVersion     = 3
	maxBlock           = 1 << 30
	blockFrame         = 14 // bytes of a block that its length does not count: magic and length itself
	maxHeaders         = 16
	deleteWinsOverride = 0 // ordering value of a delete that wins over all that came before it
)

// logBlock is one block of a log file.
type logBlock struct {
	kind    int32
	headers map[int32]string
	content []byte
}

// readLog calls yield with each block of a log file (Hudi class HoodieLogFormat): magic, length, format version, type, header map,
// content length, content, footer map, and the length once more.
func readLog(path string, yield func(*logBlock) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 1<<16)
	for {
		if _, err := in.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		block, err := readBlock(in)
		if err != nil {
			return fmt.Errorf("read log block: %w", err)
		}
		if err := yield(block); err != nil {
			return err
		}
	}
}

func readBlock(in io.Reader) (*logBlock, error) {
	var start [blockFrame]byte
	if _, err := io.ReadFull(in, start[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint64(start[len(logMagic):])
	if string(start[:len(logMagic)]) != logMagic || length > maxBlock {
		return nil, fmt.Errorf("%q is no start of a block", start)
	}
	var body bytes.Buffer // grows with what is there, not with what a damaged length promises
	if n, err := io.CopyN(&body, in, int64(length)); err != nil {
		return nil, fmt.Errorf("has %d bytes of %d: %w", n, length, io.ErrUnexpectedEOF)
	}
	c := &cursor{data: body.Bytes()}
	if version := c.int32(); version != logFormatVersion {
		return nil, fmt.Errorf("format version %d", version)
	}
	block := &logBlock{kind: c.int32(), headers: c.headers()}
	block.content = c.take(c.int64())
	c.headers()
	if again := c.int64(); c.bad || len(c.data) > 0 || again != int64(length)+6 {
		return nil, errors.New("its lengths contradict each other")
	}
	return block, nil
}

// cursor reads big-endian values off the front of data; bad is set when there is too little.
type cursor struct {
	data []byte
	bad  bool
}

func (c *cursor) take(n int64) []byte {
	if n < 0 || n > int64(len(c.data)) {
		c.bad, c.data = true, nil
		return nil
	}
	head := c.data[:n]
	c.data = c.data[n:]
	return head
}

func (c *cursor) int32() int32 {
	if b := c.take(4); len(b) == 4 {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (c *cursor) int64() int64 {
	if b := c.take(8); len(b) == 8 {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (c *cursor) headers() map[int32]string {
	n := c.int32()
	if n < 0 || n > maxHeaders {
		c.bad = true
		return nil
	}
	headers := make(map[int32]string, n)
	for range n {
		key := c.int32()
		headers[key] = string(c.take(int64(c.int32())))
	}
	return headers
}

// liveBlocks are the places in a slice's logs of the blocks that count: those of instants that happened and were not rolled back after.
type liveBlocks map[blockPlace]bool

// blockPlace numbers logs of a slice and blocks of a log.
type blockPlace struct{ log, block int }

// live finds them and the instants that have a block in each log, without keeping any content.
func live(paths []string, t *timeline) (liveBlocks, []map[string]bool, error) {
	blocks, instants := make(map[blockPlace]string), make([]map[string]bool, len(paths))
	for log, path := range paths {
		instants[log] = make(map[string]bool)
		number := 0
		err := readLog(path, func(b *logBlock) error {
			place := blockPlace{log, number}
			number++
			if b.kind == blockCommand {
				if b.headers[headerCommand] != commandRollback {
					return fmt.Errorf("command %q", b.headers[headerCommand])
				}
				maps.DeleteFunc(blocks, func(_ blockPlace, instant string) bool { return instant == b.headers[headerTarget] })
				return nil
			}
			instant := b.headers[headerInstant]
			instants[log][instant] = true
			if t.happened(instant) {
				blocks[place] = instant
			}
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	set := make(liveBlocks, len(blocks))
	for place := range blocks {
		set[place] = true
	}
	return set, instants, nil
}

// visit reads the blocks that count again, in order.
func (l liveBlocks) visit(paths []string, yield func(log int, b *logBlock) error) error {
	for log, path := range paths {
		number := 0
		err := readLog(path, func(b *logBlock) error {
			place := blockPlace{log, number}
			number++
			if !l[place] {
				return nil
			}
			if b.headers[headerPartial] == "true" || b.headers[headerCompacted] != "" {
				return errors.New("block of partial or compacted records, which this reader does not know")
			}
			return yield(log, b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// avroBlock is the decoded content of an Avro data block: canonical values by column.
type avroBlock struct {
	columns map[string]int
	cells   [][][]byte // by row and column
}

func (a *avroBlock) rows() int { return len(a.cells) }

func (a *avroBlock) put(dst []byte, column string, i int) (cell []byte, found bool, err error) {
	c, ok := a.columns[column]
	if !ok {
		return dst, false, nil
	}
	return append(dst, a.cells[i][c]...), true, nil
}

func (a *avroBlock) names() []string { return slices.Collect(maps.Keys(a.columns)) }

// readAvroBlock decodes an Avro data block: version, number of records, and each record behind its length.
func readAvroBlock(b *logBlock) (*avroBlock, error) {
	schema, err := avro.ParseWithCache(b.headers[headerSchema], "", new(avro.SchemaCache))
	if err != nil {
		return nil, fmt.Errorf("parse schema of log block: %w", err)
	}
	record, ok := schema.(*avro.RecordSchema)
	if !ok {
		return nil, fmt.Errorf("schema of log block is a %s", schema.Type())
	}
	block := &avroBlock{columns: make(map[string]int)}
	for i, field := range record.Fields() {
		block.columns[field.Name()] = i
	}
	c := &cursor{data: b.content}
	if version := c.int32(); version != contentVersion {
		return nil, fmt.Errorf("content version %d of log block", version)
	}
	count := c.int32()
	for i := range count {
		cells, err := avroRecord(c.take(int64(c.int32())), record)
		if err == nil && c.bad {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, fmt.Errorf("read record %d of %d: %w", i, count, err)
		}
		block.cells = append(block.cells, cells)
	}
	if c.bad || len(c.data) > 0 {
		return nil, fmt.Errorf("%d bytes behind the last record of a log block", len(c.data))
	}
	return block, nil
}

// avroRecord decodes one record to the canonical values of its fields.
func avroRecord(data []byte, schema *avro.RecordSchema) ([][]byte, error) {
	in := newAvroReader(data)
	cells := make([][]byte, 0, len(schema.Fields()))
	for _, field := range schema.Fields() {
		cell, err := putAvro(nil, in, field.Type())
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", field.Name(), err)
		}
		cells = append(cells, cell)
	}
	return cells, ended(in)
}
