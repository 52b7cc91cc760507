package logfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
)

// mustBeTyped fails for an error that is neither damage nor something not supported.
func mustBeTyped(t *testing.T, err error) {
	t.Helper()
	var damage *CorruptError
	var unsupported *UnsupportedError
	if err != nil && !errors.As(err, &damage) && !errors.As(err, &unsupported) {
		t.Errorf("error %v", err)
	}
}

// Blocks follow each other to the end of the file; what is read is written again byte for byte, but for header keys that came twice;
// skipping damage gives at least the blocks before it.
func FuzzScan(f *testing.F) {
	for _, file := range goldenAll(f) {
		f.Add(file)
	}
	all, starts := mixed(f)
	f.Add(all)
	f.Add(all[:starts[3]-5])
	f.Add(append(bytes.Clone(all[:starts[1]+300]), all[starts[2]:]...))
	f.Fuzz(func(t *testing.T, file []byte) {
		blocks, err := scan(file, ScanOptions{MaxBlockBytes: 1 << 20})
		mustBeTyped(t, err)
		for _, b := range blocks {
			raw := file[b.Offset : b.Offset+b.Length]
			again := rewrite(file, b)
			if n := binary.BigEndian.Uint32(raw[prefixBytes+8:]); int(n) == len(b.Header) && !bytes.Equal(again, raw) {
				t.Errorf("wrote\n%x, want\n%x", again, raw)
			}
			readContent(b)
		}
		skipped, errSkipped := scan(file, ScanOptions{SkipCorrupt: true, MaxBlockBytes: 1 << 20})
		mustBeTyped(t, errSkipped)
		for i, b := range blocks {
			if i >= len(skipped) || !reflect.DeepEqual(skipped[i], b) {
				t.Fatalf("block %d of %d is not there when damage is skipped", i, len(blocks))
			}
		}
		if errSkipped == nil {
			checkCovers(t, skipped, len(file))
		}
	})
}

// What is read is read again from what is written of it.
func FuzzDeletes(f *testing.F) {
	for _, name := range []string{"v6-delete", "v9-delete", "v6-mdt-init"} {
		f.Add(one(f, golden(f, name)).Content)
	}
	f.Add(DeleteBlock("", "", []DeleteRecord{
		{Key: "a", Partition: "p", Ordering: LongOrdering(1)},
		{Key: "b", Ordering: DoubleOrdering(2)},
		{Key: "c", Ordering: DecimalOrdering([]byte{1, 2})},
		{Key: "d", Ordering: ArrayOrdering(LocalDateOrdering(1), StringOrdering("x"), BoolOrdering(true))},
	}).Content)
	f.Fuzz(func(t *testing.T, content []byte) {
		records, err := Deletes(&Block{Type: Delete, Content: content})
		mustBeTyped(t, err)
		if err != nil {
			return
		}
		b := DeleteBlock("", "", records)
		again, err := Deletes(&b)
		if err != nil || !reflect.DeepEqual(again, records) {
			t.Errorf("%+v came back as %+v, %v", records, again, err)
		}
	})
}

// The records and their lengths are all that the content has.
func FuzzRecords(f *testing.F) {
	for _, name := range []string{"v6-avro-one", "v6-avro-many"} {
		f.Add(one(f, golden(f, name)).Content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		again := NewDataBlock("", "")
		for datum, err := range Records(&Block{Type: AvroData, Content: content}) {
			mustBeTyped(t, err)
			if err != nil {
				return
			}
			again.AddDatum(datum)
		}
		if again.Len() == 0 {
			return
		}
		if got := one(t, again.AppendTo(nil)).Content; !bytes.Equal(got[4:], content[4:]) {
			t.Errorf("wrote\n%x, want\n%x", got, content)
		}
	})
}

// The meta fields come back from what is written of them, and the payload is the rest.
func FuzzSplitMeta(f *testing.F) {
	for _, name := range []string{"v6-avro-one", "v6-avro-many"} {
		for datum := range Records(one(f, golden(f, name))) {
			f.Add(datum)
		}
	}
	f.Add([]byte{0, 0, 2, 2, 'k', 0, 0, 1})
	f.Fuzz(func(t *testing.T, datum []byte) {
		m, payload, err := SplitMeta(datum)
		mustBeTyped(t, err)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(datum, payload) {
			t.Errorf("payload %x of %x", payload, datum)
		}
		again, rest, err := SplitMeta(append(AppendMeta(nil, m), payload...))
		if err != nil || again != m || !bytes.Equal(rest, payload) {
			t.Errorf("%+v came back as %+v, %v", m, again, err)
		}
	})
}
