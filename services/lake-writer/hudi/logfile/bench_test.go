package logfile

import (
	"bytes"
	"testing"
)

var benchMeta = Meta{
	CommitTime: "20260101000000000", SeqNo: "20260101000000000_0_123456", Key: "session_id:s-00005,event_id:e-0002",
	Partition: "2026-11-22/08", FileID: "00000001-560e-436a-9ea1-c078b41c73f6-0",
}

// benchPayload makes datums of about 350 bytes, with a block of benchRecords of them.
var benchPayload = bytes.Repeat([]byte("p"), 216)

const benchRecords = 10_000

func benchBlock() *DataBlock {
	d := NewDataBlock("20260101000000000", "{}")
	for range benchRecords {
		d.Add(benchMeta, benchPayload)
	}
	return d
}

// BenchmarkAppend is one record into a block; the block is written out each time that it has benchRecords.
func BenchmarkAppend(b *testing.B) {
	d := benchBlock()
	file := d.AppendTo(nil)
	d.Reset()
	b.SetBytes(int64(len(AppendMeta(nil, benchMeta)) + len(benchPayload)))
	b.ReportAllocs()
	for b.Loop() {
		if d.Add(benchMeta, benchPayload); d.Len() == benchRecords {
			file = d.AppendTo(file[:0])
			d.Reset()
		}
	}
}

// BenchmarkRead is a block of benchRecords, each with its meta fields split off.
func BenchmarkRead(b *testing.B) {
	file := benchBlock().AppendTo(nil)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		for block, err := range Scan(bytes.NewReader(file), int64(len(file)), ScanOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			for datum, err := range Records(block) {
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := SplitMeta(datum); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// Adding a record takes no memory once the buffer has grown.
func TestAppendAllocatesNothing(t *testing.T) {
	d := benchBlock()
	file := d.AppendTo(nil)
	if n := testing.AllocsPerRun(10, func() {
		d.Reset()
		for range benchRecords {
			d.Add(benchMeta, benchPayload)
		}
		file = d.AppendTo(file[:0])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
