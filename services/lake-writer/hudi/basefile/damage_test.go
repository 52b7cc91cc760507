package basefile

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
)

func isFileError(err error) bool {
	_, ok := errors.AsType[*FileError](err)
	return ok
}

// A damaged page is noticed by its checksum, and every truncation by the footer.
func TestDamageIsNoticed(t *testing.T) {
	t.Parallel()
	cfg := testConfig("20261122080000000")
	whole := writeFile(t, cfg, inventRecords(t, 41, 0, 100))
	for length := range len(whole) {
		if length%97 != 0 && length < len(whole)-64 {
			continue
		}
		if _, err := OpenReader(bytes.NewReader(whole[:length]), int64(length)); !isFileError(err) {
			t.Fatalf("file cut to %d of %d bytes: %v", length, len(whole), err)
		}
	}
	r := openBytes(t, whole)
	first := r.file.Metadata().RowGroups[0].Columns[leafRecordKey].MetaData
	_, length, err := readPageHeader(bytes.NewReader(whole), first.DataPageOffset, int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	damaged[first.DataPageOffset+length+10] ^= 1
	if _, err := openBytes(t, damaged).Keys(); !isFileError(err) {
		t.Errorf("a flipped bit in a page: %v", err)
	}
	for at := range damaged {
		if at%401 != 0 {
			continue
		}
		copy(damaged, whole)
		damaged[at] ^= 0x55
		readAnything(t, damaged)
	}
}

// Numbers in a damaged file may ask for gigabytes; they do not get them.
func TestDamageAsksForNoMemory(t *testing.T) {
	cfg := testConfig("20261122080000000")
	whole := writeFile(t, cfg, inventRecords(t, 42, 0, 100))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := 0
	for at := 0; at+5 < len(whole); at += 211 {
		damaged := bytes.Clone(whole)
		copy(damaged[at:], []byte{0xfe, 0xff, 0xff, 0xff, 0x0f}) // a varint near 2^31
		readAnything(t, damaged)
		n++
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / uint64(n); each > 64<<20 {
		t.Errorf("%d MiB allocated per damaged file of %d bytes", each>>20, len(whole))
	}
}
