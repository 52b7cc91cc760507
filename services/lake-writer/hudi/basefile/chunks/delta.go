package chunks

import "encoding/binary"

// maxBlock bounds a delta block: writers make 128 values.
const maxBlock = 1 << 20

// deltas decodes DELTA_BINARY_PACKED (Encodings.md): at most limit values, appended to dst. It returns what comes behind them.
func deltas(dst []int64, b []byte, limit int) (_ []int64, rest []byte, err error) {
	d := deltaReader{b: b}
	block, minis, total := d.uvarint(), d.uvarint(), d.uvarint()
	value := d.varint()
	if d.bad || block == 0 || block > maxBlock || block%128 != 0 || minis == 0 || block%minis != 0 || block/minis%32 != 0 {
		return dst, nil, damaged("delta blocks of %d values in %d parts", block, minis)
	}
	if total > uint64(limit) {
		return dst, nil, damaged("%d delta values, at most %d are possible", total, limit)
	}
	if total == 0 {
		return dst, d.b, nil
	}
	dst = append(dst, value)
	left, mini := int(total)-1, int(block/minis)
	for left > 0 {
		least := d.varint()
		widths := d.take(int(minis))
		if d.bad {
			return dst, nil, damaged("delta block cut short")
		}
		for _, width := range widths {
			if left == 0 {
				break
			}
			if width > 64 {
				return dst, nil, damaged("deltas of %d bits", width)
			}
			packed := d.take(mini * int(width) / 8)
			if d.bad {
				return dst, nil, damaged("delta block cut short")
			}
			n := min(left, mini)
			dst, value = appendDeltas(dst, packed, n, uint(width), least, value)
			left -= n
		}
	}
	return dst, d.b, nil
}

// appendDeltas appends n values, each its packed delta and least above the one before.
func appendDeltas(dst []int64, packed []byte, n int, width uint, least, value int64) ([]int64, int64) {
	if width == 0 {
		for range n {
			value += least
			dst = append(dst, value)
		}
		return dst, value
	}
	mask := ^uint64(0) >> (64 - width)
	i := 0
	if width <= 57 { // a value is within the eight bytes from where it begins
		for ; i < n; i++ {
			at := uint(i) * width
			if int(at>>3)+8 > len(packed) {
				break
			}
			value += least + int64(binary.LittleEndian.Uint64(packed[at>>3:])>>(at&7)&mask)
			dst = append(dst, value)
		}
	}
	for ; i < n; i++ {
		at := uint(i) * width
		var b [16]byte
		copy(b[:], packed[at>>3:])
		low, high := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
		x := low >> (at & 7)
		if at&7 > 0 {
			x |= high << (64 - at&7)
		}
		value += least + int64(x&mask)
		dst = append(dst, value)
	}
	return dst, value
}

type deltaReader struct {
	b   []byte
	bad bool
}

func (d *deltaReader) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *deltaReader) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *deltaReader) take(n int) []byte {
	if n > len(d.b) {
		d.bad = true
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}
