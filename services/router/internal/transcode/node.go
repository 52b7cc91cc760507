package transcode

import (
	"sync/atomic"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// node is a type, prepared for reading its values.
type node struct {
	kind avroscan.Kind
	// nullIndex is that of null in a nullable union, -1 for other types. The other index is then the value's.
	nullIndex int
	// single says that the type is a union of one branch, whose index 0 precedes the value.
	single bool
	// perSecond is the unit of a timestamp, 0 for other types.
	perSecond        int64
	decimal          bool
	precision, scale int
	size             int // of a fixed
	symbols          map[string]int64
	record           *record
	element          *node // of an array or a map
}

// record is a record type. Its fields are in the order of the schema.
type record struct {
	fields []field
	byName map[string]int
	// after[i+1] is the field that came after field i the last time its successor was not the expected one; after[0] is the
	// first of the object. Producers keep their order, so the guess is nearly always right, and it is only a guess.
	after []atomic.Int32
}

type field struct {
	name string
	node *node
	// fallback is the encoded value of a field that is left out; nil when it must be there.
	fallback []byte
}

// builder makes nodes of types. A named type becomes one record however often it is used.
type builder struct {
	records map[*avroscan.Type]*record
}

func (b builder) record(t *avroscan.Type) *record {
	if r, ok := b.records[t]; ok {
		return r
	}
	r := &record{
		fields: make([]field, len(t.Fields)), byName: make(map[string]int, len(t.Fields)), after: make([]atomic.Int32, len(t.Fields)+1),
	}
	b.records[t] = r
	for i, f := range t.Fields {
		n := b.node(f.Type)
		r.fields[i] = field{name: f.Name, node: n}
		switch {
		case f.HasDefault:
			r.fields[i].fallback = f.Default
		case n.nullIndex >= 0:
			r.fields[i].fallback = avroscan.AppendLong(nil, int64(n.nullIndex))
		}
		r.byName[f.Name] = i
		r.after[i].Store(int32(i)) // the schema's order
	}
	return r
}

var perSecond = map[string]int64{
	"timestamp-millis": 1e3, "timestamp-micros": 1e6, "timestamp-nanos": 1e9,
}

func (b builder) node(t *avroscan.Type) *node {
	value, nullIndex := t.Optional()
	single := value.Kind == avroscan.Union && len(value.Branches) == 1
	if single {
		value = value.Branches[0]
	}
	n := &node{
		kind: value.Kind, nullIndex: nullIndex, single: single, perSecond: perSecond[value.Logical],
		decimal: value.Logical == "decimal", precision: value.Precision, scale: value.Scale, size: value.Size,
	}
	switch value.Kind {
	case avroscan.Record:
		n.record = b.record(value)
	case avroscan.Array:
		n.element = b.node(value.Items)
	case avroscan.Map:
		n.element = b.node(value.Values)
	case avroscan.Enum:
		n.symbols = make(map[string]int64, len(value.Symbols))
		for i, symbol := range value.Symbols {
			n.symbols[symbol] = int64(i)
		}
	}
	return n
}
