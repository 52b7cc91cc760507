package logfile

import (
	"encoding/binary"
	"strconv"
)

// Meta are the meta fields that every record begins with, in their order (HoodieRecord.HOODIE_META_COLUMNS).
type Meta struct {
	CommitTime string // the instant that wrote the record
	SeqNo      string
	Key        string // record key
	Partition  string
	FileID     string // _hoodie_file_name: in logs the file group
}

// metaFields is the number of meta fields.
const metaFields = 5

// AppendMeta appends the meta fields as Avro: each is a union of null and string.
func AppendMeta(dst []byte, m Meta) []byte {
	for _, s := range [metaFields]string{m.CommitTime, m.SeqNo, m.Key, m.Partition, m.FileID} {
		dst = appendText(dst, s)
	}
	return dst
}

// appendNumbered is AppendMeta of a sequence number that ends with a row's number.
func appendNumbered(dst []byte, m Meta, row int64) []byte {
	var digits [20]byte
	number := strconv.AppendInt(digits[:0], row, 10)
	dst = appendText(dst, m.CommitTime)
	dst = binary.AppendVarint(append(dst, 2), int64(len(m.SeqNo)+len(number)))
	dst = append(append(dst, m.SeqNo...), number...)
	for _, s := range [...]string{m.Key, m.Partition, m.FileID} {
		dst = appendText(dst, s)
	}
	return dst
}

// SplitMeta takes the meta fields off a datum; null comes as "". The payload aliases the datum. The five texts share one piece of memory,
// which lives as long as any of them.
func SplitMeta(datum []byte) (m Meta, payload []byte, err error) {
	var bounds [metaFields][2]int
	r := avroReader{data: datum}
	for i := range bounds {
		if text := r.nullableBytes(); text != nil {
			bounds[i] = [2]int{r.pos - len(text), r.pos}
		}
	}
	if r.bad != "" {
		return Meta{}, nil, corrupt(int64(r.pos), "meta fields: %s", r.bad)
	}
	head := string(datum[:r.pos])
	text := func(i int) string { return head[bounds[i][0]:bounds[i][1]] }
	m = Meta{CommitTime: text(0), SeqNo: text(1), Key: text(2), Partition: text(3), FileID: text(4)}
	return m, datum[r.pos:len(datum):len(datum)], nil
}

// appendText appends a string as the second branch of a union with null.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, 2)
	dst = binary.AppendVarint(dst, int64(len(s)))
	return append(dst, s...)
}
