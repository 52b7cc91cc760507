// Package avroscan compiles an Avro schema into a flat program that walks the binary body of one event: it checks that the
// bytes are well formed and within limits, and reports where the fields lie, without decoding anything and without allocating.
//
// It owns the schema parser for that purpose, the walk, the encoders of primitive values and the read-only type tree that
// transcoders use. It knows no field by name and nothing of roles, classes or registries: what a property means is for its
// callers. It does not resolve one schema against another, and it is not a decoder.
//
// What a walk checks, and what libraries let through (measured on hamba/avro 2.31, goavro 2.15 and twmb/avro 1.9): every
// truncation, bytes after the last field, text that is not UTF-8, an int beyond 32 bits, a boolean byte other than 0 and 1,
// enum and union indexes out of range, negative and oversized lengths, block counts that promise more than the limits allow,
// and block byte sizes that do not match the block.
//
// What it takes because the specification and the Java implementation take it: varints longer than necessary, blocks with
// a byte size, several blocks per array or map, and a map key that occurs twice.
package avroscan

import (
	"fmt"
	"strconv"
)

// Cause classifies why the bytes of an event are refused.
type Cause uint8

// The causes of a refusal.
const (
	// Malformed is an encoding that ends early or holds a bad length, boolean, index, count or block size.
	Malformed Cause = iota + 1
	// OutOfRange is an int whose value does not fit 32 bits.
	OutOfRange
	// Trailing is bytes after the last field.
	Trailing
	// TooLarge is an event, or one string or bytes value, over its size limit.
	TooLarge
	// TooDeep is more elements in arrays and maps than the limit of one event allows.
	TooDeep
	// InvalidUTF8 is a string, or a key of a map, that is not UTF-8.
	InvalidUTF8
)

func (c Cause) String() string {
	switch c {
	case Malformed:
		return "malformed"
	case OutOfRange:
		return "out of range"
	case Trailing:
		return "trailing bytes"
	case TooLarge:
		return "too large"
	case TooDeep:
		return "too many elements"
	case InvalidUTF8:
		return "invalid UTF-8"
	}
	return "cause " + strconv.Itoa(int(c))
}

// Error says why and where a body was refused. Its text never quotes the body: events hold personal data.
type Error struct {
	Cause Cause
	// Path names the field, as "error.code" or "audio_tracks[3]"; entries of maps are numbered, since keys are data. It is
	// empty when the cause is not in a field.
	Path string
	// Offset is the place in the body, in bytes, where the refused value or the missing bytes begin.
	Offset int
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("avro body: %s at byte %d", e.Cause, e.Offset)
	}
	return fmt.Sprintf("avro body: field %s: %s at byte %d", e.Path, e.Cause, e.Offset)
}

// SchemaError says why a schema cannot be used. Path is the place in the schema's type tree, in the form of Error.Path
// with [] for items of arrays and values of maps.
type SchemaError struct {
	Path   string
	Reason string
}

func (e *SchemaError) Error() string {
	if e.Path == "" {
		return "avro schema: " + e.Reason
	}
	return fmt.Sprintf("avro schema: %s: %s", e.Path, e.Reason)
}

// SchemaLimits bounds what Compile takes. A zero value of a field means its default.
type SchemaLimits struct {
	// MaxBytes is the size of the schema's text, 512 KiB by default.
	MaxBytes int
	// MaxFields counts fields of records after named types are expanded at each use, 2000 by default.
	MaxFields int
	// MaxDepth is the nesting of records, arrays and maps, 32 by default.
	MaxDepth int
}

// Limits bounds what Scan takes. A zero value of a field means its default.
type Limits struct {
	// MaxEventBytes is the size of a body, 256 KiB by default.
	MaxEventBytes int
	// MaxValueBytes is the size of one string or bytes value and of a map key, 256 KiB by default.
	MaxValueBytes int
	// MaxElements counts array items and map entries of one event together, 10,000 by default.
	MaxElements int
	// MaxDepth is the nesting of records, arrays and maps in one event, 32 by default. Types that contain themselves are
	// refused, so the nesting of an event is that of its schema, and Compile enforces this limit.
	MaxDepth int
}

// Options are Compile's limits.
type Options struct {
	SchemaLimits SchemaLimits
	Limits       Limits
}

func (o Options) withDefaults() Options {
	setDefault(&o.SchemaLimits.MaxBytes, 512<<10)
	setDefault(&o.SchemaLimits.MaxFields, 2000)
	setDefault(&o.SchemaLimits.MaxDepth, 32)
	setDefault(&o.Limits.MaxEventBytes, 256<<10)
	setDefault(&o.Limits.MaxValueBytes, 256<<10)
	setDefault(&o.Limits.MaxElements, 10_000)
	setDefault(&o.Limits.MaxDepth, 32)
	return o
}

func setDefault(v *int, value int) {
	if *v == 0 {
		*v = value
	}
}

// Slot is a field that occurs at most once in an event: it is reachable from the root through records and nullable unions
// only. Slots are numbered depth first, a record before its fields.
type Slot struct {
	Index int
	// Path joins the names from the root, as "network.ip".
	Path string
	// Type is the type of the value; of a nullable union the branch that is not null.
	Type *Type
	// Nullable says that the field is a union of null and one other type; NullIndex is then the index of null in it, else -1.
	Nullable  bool
	NullIndex int
	// Props are the field's properties with a name that begins with "playhead." and a text as value.
	Props map[string]string
	// Default is the field's default value in Avro binary, union index included, when HasDefault is set.
	Default    []byte
	HasDefault bool
	// Parent is the index of the enclosing record's slot, -1 for a field of the root.
	Parent int
}

// Span is where a slot lies in a body.
type Span struct {
	// Start and End bound the field's bytes, union index included. Both are -1 when the enclosing record is absent.
	Start, End int
	// Value is where the value begins: Start when the type is no union, else after the union index. It is -1 when the
	// value is null or the enclosing record is absent.
	Value int
}

// Program is a compiled schema. It is immutable and safe for concurrent use.
type Program struct {
	root   *Type
	slots  []Slot
	byPath map[string]int
	code   []instr
	paths  []string // of the field each instruction belongs to
	unions [][]branch
	limits Limits
}

// Compile parses a schema whose root is a record. It refuses, with a *SchemaError, what is not valid Avro, what is over the
// limits, types that contain themselves, and types that take no bytes (a bare null, a fixed of size 0, a record without
// fields): with the last two an event of a few bytes could cost unbounded work.
func Compile(schema []byte, o Options) (*Program, error) {
	o = o.withDefaults()
	root, err := parseSchema(schema, o)
	if err != nil {
		return nil, err
	}
	c := compiler{p: &Program{root: root, limits: o.Limits}}
	c.record(root, "", -1, true)
	p := c.p
	p.byPath = make(map[string]int, len(p.slots))
	for i, s := range p.slots {
		p.byPath[s.Path] = i
	}
	return p, nil
}

// Slots returns all slots in their order. The caller must not change them.
func (p *Program) Slots() []Slot { return p.slots }

// Slot finds a slot's index by its path.
func (p *Program) Slot(path string) (int, bool) {
	i, ok := p.byPath[path]
	return i, ok
}

// Root returns the type tree, which the caller must not change.
func (p *Program) Root() *Type { return p.root }
