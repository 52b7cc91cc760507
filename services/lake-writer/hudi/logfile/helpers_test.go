package logfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden is a log file of Spark's.
func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".log"))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// goldenAll are the log files of Spark's by name.
func goldenAll(tb testing.TB) map[string][]byte {
	tb.Helper()
	paths, err := filepath.Glob("testdata/*.log")
	if err != nil || len(paths) < 8 {
		tb.Fatalf("%d golden files, %v", len(paths), err)
	}
	files := make(map[string][]byte)
	for _, p := range paths {
		name := strings.TrimSuffix(filepath.Base(p), ".log")
		files[name] = golden(tb, name)
	}
	return files
}

// mixed are log files of Spark's in one, as a writer that appends leaves them, with the offsets of the blocks and the end.
func mixed(tb testing.TB) (file []byte, starts []int) {
	tb.Helper()
	for _, name := range []string{"v6-mdt-init", "v6-avro-one", "v6-rollback", "v6-delete", "v6-mdt-init"} {
		starts = append(starts, len(file))
		file = append(file, golden(tb, name)...)
	}
	return file, append(starts, len(file))
}

// scan reads a file to its end or to the first error.
func scan(file []byte, o ScanOptions) (blocks []*Block, err error) {
	for b, err := range Scan(bytes.NewReader(file), int64(len(file)), o) {
		if err != nil {
			return blocks, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// one is the only block of a file.
func one(tb testing.TB, file []byte) *Block {
	tb.Helper()
	blocks, err := scan(file, ScanOptions{})
	if err != nil || len(blocks) != 1 {
		tb.Fatalf("%d blocks, %v", len(blocks), err)
	}
	return blocks[0]
}

// rewrite writes a block with its headers in the order in which the file has them.
func rewrite(file []byte, b *Block) []byte {
	at := int(b.Offset) + prefixBytes + 8
	var keys []HeaderKey
	for range binary.BigEndian.Uint32(file[at:]) {
		keys = append(keys, HeaderKey(binary.BigEndian.Uint32(file[at+4:])))
		at += 8 + int(binary.BigEndian.Uint32(file[at+8:]))
	}
	out := appendHead(nil, b.Type, b.Header, keys)
	out = binary.BigEndian.AppendUint64(out, uint64(len(b.Content)))
	return closeBlock(append(out, b.Content...), 0)
}

// fromHex joins hexadecimal text with blanks and 'quoted' text.
func fromHex(tb testing.TB, text string) []byte {
	tb.Helper()
	var out []byte
	for i, part := range strings.Split(text, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}
