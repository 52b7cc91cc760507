package logfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

// datums are the records of a block.
func datums(b *Block) (all [][]byte, err error) {
	for datum, err := range Records(b) {
		if err != nil {
			return all, err
		}
		all = append(all, datum)
	}
	return all, nil
}

// The block of one record that Spark wrote.
func TestAvroBlockOfSpark(t *testing.T) {
	t.Parallel()
	file := golden(t, "v6-avro-one")
	content := fromHex(t, `00000003 00000001 000000e4
		02 22 '20250331030645735' 02 2a '20250331030645735_0_1' 02 48 '9909a8b1-2d15-4d3d-8ec9-efc48c536a00'
		02 24 'city=san_francisco' 02 4c 'd0304c53-6fd2-4b7a-a9d6-5ff632f79224-0'
		02 c6aba38ad562 02 48 '9909a8b1-2d15-4d3d-8ec9-efc48c536a00' 02 0e 'rider-D' 02 10 'driver-L'
		02 0000000000003940 02 1a 'san_francisco'`)
	b := one(t, file)
	if b.Type != AvroData || b.ContentOffset != 896 || b.ContentLength != 240 || !bytes.Equal(b.Content, content) {
		t.Fatalf("%s at %d:\n%x, want\n%x", b.Type, b.ContentOffset, b.Content, content)
	}
	records, err := datums(b)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	m, payload, err := SplitMeta(records[0])
	if err != nil {
		t.Fatal(err)
	}
	want := Meta{
		CommitTime: "20250331030645735", SeqNo: "20250331030645735_0_1", Key: "9909a8b1-2d15-4d3d-8ec9-efc48c536a00",
		Partition: "city=san_francisco", FileID: "d0304c53-6fd2-4b7a-a9d6-5ff632f79224-0",
	}
	if m != want {
		t.Errorf("meta fields %+v, want %+v", m, want)
	}
	d := NewDataBlock(b.Instant(), b.Header[Schema])
	d.Add(m, payload)
	if got := d.AppendTo(nil); !bytes.Equal(got, file) { // this file has its headers in ascending order
		t.Errorf("wrote\n%x, want\n%x", got, file)
	}
}

func TestDataBlock(t *testing.T) {
	t.Parallel()
	b := one(t, golden(t, "v6-avro-many"))
	records, err := datums(b)
	if err != nil || len(records) < 10 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	split, whole := NewDataBlock(b.Instant(), b.Header[Schema]), NewDataBlock(b.Instant(), b.Header[Schema])
	if got := split.AppendTo([]byte("x")); string(got) != "x" || split.Len() != 0 {
		t.Errorf("an empty block appended %d bytes", len(got)-1)
	}
	for round := range 3 {
		for _, datum := range records[round:] {
			m, payload, err := SplitMeta(datum)
			if err != nil {
				t.Fatal(err)
			}
			split.Add(m, payload)
			whole.AddDatum(datum)
		}
		got := split.AppendTo([]byte("before"))
		if !bytes.Equal(got[6:], whole.AppendTo(nil)) {
			t.Fatal("Add and AddDatum differ")
		}
		if split.Len() != len(records)-round || split.Size() != len(got)-6 {
			t.Errorf("Len %d and Size %d, want %d and %d", split.Len(), split.Size(), len(records)-round, len(got)-6)
		}
		back := one(t, got[6:])
		if round == 0 && !bytes.Equal(back.Content, b.Content) {
			t.Error("another content than Spark's")
		}
		if again, err := datums(back); err != nil || len(again) != len(records)-round {
			t.Errorf("%d records came back, %v", len(again), err)
		}
		split.Reset()
		whole.Reset()
	}
}

// A number behind a beginning that records share makes the bytes that the whole sequence number makes.
func TestAddNumbered(t *testing.T) {
	t.Parallel()
	m := Meta{CommitTime: "20260101000000000", SeqNo: "20260101000000000_3_", Key: "k", Partition: "p", FileID: "f"}
	whole, numbered := NewDataBlock("20260101000000000", "{}"), NewDataBlock("20260101000000000", "{}")
	for _, row := range []int64{0, 9, 10, 12345, math.MaxInt64} {
		numbered.AddNumbered(m, row, []byte("payload"))
		each := m
		each.SeqNo += strconv.FormatInt(row, 10)
		whole.Add(each, []byte("payload"))
	}
	if got, want := numbered.AppendTo(nil), whole.AppendTo(nil); !bytes.Equal(got, want) {
		t.Errorf("wrote\n%x, want\n%x", got, want)
	}
}

// A block that was appended can be added to, and what was appended stays.
func TestDataBlockAppendToKeepsTheBlock(t *testing.T) {
	t.Parallel()
	d := NewDataBlock("20260101000000000", "{}")
	d.Add(Meta{Key: "a"}, []byte("1"))
	first := d.AppendTo(nil)
	kept := bytes.Clone(first)
	d.Add(Meta{Key: "b"}, []byte("2"))
	second := one(t, d.AppendTo(nil))
	if !bytes.Equal(first, kept) {
		t.Error("the first bytes changed")
	}
	if records, err := datums(second); err != nil || len(records) != 2 {
		t.Errorf("%d records, %v", len(records), err)
	}
}

func TestRecordsOfEarlierVersionsAndCDC(t *testing.T) {
	t.Parallel()
	b := one(t, golden(t, "v6-avro-one"))
	for _, version := range []uint32{1, 2, 3} {
		binary.BigEndian.PutUint32(b.Content, version)
		if records, err := datums(b); err != nil || len(records) != 1 {
			t.Errorf("version %d: %d records, %v", version, len(records), err)
		}
	}
	b.Type = CDCData
	if records, err := datums(b); err != nil || len(records) != 1 {
		t.Errorf("CDC: %d records, %v", len(records), err)
	}
	b.Type = AvroData
	for _, version := range []uint32{0, 4, 1 << 31} {
		binary.BigEndian.PutUint32(b.Content, version)
		var unsupported *UnsupportedError
		if _, err := datums(b); !errors.As(err, &unsupported) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	b.Type = ParquetData
	var unsupported *UnsupportedError
	if _, err := datums(b); !errors.As(err, &unsupported) {
		t.Errorf("Parquet: %v", err)
	}
}

func TestRecordsDamaged(t *testing.T) {
	t.Parallel()
	file := golden(t, "v6-avro-many")
	whole := one(t, file).Content
	check := func(what string, content []byte) {
		t.Helper()
		b := &Block{Type: AvroData, ContentOffset: 1000, Content: content}
		var damage *CorruptError
		if _, err := datums(b); !errors.As(err, &damage) {
			t.Errorf("%s: %v", what, err)
		} else if damage.Offset < 1000 || damage.Offset > 1000+int64(len(content)) {
			t.Errorf("%s: %v is not within the content", what, err)
		}
	}
	for cut := range whole {
		check("cut", whole[:cut])
	}
	check("a byte more", append(bytes.Clone(whole), 0))
	for _, n := range []uint32{0, 1 << 31, 1<<32 - 1, 1<<31 - 1} {
		content := bytes.Clone(whole)
		binary.BigEndian.PutUint32(content[4:], n)
		check("count", content)
		content = bytes.Clone(whole)
		binary.BigEndian.PutUint32(content[8:], n|1<<30)
		check("length", content)
	}
}

func TestRecordsEndWhenTheCallerDoes(t *testing.T) {
	t.Parallel()
	n := 0
	for range Records(one(t, golden(t, "v6-avro-many"))) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("%d records", n)
	}
}

func TestSplitMeta(t *testing.T) {
	t.Parallel()
	want := Meta{CommitTime: "t", SeqNo: "", Key: strings.Repeat("k", 300), Partition: "p/ä", FileID: "f"}
	datum := append(AppendMeta(nil, want), "payload"...)
	m, payload, err := SplitMeta(datum)
	if err != nil || m != want || string(payload) != "payload" {
		t.Errorf("%+v, %q, %v", m, payload, err)
	}
	if cap(payload) != len(payload) {
		t.Error("appending to the payload writes into its neighbour")
	}
	m, payload, err = SplitMeta([]byte{0, 0, 2, 2, 'k', 0, 0})
	if want := (Meta{Key: "k"}); err != nil || m != want || len(payload) != 0 {
		t.Errorf("nulls: %+v, %q, %v", m, payload, err)
	}
	head := AppendMeta(nil, want)
	for cut := range head {
		var damage *CorruptError
		if _, _, err := SplitMeta(head[:cut]); !errors.As(err, &damage) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for _, bad := range [][]byte{
		{4},                            // branch 2
		{1},                            // branch -1
		{2, 1},                         // length -1
		{2, 0x80},                      // an integer that does not end
		bytes.Repeat([]byte{0xff}, 11), // an integer of more than 64 bits
	} {
		var damage *CorruptError
		if _, _, err := SplitMeta(append(bad, 0, 0, 0, 0, 0)[:len(bad)]); !errors.As(err, &damage) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

// TestAppendDataBlock: a block begun behind a file ends as the same bytes that a block of its own has, and one without records is nothing.
func TestAppendDataBlock(t *testing.T) {
	t.Parallel()
	const instant, schema = "20260101000000000", "{}"
	add := func(d *DataBlock) *DataBlock {
		d.Add(Meta{CommitTime: instant, Key: "k"}, []byte("payload"))
		d.AddDatum([]byte("datum"))
		return d
	}
	own := add(NewDataBlock(instant, schema))
	want := own.AppendTo([]byte("file"))
	behind := add(AppendDataBlock([]byte("file"), instant, schema))
	if behind.Size() != own.Size() || !bytes.Equal(behind.AppendTo([]byte("file")), want) {
		t.Errorf("size %d, want %d, or other bytes", behind.Size(), own.Size())
	}
	if got := behind.End(); !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := AppendDataBlock([]byte("file"), instant, schema).End(); string(got) != "file" {
		t.Errorf("an empty block is %q", got)
	}
}
