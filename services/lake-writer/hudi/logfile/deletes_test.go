package logfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

// A delete block of Spark's for a table of version 9, whose schema has 1657 bytes.
func TestDeleteBlockOfSpark(t *testing.T) {
	t.Parallel()
	schema := strings.Repeat("s", 1657)
	b := DeleteBlock("20260307162705410", schema, []DeleteRecord{{Key: "TXN-002", Ordering: IntOrdering(0)}})
	end := fromHex(t, `00000000 00000017 00000003 0000000f 02 02 0e 'TXN-002' 02 00 04 00 00 00000000 00000000 000006d7`)
	file := AppendBlock(nil, b)
	if len(file) != 1759 || binary.BigEndian.Uint64(file[lengthAt:]) != 0x6d1 || !bytes.HasSuffix(file, end) {
		t.Errorf("wrote %d bytes ending %x, want %x", len(file), file[len(file)-len(end):], end)
	}
	spark := one(t, golden(t, "v9-delete"))
	got, err := Deletes(spark)
	want := []DeleteRecord{{Key: "TXN-005", Ordering: IntOrdering(0)}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if ours := DeleteBlock(spark.Instant(), spark.Header[Schema], want); !bytes.Equal(ours.Content, spark.Content) {
		t.Errorf("wrote %x, want %x", ours.Content, spark.Content)
	}
}

func TestDeletesOfSeveralKeys(t *testing.T) {
	t.Parallel()
	spark := one(t, golden(t, "v6-delete"))
	got, err := Deletes(spark)
	if err != nil || len(got) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[1].Key != "9909a8b1-2d15-4d3d-8ec9-efc48c536a00" || got[1].Partition != "city=san_francisco" || !got[1].Ordering.ByCommitTime() {
		t.Errorf("got %+v", got[1])
	}
	if ours := DeleteBlock("", "", got); !bytes.Equal(ours.Content, spark.Content) {
		t.Errorf("wrote %x, want %x", ours.Content, spark.Content)
	}
}

// The contents are what HoodieDeleteBlock of Hudi 1.2.0 made of records with the key k, the partition p and these ordering values.
func TestOrderingsAsHudiWritesThem(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		content string
		values  []Ordering
	}{
		"no record": {"000000030000000100", nil},
		"null":      {"00000003000000090202026b0202700000", []Ordering{{}}},
		"boolean":   {"000000030000000a0202026b020270020100", []Ordering{BoolOrdering(true)}},
		"int":       {"000000030000000a0202026b020270040d00", []Ordering{IntOrdering(-7)}},
		"long":      {"00000003000000110202026b02027006808991e288d2a30600", []Ordering{LongOrdering(1767225600123456)}},
		"float":     {"000000030000000d0202026b020270080000c03f00", []Ordering{FloatOrdering(1.5)}},
		"double":    {"00000003000000110202026b0202700a00000000000002c000", []Ordering{DoubleOrdering(-2.25)}},
		"bytes":     {"000000030000000c0202026b0202700c0401ff00", []Ordering{BytesOrdering([]byte{1, 255})}},
		"string":    {"000000030000000c0202026b0202700e04c38400", []Ordering{StringOrdering("Ä")}},
		"date":      {"000000030000000c0202026b02027010ccbf0200", []Ordering{DateOrdering(20454)}},
		"decimal -12.34": {
			"00000003000000110202026b020270120ed428d5db78c00000",
			[]Ordering{DecimalOrdering([]byte{0xd4, 0x28, 0xd5, 0xdb, 0x78, 0xc0, 0})},
		},
		"timestamp": {"00000003000000110202026b02027016808082e288d2a30600", []Ordering{TimestampMicrosOrdering(1767225600000000)}},
		"two fields": {
			"00000003000000110202026b020270180204060a0e02780000",
			[]Ordering{ArrayOrdering(LongOrdering(5), StringOrdering("x"))},
		},
		"two fields with a date": {
			"00000003000000120202026b02027018020418ccbf0204060000",
			[]Ordering{ArrayOrdering(LocalDateOrdering(20454), IntOrdering(3))},
		},
		"two records": {"00000003000000120402026b020270060202026b020270060400", []Ordering{LongOrdering(1), LongOrdering(2)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := fromHex(t, test.content)
			var records []DeleteRecord
			for _, o := range test.values {
				records = append(records, DeleteRecord{Key: "k", Partition: "p", Ordering: o})
			}
			b := DeleteBlock("20260101000000000", "", records)
			if !bytes.Equal(b.Content, content) {
				t.Errorf("wrote %x, want %x", b.Content, content)
			}
			if got, err := Deletes(&Block{Type: Delete, Content: content}); err != nil || !reflect.DeepEqual(got, records) {
				t.Errorf("read %+v, %v, want %+v", got, err, records)
			}
		})
	}
}

func TestOrderingValues(t *testing.T) {
	t.Parallel()
	if o := FloatOrdering(-1.5); o.Float64() != -1.5 {
		t.Errorf("float %v", o.Float64())
	}
	if o := DoubleOrdering(math.Pi); o.Float64() != math.Pi {
		t.Errorf("double %v", o.Float64())
	}
	if o := TimeMicrosOrdering(-3); o.Int64() != -3 {
		t.Errorf("time %d", o.Int64())
	}
	if o := StringOrdering("x"); o.Text() != "x" {
		t.Errorf("string %q", o.Text())
	}
	if o := ArrayOrdering(IntOrdering(1)); len(o.Items()) != 1 {
		t.Errorf("array %v", o.Items())
	}
	for _, o := range []Ordering{{}, IntOrdering(0)} {
		if !o.ByCommitTime() {
			t.Errorf("%+v is conditional", o)
		}
	}
	for _, o := range []Ordering{IntOrdering(1), LongOrdering(0), DateOrdering(0)} {
		if o.ByCommitTime() {
			t.Errorf("%+v is unconditional", o)
		}
	}
}

// Each list ascends as Java's compareTo orders.
func TestOrderingCompare(t *testing.T) {
	t.Parallel()
	negZero := math.Copysign(0, -1)
	lists := map[string][]Ordering{
		"bool":   {BoolOrdering(false), BoolOrdering(true)},
		"int":    {IntOrdering(math.MinInt32), IntOrdering(0), IntOrdering(7)},
		"long":   {LongOrdering(math.MinInt64), LongOrdering(-1), LongOrdering(math.MaxInt64)},
		"float":  {FloatOrdering(-2), FloatOrdering(1), FloatOrdering(float32(math.NaN()))},
		"double": {DoubleOrdering(math.Inf(-1)), DoubleOrdering(-1), DoubleOrdering(negZero), DoubleOrdering(0), DoubleOrdering(math.Inf(1)), DoubleOrdering(math.NaN())},
		"bytes":  {BytesOrdering(nil), BytesOrdering([]byte{0xff}), BytesOrdering([]byte{1}), BytesOrdering([]byte{1, 0x80}), BytesOrdering([]byte{1, 0})},
		"string": {StringOrdering(""), StringOrdering("a"), StringOrdering("aa"), StringOrdering("\ud7ff"), StringOrdering("\U00010000"), StringOrdering("\ue000"), StringOrdering("\uffff")},
		"decimal": {
			DecimalOrdering([]byte{0x80, 0}), DecimalOrdering([]byte{0xff}), DecimalOrdering(nil), DecimalOrdering([]byte{1}), DecimalOrdering([]byte{0, 0xff}),
		},
		"array": {
			ArrayOrdering(IntOrdering(1), StringOrdering("z")), ArrayOrdering(IntOrdering(2), StringOrdering("a")), ArrayOrdering(IntOrdering(2), StringOrdering("b")),
		},
	}
	for name, list := range lists {
		for i, a := range list {
			for j, b := range list {
				want := min(max(i-j, -1), 1)
				if got, ok := a.Compare(b); got != want || !ok {
					t.Errorf("%s: item %d to %d: %d, %v, want %d", name, i, j, got, ok, want)
				}
			}
		}
	}
	for _, pair := range [][2]Ordering{
		{IntOrdering(1), LongOrdering(1)},
		{{}, {}},
		{ArrayOrdering(IntOrdering(1)), ArrayOrdering(IntOrdering(1), IntOrdering(1))},
		{ArrayOrdering(IntOrdering(1), IntOrdering(1)), ArrayOrdering(IntOrdering(2), LongOrdering(1))},
	} {
		if _, ok := pair[0].Compare(pair[1]); ok {
			t.Errorf("%+v is comparable", pair)
		}
	}
}

// Java's Avro may write an array in several blocks, each with its length in bytes.
func TestDeletesInSeveralBlocks(t *testing.T) {
	t.Parallel()
	b := &Block{Type: Delete, Content: fromHex(t, `00000003 00000012 01 0e 02 02 'a' 02 00 06 02 02 02 02 'b' 02 00 06 04 00`)}
	got, err := Deletes(b)
	want := []DeleteRecord{{Key: "a", Ordering: LongOrdering(1)}, {Key: "b", Ordering: LongOrdering(2)}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDeletesRefused(t *testing.T) {
	t.Parallel()
	for _, version := range []uint32{0, 1, 2, 4} {
		content := binary.BigEndian.AppendUint32(nil, version)
		content = append(content, 0, 0, 0, 1, 0)
		var unsupported *UnsupportedError
		if _, err := Deletes(&Block{Type: Delete, Content: content}); !errors.As(err, &unsupported) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	var unsupported *UnsupportedError
	if _, err := Deletes(&Block{Type: AvroData}); !errors.As(err, &unsupported) {
		t.Errorf("data block: %v", err)
	}
}

func TestDeletesDamaged(t *testing.T) {
	t.Parallel()
	whole := one(t, golden(t, "v6-delete")).Content
	check := func(what string, content []byte) {
		t.Helper()
		b := &Block{Type: Delete, ContentOffset: 1000, Content: content}
		var damage *CorruptError
		if _, err := Deletes(b); !errors.As(err, &damage) {
			t.Errorf("%s: %v", what, err)
		} else if damage.Offset < 1000 || damage.Offset > 1000+int64(len(content)) {
			t.Errorf("%s: %v is not within the content", what, err)
		}
	}
	for cut := range whole {
		check("cut", whole[:cut])
		if cut >= 8 { // the same with a length that agrees
			content := bytes.Clone(whole[:cut])
			binary.BigEndian.PutUint32(content[4:], uint32(cut-8))
			check("cut with length", content)
		}
	}
	for what, data := range map[string]string{
		"no key":                 "02 00 0200 0400 00",
		"branch of a key":        "02 04 0200 0400 00",
		"branch of a partition":  "02 0202'k' 04 0400 00",
		"branch of an ordering":  "02 0202'k' 0200 1a 00",
		"negative branch":        "02 0202'k' 0200 01 00",
		"branch within an array": "02 0202'k' 0200 18 02 02 1a 00 00",
		"branch of an array":     "02 0202'k' 0200 18 04 00",
		"boolean of 2":           "02 0202'k' 0200 02 02 00",
		"int of 33 bits":         "02 0202'k' 0200 04 8080808020 00",
		"more behind":            "00 00",
		"count of items":         "feffffffffffffffff01 00",
		"lowest count of items":  "ffffffffffffffffff01 00 00",
	} {
		body := fromHex(t, data)
		content := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 3}, uint32(len(body)))
		check(what, append(content, body...))
	}
}

func TestDeleteBlockPanicsOnWhatTheFormatLacks(t *testing.T) {
	t.Parallel()
	for _, o := range []Ordering{LocalDateOrdering(1), ArrayOrdering(ArrayOrdering())} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "logfile: ") {
					t.Errorf("%+v: panic %q", o, text)
				}
			}()
			DeleteBlock("", "", []DeleteRecord{{Ordering: o}})
		}()
	}
}
