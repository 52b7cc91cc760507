package chunks

import (
	"encoding/binary"
	"math/bits"
)

// hybrid decodes Parquet's mix of run lengths and bit packing (Encodings.md, RLE = 3), any number of values at a time.
type hybrid struct {
	b     []byte
	width int

	repeat uint64 // of the current run
	value  int32
	packed []byte // of the current packed run: whole groups of eight
	group  [8]int32
	ready  int // the last so many of group are next
}

func newHybrid(b []byte, width int) (hybrid, error) {
	if width < 0 || width > 32 {
		return hybrid{}, damaged("values of %d bits", width)
	}
	return hybrid{b: b, width: width}, nil
}

// next begins the next run.
func (h *hybrid) next() error {
	head, n := binary.Uvarint(h.b)
	if n <= 0 {
		return damaged("run without a header")
	}
	h.b = h.b[n:]
	if head&1 == 0 {
		size := (h.width + 7) / 8
		if len(h.b) < size {
			return damaged("run without a value")
		}
		var value [4]byte
		copy(value[:], h.b[:size])
		h.repeat, h.value = head>>1, int32(binary.LittleEndian.Uint32(value[:]))
		h.b = h.b[size:]
		return nil
	}
	if h.width == 0 {
		h.repeat, h.value = min(head>>1, 1<<32)*8, 0
		return nil
	}
	// Some writers cut the last group short, so what is missing is zero.
	size := min(head>>1, uint64(len(h.b))+1) * uint64(h.width)
	if size > uint64(len(h.b)) {
		whole := (len(h.b) + h.width - 1) / h.width * h.width
		h.packed = append(h.b[:len(h.b):len(h.b)], make([]byte, whole-len(h.b))...)
		h.b = nil
		return nil
	}
	h.packed, h.b = h.b[:size], h.b[size:]
	return nil
}

// decode fills dst.
func (h *hybrid) decode(dst []int32) error {
	for len(dst) > 0 {
		switch {
		case h.ready > 0:
			n := copy(dst, h.group[8-h.ready:])
			h.ready -= n
			dst = dst[n:]
		case h.repeat > 0:
			n := int(min(h.repeat, uint64(len(dst))))
			run := dst[:n]
			for i := range run {
				run[i] = h.value
			}
			h.repeat -= uint64(n)
			dst = dst[n:]
		case len(h.packed) > 0:
			if groups := min(len(dst)/8, len(h.packed)/h.width); groups > 0 {
				unpack(dst[:groups*8], h.packed, h.width)
				h.packed, dst = h.packed[groups*h.width:], dst[groups*8:]
				continue
			}
			unpack(h.group[:], h.packed, h.width)
			h.packed, h.ready = h.packed[h.width:], 8
		default:
			if err := h.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpack reads groups of eight values of width bits, 1 to 32. src holds all of them.
func unpack(dst []int32, src []byte, width int) {
	for len(dst) > 0 {
		var tail [40]byte // a group, and room for loads of eight bytes behind it
		if len(src) < width+8 {
			copy(tail[:], src[:width])
			unpackGroup((*[8]int32)(dst), tail[:], width)
			src, dst = src[width:], dst[8:]
			continue
		}
		unpackGroup((*[8]int32)(dst), src, width)
		src, dst = src[width:], dst[8:]
	}
}

// unpackGroup reads eight values; src goes on for eight bytes behind them.
func unpackGroup(dst *[8]int32, src []byte, width int) {
	w := uint(width)
	mask := uint64(1)<<w - 1
	switch {
	case w <= 8:
		x := binary.LittleEndian.Uint64(src)
		dst[0], dst[1], dst[2], dst[3] = int32(x&mask), int32(x>>w&mask), int32(x>>(2*w)&mask), int32(x>>(3*w)&mask)
		x >>= 4 * w
		dst[4], dst[5], dst[6], dst[7] = int32(x&mask), int32(x>>w&mask), int32(x>>(2*w)&mask), int32(x>>(3*w)&mask)
	case w <= 16:
		x := binary.LittleEndian.Uint64(src)
		dst[0], dst[1], dst[2], dst[3] = int32(x&mask), int32(x>>w&mask), int32(x>>(2*w)&mask), int32(x>>(3*w)&mask)
		x = binary.LittleEndian.Uint64(src[w/2:]) >> (4 * w & 7)
		dst[4], dst[5], dst[6], dst[7] = int32(x&mask), int32(x>>w&mask), int32(x>>(2*w)&mask), int32(x>>(3*w)&mask)
	default:
		for i := range dst {
			at := uint(i) * w
			dst[i] = int32(binary.LittleEndian.Uint64(src[at>>3:]) >> (at & 7) & mask)
		}
	}
}

// levels decodes n levels of at most full into dst, one byte each. same reports that all are full, in one run; dst is not filled then.
func levels(dst []byte, b []byte, n int, full byte) (_ []byte, same bool, err error) {
	h, err := newHybrid(b, bits.Len8(full))
	if err != nil {
		return dst, false, err
	}
	var some [512]int32
	for left := n; left > 0; {
		if left == n {
			if err := h.next(); err != nil {
				return dst, false, err
			}
			if h.repeat >= uint64(n) && byte(h.value) == full && h.value == int32(full) {
				return dst, true, nil
			}
		}
		part := some[:min(left, len(some))]
		if err := h.decode(part); err != nil {
			return dst, false, err
		}
		for _, v := range part {
			if uint32(v) > uint32(full) {
				return dst, false, damaged("level %d, at most %d is possible", v, full)
			}
			dst = append(dst, byte(v))
		}
		left -= len(part)
	}
	return dst, false, nil
}
