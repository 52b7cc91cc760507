package logfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"testing"
)

func TestScanMixed(t *testing.T) {
	t.Parallel()
	file, starts := mixed(t)
	blocks, err := scan(file, ScanOptions{})
	if err != nil || len(blocks) != len(starts)-1 {
		t.Fatalf("%d blocks, %v", len(blocks), err)
	}
	for i, want := range []BlockType{Delete, AvroData, Command, Delete, Delete} {
		b := blocks[i]
		if b.Type != want || b.Offset != int64(starts[i]) || b.Length != int64(starts[i+1]-starts[i]) {
			t.Errorf("block %d: %s at %d of %d bytes", i, b.Type, b.Offset, b.Length)
		}
		if !bytes.Equal(b.Content, file[b.ContentOffset:b.ContentOffset+b.ContentLength]) {
			t.Errorf("block %d: the content is not at %d", i, b.ContentOffset)
		}
	}
	if blocks, err := scan(nil, ScanOptions{}); len(blocks) != 0 || err != nil {
		t.Errorf("empty file: %d blocks, %v", len(blocks), err)
	}
}

// reads records what is read of a file.
type reads struct {
	io.ReaderAt
	calls, bytes int
}

func (r *reads) ReadAt(p []byte, off int64) (int, error) {
	r.calls++
	r.bytes += len(p)
	return r.ReaderAt.ReadAt(p, off)
}

func TestScanHeadersOnly(t *testing.T) {
	t.Parallel()
	var file []byte
	for range 3 {
		file = AppendBlock(file, ParquetBlock("20260101000000000", "{}", bytes.Repeat([]byte("x"), 1<<20)))
	}
	r := &reads{ReaderAt: bytes.NewReader(file)}
	n := 0
	for b, err := range Scan(r, int64(len(file)), ScanOptions{HeadersOnly: true}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if b.Content != nil || b.ContentLength != 1<<20 || b.Instant() != "20260101000000000" {
			t.Errorf("%d bytes of content, instant %s", len(b.Content), b.Instant())
		}
		if n < 3 {
			continue
		}
		if err := b.Load(bytes.NewReader(file)); err != nil || !bytes.Equal(b.Content, bytes.Repeat([]byte("x"), 1<<20)) {
			t.Errorf("loaded %d bytes, %v", len(b.Content), err)
		}
		if err := b.Load(nil); err != nil { // nothing to do
			t.Error(err)
		}
	}
	if n != 3 || r.bytes > 6*windowBytes {
		t.Errorf("%d blocks by reading %d bytes", n, r.bytes)
	}
	if err := (&Block{ContentLength: 4}).Load(bytes.NewReader(nil)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("load behind the end: %v", err)
	}
}

// Small blocks come with one read together.
func TestScanReadsSmallFilesOnce(t *testing.T) {
	t.Parallel()
	file, starts := mixed(t)
	r := &reads{ReaderAt: bytes.NewReader(file)}
	n := 0
	for _, err := range Scan(r, int64(len(file)), ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != len(starts)-1 || r.calls != 1 {
		t.Errorf("%d blocks with %d reads", n, r.calls)
	}
}

func TestScanEndsWhenTheCallerDoes(t *testing.T) {
	t.Parallel()
	file, _ := mixed(t)
	n := 0
	for range Scan(bytes.NewReader(file), int64(len(file)), ScanOptions{}) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d blocks", n)
	}
}

// Whatever is cut off, the blocks before it come whole, and the rest is damage.
func TestScanTruncated(t *testing.T) {
	t.Parallel()
	file, starts := mixed(t)
	for cut := 1; cut < len(file); cut++ {
		whole := 0 // blocks before the cut
		for starts[whole+1] <= cut {
			whole++
		}
		blocks, err := scan(file[:cut], ScanOptions{})
		var damage *CorruptError
		switch clean := cut == starts[whole]; {
		case len(blocks) != whole:
			t.Fatalf("cut at %d: %d blocks, want %d", cut, len(blocks), whole)
		case clean && err != nil, !clean && !errors.As(err, &damage):
			t.Fatalf("cut at %d: %v", cut, err)
		case !clean && damage.Offset != int64(starts[whole]):
			t.Fatalf("cut at %d: %v, want offset %d", cut, err, starts[whole])
		}
		skipped, err := scan(file[:cut], ScanOptions{SkipCorrupt: true})
		if err != nil {
			t.Fatalf("skip, cut at %d: %v", cut, err)
		}
		checkCovers(t, skipped, cut)
		if cut > starts[whole] {
			if last := skipped[len(skipped)-1]; len(skipped) != whole+1 || last.Type != Corrupt || last.Offset != int64(starts[whole]) {
				t.Fatalf("cut at %d: %d blocks, the last %+v", cut, len(skipped), last)
			}
		}
	}
}

// checkCovers checks that blocks follow each other from the start of a file to its end.
func checkCovers(t *testing.T, blocks []*Block, size int) {
	t.Helper()
	at := int64(0)
	for i, b := range blocks {
		if b.Offset != at || b.Length <= 0 {
			t.Fatalf("block %d: at %d, %d bytes, want offset %d", i, b.Offset, b.Length, at)
		}
		at += b.Length
	}
	if at != int64(size) {
		t.Fatalf("blocks to %d of %d", at, size)
	}
}

// What is passed over for damage in one field of the third block, which HoodieLogFileReader of Hudi 1.2.0 passes over too.
func TestScanSkipsAsHudi(t *testing.T) {
	t.Parallel()
	whole, starts := mixed(t)
	start, end := starts[2], starts[3]
	tests := map[string]struct {
		at          int // of the byte that is changed
		first, last int // block boundaries between which all is passed over
	}{
		"magic":                   {start + 2, 1, 3}, // the block before has no magic behind it
		"length, last byte":       {start + lengthAt + 7, 2, 3},
		"length, beyond the file": {start + lengthAt + 5, 2, 3},
		"length, negative":        {start + lengthAt, 2, 3},
		"reverse pointer":         {end - 1, 2, 3},
		"magic of the next":       {end, 2, 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := bytes.Clone(whole)
			file[test.at] ^= 0xff
			blocks, err := scan(file, ScanOptions{SkipCorrupt: true})
			if err != nil {
				t.Fatal(err)
			}
			checkCovers(t, blocks, len(file))
			if got, want := len(blocks), len(starts)-1-(test.last-test.first)+1; got != want {
				t.Fatalf("%d blocks, want %d", got, want)
			}
			for i, b := range blocks {
				if gap := i == test.first; (b.Type == Corrupt) != gap {
					t.Errorf("block %d: %s", i, b.Type)
				} else if gap && (b.Offset != int64(starts[test.first]) || b.Length != int64(starts[test.last]-starts[test.first]) || b.Content != nil) {
					t.Errorf("passed over %d bytes at %d", b.Length, b.Offset)
				}
			}
			var damage *CorruptError
			if _, err := scan(file, ScanOptions{}); !errors.As(err, &damage) || damage.Offset != int64(starts[test.first]) {
				t.Errorf("not skipping: %v", err)
			}
		})
	}
}

// Hudi does not go on in a file that begins with anything but a magic.
func TestScanWithoutMagicAtTheStart(t *testing.T) {
	t.Parallel()
	file := append([]byte("x"), golden(t, "v6-rollback")...)
	for _, size := range []int{len(magic), prefixBytes, len(file)} {
		for _, o := range []ScanOptions{{}, {SkipCorrupt: true}} {
			var damage *CorruptError
			if blocks, err := scan(file[:size], o); !errors.As(err, &damage) || len(blocks) != 0 {
				t.Errorf("%d bytes, %+v: %d blocks, %v", size, o, len(blocks), err)
			}
		}
	}
}

// The next magic is found wherever it lies in the windows that are searched.
func TestScanFindsTheNextMagic(t *testing.T) {
	t.Parallel()
	good := golden(t, "v6-rollback")
	torn := binary.BigEndian.AppendUint64([]byte(magic), 1<<40)
	for _, window := range []int{windowBytes, searchBytes, windowBytes + searchBytes} {
		for shift := -9; shift <= 9; shift++ {
			gap := bytes.Repeat([]byte("#HUD"), (window+shift)/4+1)[:window+shift-len(torn)]
			file := append(append(bytes.Clone(torn), gap...), good...)
			blocks, err := scan(file, ScanOptions{SkipCorrupt: true})
			if err != nil || len(blocks) != 2 || blocks[0].Type != Corrupt || blocks[1].Type != Command {
				t.Fatalf("magic at %d: %d blocks, %v", window+shift, len(blocks), err)
			}
			checkCovers(t, blocks, len(file))
		}
	}
}

// A magic within a content is no block while the frame is whole.
func TestScanMagicInContent(t *testing.T) {
	t.Parallel()
	inner := golden(t, "v6-rollback")
	file := AppendBlock(nil, ParquetBlock("20260101000000000", "{}", inner))
	if b := one(t, file); !bytes.Equal(b.Content, inner) {
		t.Errorf("content %x", b.Content)
	}
}

// Changing any byte never panics; in blocks that are not touched, nothing changes.
func TestScanFlippedBytes(t *testing.T) {
	t.Parallel()
	whole, starts := mixed(t)
	want, _ := scan(whole, ScanOptions{})
	file := bytes.Clone(whole)
	for i := range file {
		for _, mask := range []byte{0xff, 0x80, 0x01} {
			file[i] ^= mask
			blocks, err := scan(file, ScanOptions{})
			for n, b := range blocks {
				touched := i >= starts[n] && i < starts[n+1]
				if !touched && (!maps.Equal(b.Header, want[n].Header) || !bytes.Equal(b.Content, want[n].Content)) {
					t.Fatalf("byte %d: block %d changed", i, n)
				}
				readContent(b)
			}
			if err == nil && len(blocks) != len(want) {
				t.Fatalf("byte %d: %d blocks without an error", i, len(blocks))
			}
			if blocks, err := scan(file, ScanOptions{SkipCorrupt: true}); err == nil {
				checkCovers(t, blocks, len(file))
			}
			file[i] ^= mask
		}
	}
}

// readContent decodes what there is to decode, for what must not panic.
func readContent(b *Block) {
	switch b.Type {
	case AvroData, CDCData:
		for datum, err := range Records(b) {
			if err == nil {
				_, _, _ = SplitMeta(datum)
			}
		}
	case Delete:
		_, _ = Deletes(b)
	case Command, Corrupt, HFileData, ParquetData:
	}
}

// frame is a block made of its parts, whatever they are, with a length and a reverse pointer that agree.
func frame(version, kind uint32, header string, contentLength uint64, rest string) []byte {
	b := binary.BigEndian.AppendUint64([]byte(magic), 0)
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, kind)
	b = append(b, header...)
	b = binary.BigEndian.AppendUint64(b, contentLength)
	b = append(b, rest...)
	pointer := uint64(len(b))
	binary.BigEndian.PutUint64(b[lengthAt:], pointer-uint64(len(magic)))
	return binary.BigEndian.AppendUint64(b, pointer)
}

func TestScanRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	const none, end = "\x00\x00\x00\x00", "\x00\x00\x00\x00"
	for name, file := range map[string][]byte{
		"version 0":      frame(0, 3, none, 0, end),
		"version 2":      frame(2, 3, none, 0, end),
		"type 2":         frame(1, 2, none, 0, end),
		"type 7":         frame(1, 7, none, 0, end),
		"type -1":        frame(1, 1<<32-1, none, 0, end),
		"header key 9":   frame(1, 3, "\x00\x00\x00\x01\x00\x00\x00\x09\x00\x00\x00\x00", 0, end),
		"header key -1":  frame(1, 3, "\x00\x00\x00\x01\xff\xff\xff\xff\x00\x00\x00\x00", 0, end),
		"no command":     frame(1, 0, none, 0, end),
		"command 1":      frame(1, 0, "\x00\x00\x00\x01\x00\x00\x00\x03\x00\x00\x00\x011", 0, end),
		"footer entries": frame(1, 3, none, 0, "\x00\x00\x00\x01"),
	} {
		for _, o := range []ScanOptions{{}, {SkipCorrupt: true}} {
			var unsupported *UnsupportedError
			if blocks, err := scan(file, o); !errors.As(err, &unsupported) || len(blocks) != 0 {
				t.Errorf("%s: %d blocks, %v", name, len(blocks), err)
			}
		}
	}
	for name, file := range map[string][]byte{
		"header count -1":     frame(1, 3, "\xff\xff\xff\xff", 0, end),
		"header count":        frame(1, 3, "\x7f\xff\xff\xff", 0, end),
		"header length -1":    frame(1, 3, "\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff", 0, end),
		"header length":       frame(1, 3, "\x00\x00\x00\x01\x00\x00\x00\x00\x7f\xff\xff\xff", 0, end),
		"content length -1":   frame(1, 3, none, 1<<64-1, end),
		"content length":      frame(1, 3, none, 1, end),
		"content length huge": frame(1, 3, none, 1<<62, end),
		"behind the footer":   frame(1, 3, none, 0, end+"x"),
	} {
		for _, o := range []ScanOptions{{}, {SkipCorrupt: true}} {
			var damage *CorruptError
			if blocks, err := scan(file, o); !errors.As(err, &damage) || len(blocks) != 0 {
				t.Errorf("%s: %d blocks, %v", name, len(blocks), err)
			}
		}
	}
}

// Version 0 had no reverse pointer: such a block looks damaged, and must not be taken for damage when it counts.
func TestScanVersion0WithoutReversePointer(t *testing.T) {
	t.Parallel()
	file := binary.BigEndian.AppendUint64([]byte(magic), 40)
	file = append(file, make([]byte, 40)...)
	var unsupported *UnsupportedError
	if _, err := scan(file, ScanOptions{}); !errors.As(err, &unsupported) {
		t.Error(err)
	}
	if blocks, err := scan(file, ScanOptions{SkipCorrupt: true}); err != nil || len(blocks) != 1 || blocks[0].Type != Corrupt {
		t.Errorf("%d blocks, %v", len(blocks), err)
	}
}

func TestScanBoundsBlocks(t *testing.T) {
	t.Parallel()
	file := golden(t, "v6-avro-one")
	limit := int64(len(file) - prefixBytes)
	if _, err := scan(file, ScanOptions{MaxBlockBytes: limit}); err != nil {
		t.Error(err)
	}
	var unsupported *UnsupportedError
	if _, err := scan(file, ScanOptions{MaxBlockBytes: limit - 1}); !errors.As(err, &unsupported) {
		t.Error(err)
	}
}

// Lengths that a small file claims are checked before memory is taken. Not parallel: it measures the whole process.
func TestScanTakesNoMemoryOnClaims(t *testing.T) {
	const none, end = "\x00\x00\x00\x00", "\x00\x00\x00\x00"
	torn := binary.BigEndian.AppendUint64([]byte(magic), 400<<20)
	deletes := fromHex(t, `00000003 00000009 fcffffff0f 00 00 00 00`)
	files := [][]byte{
		append(torn, make([]byte, 100)...),
		frame(1, 3, none, 400<<20, end),
		frame(1, 3, "\x00\x00\x00\x01\x00\x00\x00\x02\x18\x00\x00\x00", 0, end),
		frame(1, 3, "\x18\x00\x00\x00", 0, end),
		frame(1, 3, none, 8, "\x00\x00\x00\x03\x18\x00\x00\x00"+end),
		frame(1, 1, none, uint64(len(deletes)), string(deletes)+end),
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, file := range files {
		for _, o := range []ScanOptions{{}, {SkipCorrupt: true}} {
			blocks, _ := scan(file, o)
			for _, b := range blocks {
				readContent(b)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
		t.Errorf("%d bytes taken", taken)
	}
}

var errBroken = errors.New("broken")

// failing fails one of its calls.
type failing struct {
	io.ReaderAt
	left int // calls before the one that fails
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	f.left--
	if f.left == -1 {
		return len(p) / 2, errBroken
	}
	return f.ReaderAt.ReadAt(p, off)
}

// Whichever read fails, its error comes, and never as damage.
func TestScanFailingReader(t *testing.T) {
	t.Parallel()
	big := AppendBlock(nil, ParquetBlock("20260101000000000", "{}", make([]byte, 3*windowBytes)))
	file := append(bytes.Clone(big), big...)
	damaged := append(bytes.Clone(file), big[:len(big)-1]...)
	for name, file := range map[string][]byte{"whole": file, "damaged": damaged} {
		failed := 0
		for {
			r := &failing{ReaderAt: bytes.NewReader(file), left: failed}
			var last error
			for _, err := range Scan(r, int64(len(file)), ScanOptions{SkipCorrupt: true}) {
				last = err
			}
			if last == nil {
				break
			}
			if !errors.Is(last, errBroken) {
				t.Fatalf("%s, read %d: %v", name, failed, last)
			}
			failed++
		}
		if failed < 4 {
			t.Errorf("%s: only %d reads", name, failed)
		}
	}
}

func TestScanShorterThanTold(t *testing.T) {
	t.Parallel()
	file := golden(t, "v6-rollback")
	for _, err := range Scan(bytes.NewReader(file), int64(len(file))+1, ScanOptions{SkipCorrupt: true}) {
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	}
}

func TestTypesAndErrorsAsText(t *testing.T) {
	t.Parallel()
	for value, want := range map[fmt.Stringer]string{AvroData: "Avro data", BlockType(9): "block type 9", BlockType(-1): "block type -1"} {
		if value.String() != want {
			t.Errorf("%q, want %q", value, want)
		}
	}
	if err := corrupt(7, "a %s", "b"); err.Error() != "corrupt log at offset 7: a b" {
		t.Error(err)
	}
	if err := unsupported(7, "c"); err.Error() != "log block at offset 7: unsupported: c" {
		t.Error(err)
	}
}
