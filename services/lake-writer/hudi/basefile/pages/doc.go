// Package pages owns the encoding of Parquet column chunks: it takes the values of one column with their Dremel levels, cuts them
// into data pages of version 2, and gives the chunk's bytes with its statistics, column index and offset index.
//
// It knows no schema and writes no file: which columns there are, where chunks lie in the file, and the footer are the caller's.
// Its encodings are those that Spark's vectorised reader and hudi-rs read; it never leaves bounds away from a column index that is
// there, and never lets one be written that does not hold every value: filters of engines would drop rows without a word.
package pages

import (
	"github.com/parquet-go/parquet-go/format"
)

// Encoding is how values are laid down.
type Encoding uint8

// The encodings. Dictionary, DeltaLength and DeltaStrings are for byte arrays, Delta for int32 and int64.
const (
	Plain        Encoding = iota
	Dictionary            // RLE_DICTIONARY; PLAIN from where the dictionary is full; DELTA_LENGTH_BYTE_ARRAY of values that do not repeat
	Delta                 // DELTA_BINARY_PACKED
	DeltaLength           // DELTA_LENGTH_BYTE_ARRAY
	DeltaStrings          // DELTA_BYTE_ARRAY
)

func (e Encoding) format() format.Encoding {
	return [...]format.Encoding{format.Plain, format.RLEDictionary, format.DeltaBinaryPacked, format.DeltaLengthByteArray, format.DeltaByteArray}[e]
}

// Spec describes a column.
type Spec struct {
	Type     format.Type // all but INT96
	Size     int         // bytes of a FIXED_LEN_BYTE_ARRAY
	Signed   bool        // byte values are big-endian two's complement numbers, and so ordered
	Text     bool        // byte arrays are UTF-8
	MaxDef   int         // levels, at most 255
	MaxRep   int
	Encoding Encoding
}

// Options are the same for all columns of a file.
type Options struct {
	Compressor      *Compressor
	PageBytes       int // encoded bytes after which a page ends, with its row's batch
	PageRows        int // rows after which it does
	DictionaryBytes int // a dictionary does not grow beyond
	// NoBounds leaves bounds out of statistics, and the column index away: for readers that take every row.
	NoBounds bool
}

// Batch is a run of whole rows of a column. Values are 64 bits each: a boolean as 0 or 1, an integer, the bits of a float, or, of
// byte arrays, the place in Text (see Span). There is one value for each definition level that is the column's maximum.
type Batch struct {
	Reps, Defs []byte // not filled where the column's maximum is 0
	Values     []uint64
	Text       []byte
}

// Span is a place in a text, as a value.
func Span(offset, length int) uint64 { return uint64(offset)<<32 | uint64(length) }

func (b *Batch) bytes(span uint64) []byte {
	offset, length := span>>32, span&0xffffffff
	return b.Text[offset : offset+length : offset+length]
}
