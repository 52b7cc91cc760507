package hfile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"
)

// Dialect says whose files the written ones are like. Every reader that was tried takes both; they differ in checksums, in the keys of the
// index and in the version's minor number.
type Dialect int

// The dialects.
const (
	// HBase is what HBase wrote for Hudi up to 1.0: readers of any age know it.
	HBase Dialect = iota
	// Native is what Hudi's own writer makes since 1.1.
	Native
)

const (
	// defaultBlockBytes is Hudi's hoodie.hfile.block.size.
	defaultBlockBytes = 1 << 20
	// cellOverhead is what a cell has besides its row and value: two lengths of 32 bits, one of 16, the tail and the MVCC number.
	cellOverhead = 4 + 4 + 2 + len(cellTail) + 1

	bytesPerChecksum = 16 << 10
	comparator       = "org.apache.hudi.io.storage.HoodieHBaseKVComparator"
)

// Options are how a file is written. The zero value is: HBase's dialect, gzip, blocks of 1 MiB, created at the epoch.
type Options struct {
	Dialect    Dialect
	Codec      Codec
	BlockBytes int       // uncompressed size at which a data block is cut
	Created    time.Time // into the file info; readers make nothing of it
}

// Writer writes one HFile. Its memory is one data block, the index and the meta blocks. It is not for several goroutines.
type Writer struct {
	dst     io.Writer
	options Options
	encoder encoder
	offset  int64
	last    map[string]int64 // offset of the newest block by magic, which HBase links backwards
	err     error            // the first failure; nothing is written behind it
	closed  bool

	data     []byte // the open data block
	firstKey []byte // of the open data block
	lastKey  []byte
	root     []indexEntry
	metas    map[string][]byte
	info     map[string][]byte

	entries, keyBytes, valueBytes int64
	dataBytes                     int64 // uncompressed, of the data blocks
	allBytes                      int64 // uncompressed, of all blocks with their headers
	firstData, lastData           int64
}

// NewWriter makes a writer; the file is complete when Close has returned nil. Close does not close dst.
func NewWriter(dst io.Writer, o Options) *Writer {
	o.BlockBytes = cmp.Or(o.BlockBytes, defaultBlockBytes)
	return &Writer{
		dst: dst, options: o, encoder: encoder{codec: o.Codec, sums: o.Dialect == HBase}, last: make(map[string]int64), metas: make(map[string][]byte), info: make(map[string][]byte),
		firstData: -1, lastData: -1,
	}
}

var errClosed = errors.New("writer is closed")

// Append adds an entry. Keys come in byte order; equal keys are allowed and stay in one block. It keeps neither key nor value.
func (w *Writer) Append(key, value []byte) error {
	switch {
	case w.err != nil:
		return w.err
	case w.closed:
		return errClosed
	case len(key) == 0 || len(key) > math.MaxInt16-len(cellTail)-2:
		return fmt.Errorf("append key of %d bytes: not between 1 and %d", len(key), math.MaxInt16-len(cellTail)-2)
	case len(value) > maxBlockBytes-len(key)-cellOverhead:
		return fmt.Errorf("append value of %d bytes: a block holds %d", len(value), maxBlockBytes)
	case w.entries > 0 && bytes.Compare(key, w.lastKey) < 0:
		return fmt.Errorf("append key %q behind %q: not in order", key, w.lastKey)
	}
	same := w.entries > 0 && bytes.Equal(key, w.lastKey)
	size := len(w.data) + len(key) + len(value) + cellOverhead
	switch {
	case same && size > maxBlockBytes:
		return fmt.Errorf("append key %q: its values do not fit one block", key)
	case !same && len(w.data) > 0 && size > w.options.BlockBytes:
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(w.data) == 0 {
		w.firstKey = append(w.firstKey[:0], key...)
	}
	w.data = binary.BigEndian.AppendUint32(w.data, uint32(2+len(key)+len(cellTail)))
	w.data = binary.BigEndian.AppendUint32(w.data, uint32(len(value)))
	w.data = append(appendRow(w.data, key), cellTail...)
	w.data = append(w.data, value...)
	w.data = append(w.data, 0)
	w.lastKey = append(w.lastKey[:0], key...)
	w.entries++
	w.keyBytes += int64(len(key))
	if w.options.Dialect == HBase {
		w.keyBytes += int64(2 + len(cellTail))
	}
	w.valueBytes += int64(len(value))
	return nil
}

// AddMeta adds a meta block, such as "bloomFilter". A name counts once: the last payload stays. The payload is not copied.
func (w *Writer) AddMeta(name string, payload []byte) { w.metas[name] = payload }

// AddInfo adds a value to the file info block. Names of the format itself are overwritten at Close. The value is not copied.
func (w *Writer) AddInfo(name string, value []byte) { w.info[name] = value }

// Close writes what is behind the data blocks. It is called once; an error means that the file is not complete.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	if w.closed {
		return errClosed
	}
	w.closed = true
	if len(w.data) > 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	var metas []indexEntry
	for _, name := range slices.Sorted(maps.Keys(w.metas)) {
		e, err := w.block(magicMeta, w.metas[name])
		if err != nil {
			return err
		}
		e.key = []byte(name)
		metas = append(metas, e)
	}
	root := appendIndex(nil, w.root)
	open, err := w.block(magicRootIndex, root)
	if err != nil {
		return err
	}
	if _, err := w.block(magicRootIndex, appendIndex(nil, metas)); err != nil {
		return err
	}
	info, err := w.block(magicInfo, w.infoPayload())
	if err != nil {
		return err
	}
	return w.write(w.trailer(info.offset, open.offset, len(root), len(metas)))
}

// appendRow writes a row behind its length.
func appendRow(dst, row []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(row))), row...)
}

// fullKey is a key as index and file info name it: HBase wants a cell's whole key there, Hudi's writer leaves it at the row.
func (w *Writer) fullKey(row []byte) []byte {
	key := appendRow(make([]byte, 0, 2+len(row)+len(cellTail)), row)
	if w.options.Dialect == HBase {
		key = append(key, cellTail...)
	}
	return key
}

func appendIndex(dst []byte, entries []indexEntry) []byte {
	for _, e := range entries {
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.offset))
		dst = binary.BigEndian.AppendUint32(dst, uint32(e.size))
		dst = appendVInt(dst, len(e.key))
		dst = append(dst, e.key...)
	}
	return dst
}

// flush writes the open data block.
func (w *Writer) flush() error {
	e, err := w.block(magicData, w.data)
	if err != nil {
		return err
	}
	e.key = w.fullKey(w.firstKey)
	w.root = append(w.root, e)
	if w.firstData < 0 {
		w.firstData = e.offset
	}
	w.lastData = e.offset
	w.dataBytes += int64(len(w.data))
	w.data = w.data[:0]
	return nil
}

// block writes one block and returns where it is.
func (w *Writer) block(magic string, payload []byte) (indexEntry, error) {
	if len(payload) > maxBlockBytes {
		w.err = fmt.Errorf("write block %s of %d bytes: more than %d", magic, len(payload), maxBlockBytes)
		return indexEntry{}, w.err
	}
	previous := int64(-1)
	if before, ok := w.last[magic]; ok && w.options.Dialect == HBase {
		previous = before
	}
	e := indexEntry{offset: w.offset}
	body, err := w.encoder.block(magic, payload, previous)
	if err != nil {
		w.err = fmt.Errorf("compress block %s: %w", magic, err)
		return e, w.err
	}
	e.size = int64(len(body))
	w.last[magic] = w.offset
	w.allBytes += headerBytes + int64(len(payload))
	return e, w.write(body)
}

func (w *Writer) write(b []byte) error {
	n, err := w.dst.Write(b)
	w.offset += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write HFile at offset %d: %w", w.offset, err)
	}
	return w.err
}

func (w *Writer) infoPayload() []byte {
	average := func(total int64) []byte {
		return binary.BigEndian.AppendUint32(nil, uint32(total/max(w.entries, 1)))
	}
	info := maps.Clone(w.info)
	switch {
	case w.entries > 0:
		info[infoLastKey] = w.fullKey(w.lastKey)
	case w.options.Dialect == Native: // HBase leaves it out of an empty file
		info[infoLastKey] = nil
	}
	info[infoAvgKey] = average(w.keyBytes)
	info[infoAvgValue] = average(w.valueBytes)
	info[infoCreated] = binary.BigEndian.AppendUint64(nil, uint64(max(w.options.Created.UnixMilli(), 0)))
	info[infoCellVersion] = []byte{0, 0, 0, 1}
	info[infoMaxMVCC] = make([]byte, 8)
	var message []byte
	for _, name := range slices.Sorted(maps.Keys(info)) {
		pair := appendProtoBytes(appendProtoBytes(nil, 1, []byte(name)), 2, info[name])
		message = appendProtoBytes(message, 1, pair)
	}
	out := binary.AppendUvarint([]byte(protoMagic), uint64(len(message)))
	return append(out, message...)
}

func (w *Writer) trailer(info, loadOnOpen int64, rootBytes, metas int) []byte {
	var m []byte
	m = appendProtoNumber(m, 1, uint64(info))
	m = appendProtoNumber(m, 2, uint64(loadOnOpen))
	if w.options.Dialect == HBase {
		m = appendProtoNumber(m, 3, uint64(rootBytes))
		m = appendProtoNumber(m, 4, uint64(w.allBytes))
	} else {
		m = appendProtoNumber(m, 3, uint64(w.dataBytes))
	}
	m = appendProtoNumber(m, 5, uint64(len(w.root)))
	m = appendProtoNumber(m, 6, uint64(metas))
	m = appendProtoNumber(m, 7, uint64(w.entries))
	m = appendProtoNumber(m, 8, 1)
	m = appendProtoNumber(m, 9, uint64(w.firstData))
	m = appendProtoNumber(m, 10, uint64(w.lastData))
	m = appendProtoBytes(m, 11, []byte(comparator))
	m = appendProtoNumber(m, 12, codecIDs[w.options.Codec])

	out := append(make([]byte, 0, trailerBytes), magicTrailer...)
	out = binary.AppendUvarint(out, uint64(len(m)))
	out = append(out, m...)[:trailerBytes]
	version := uint32(majorVersion)
	if w.options.Dialect == HBase {
		version |= maxMinor << 24
	}
	binary.BigEndian.PutUint32(out[trailerBytes-4:], version)
	return out
}
