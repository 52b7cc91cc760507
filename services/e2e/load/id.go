package load

import (
	"encoding/hex"
	"regexp"
	"strconv"
)

// ID names one event of one run: its text is `r<run>-<source>-<n>`, all in hex of fixed width.
type ID struct {
	Run    uint32
	Source int
	N      uint64
}

// idLen is the length of an event id's text: "r" + 8 + "-" + 4 + "-" + 8.
const idLen = 23

var idPattern = regexp.MustCompile(`r[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{8}`)

// String returns the text that stands in the field event_id.
func (id ID) String() string { return string(id.append(make([]byte, 0, idLen))) }

func (id ID) append(dst []byte) []byte {
	dst = append(dst, 'r')
	dst = appendHex(dst, uint64(id.Run), 8)
	dst = append(dst, '-')
	dst = appendHex(dst, uint64(id.Source), 4)
	dst = append(dst, '-')
	return appendHex(dst, id.N, 8)
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	const alphabet = "0123456789abcdef"
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, alphabet[v>>shift&15])
	}
	return dst
}

// ParseID reads an event id. ok is false for ids that this package's generator did not make.
func ParseID(text string) (id ID, ok bool) {
	if len(text) != idLen || text[0] != 'r' || text[9] != '-' || text[14] != '-' {
		return ID{}, false
	}
	var run, source [4]byte
	if _, err := hex.Decode(run[:], []byte(text[1:9])); err != nil {
		return ID{}, false
	}
	if _, err := hex.Decode(source[:2], []byte(text[10:14])); err != nil {
		return ID{}, false
	}
	n, err := strconv.ParseUint(text[15:], 16, 64)
	if err != nil {
		return ID{}, false
	}
	return ID{
		Run:    uint32(run[0])<<24 | uint32(run[1])<<16 | uint32(run[2])<<8 | uint32(run[3]),
		Source: int(source[0])<<8 | int(source[1]),
		N:      n,
	}, true
}

// FindID looks for an event id anywhere in the bytes of a broken event.
func FindID(data []byte) (ID, bool) {
	found := idPattern.Find(data)
	if found == nil {
		return ID{}, false
	}
	return ParseID(string(found))
}
