package logfile

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// fromHex joins hexadecimal text with blanks and 'quoted' ASCII.
func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(text, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}

func one(t *testing.T, file []byte) *Block {
	t.Helper()
	var found *Block
	for b, err := range Scan(bytes.NewReader(file), int64(len(file)), ScanOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if found != nil {
			t.Fatal("more than one block")
		}
		found = b
	}
	if found == nil {
		t.Fatal("no block")
	}
	return found
}

// The command block that Spark appended to roll back 20250126040826878; its headers come in the order 0, 3, 1.
func TestRollbackBlockOfSpark(t *testing.T) {
	t.Parallel()
	file := fromHex(t, `'#HUDI#' 00000000 0000005b 00000001 00000000 00000003
		00000000 00000011 '20250126040936578' 00000003 00000001 '0' 00000001 00000011 '20250126040826878'
		00000000 00000000 00000000 00000000 00000061`)
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
}
