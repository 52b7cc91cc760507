package logfile

import (
	"bytes"
	"maps"
	"strings"
	"testing"
)

// Every block of Spark's comes out byte for byte when it is written again.
func TestGoldenBlocksRewritten(t *testing.T) {
	t.Parallel()
	for name, file := range goldenAll(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := one(t, file)
			if b.Offset != 0 || b.Length != int64(len(file)) || len(b.Instant()) != 17 {
				t.Errorf("offset %d, length %d of %d, instant %q", b.Offset, b.Length, len(file), b.Instant())
			}
			if again := rewrite(file, b); !bytes.Equal(again, file) {
				t.Errorf("wrote\n%x, want\n%x", again, file)
			}
			sorted := AppendBlock([]byte("before"), *b) // as Spark's but for the order of the headers
			if len(sorted) != len("before")+len(file) {
				t.Errorf("wrote %d bytes, want %d", len(sorted)-len("before"), len(file))
			}
			back := one(t, sorted[len("before"):])
			if !maps.Equal(back.Header, b.Header) || !bytes.Equal(back.Content, b.Content) || back.Type != b.Type {
				t.Error("another block came back")
			}
		})
	}
}

// The command block that Spark appended to roll back 20250126040826878; its headers come in the order 0, 3, 1.
func TestRollbackBlock(t *testing.T) {
	t.Parallel()
	file := fromHex(t, `'#HUDI#' 00000000 0000005b 00000001 00000000 00000003
		00000000 00000011 '20250126040936578' 00000003 00000001 '0' 00000001 00000011 '20250126040826878'
		00000000 00000000 00000000 00000000 00000061`)
	if !bytes.Equal(file, golden(t, "v6-rollback")) {
		t.Fatal("not the golden file")
	}
	b := one(t, file)
	target, ok := b.RollbackTarget()
	if b.Type != Command || b.Instant() != "20250126040936578" || !ok || target != "20250126040826878" || b.Length != 105 {
		t.Errorf("got %+v", b)
	}
	ours := AppendBlock(nil, RollbackBlock("20250126040936578", "20250126040826878"))
	want := fromHex(t, `'#HUDI#' 00000000 0000005b 00000001 00000000 00000003
		00000000 00000011 '20250126040936578' 00000001 00000011 '20250126040826878' 00000003 00000001 '0'
		00000000 00000000 00000000 00000000 00000061`)
	if !bytes.Equal(ours, want) {
		t.Errorf("wrote\n%x, want\n%x", ours, want)
	}
	if _, ok := one(t, golden(t, "v9-delete")).RollbackTarget(); ok {
		t.Error("a delete block rolls back")
	}
}

// The smallest file there is: a delete block without deletes, which begins a file group of the metadata table.
func TestSmallestBlock(t *testing.T) {
	t.Parallel()
	want := fromHex(t, `'#HUDI#' 00000000 00000042 00000001 00000001 00000001 00000000 00000011 '00000000000000000'
		00000000 00000009 00000003 00000001 00 00000000 00000000 00000048`)
	got := AppendBlock(nil, DeleteBlock("00000000000000000", "", nil))
	if !bytes.Equal(got, want) {
		t.Errorf("wrote\n%x, want\n%x", got, want)
	}
	if len(got) != 80 {
		t.Errorf("%d bytes, want 80", len(got))
	}
	if b := one(t, golden(t, "v6-mdt-init")); !bytes.Equal(b.Content, one(t, got).Content) {
		t.Error("not the content of Spark's")
	}
}

func TestParquetAndHFileBlocks(t *testing.T) {
	t.Parallel()
	b := one(t, golden(t, "v6-parquet"))
	if b.Type != ParquetData || len(b.Content) != 8868 || !bytes.HasPrefix(b.Content, []byte("PAR1")) || !bytes.HasSuffix(b.Content, []byte("PAR1")) {
		t.Errorf("%s, %d bytes", b.Type, len(b.Content))
	}
	ours := ParquetBlock(b.Instant(), b.Header[Schema], b.Content)
	if back := one(t, AppendBlock(nil, ours)); !maps.Equal(back.Header, b.Header) || !bytes.Equal(back.Content, b.Content) {
		t.Error("our Parquet block is another")
	}
	if b := one(t, golden(t, "v6-mdt-hfile")); b.Type != HFileData || !bytes.HasPrefix(b.Content, []byte("DATABLK*")) {
		t.Errorf("%s, %.8q", b.Type, b.Content)
	}
}

func TestAppendBlockPanicsOnWhatNobodyReads(t *testing.T) {
	t.Parallel()
	for _, b := range []Block{
		{Type: Corrupt},
		{Type: CDCData + 1},
		{Type: -1},
		{Type: Delete, Header: map[HeaderKey]string{headerKeys: ""}},
		{Type: Delete, Header: map[HeaderKey]string{-1: ""}},
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "logfile: ") {
					t.Errorf("%+v: panic %q", b, text)
				}
			}()
			AppendBlock(nil, b)
		}()
	}
}
