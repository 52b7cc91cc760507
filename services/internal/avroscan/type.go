package avroscan

// Kind is an Avro type.
type Kind uint8

// The kinds of types.
const (
	Null Kind = iota
	Boolean
	Int
	Long
	Float
	Double
	Bytes
	String
	Fixed
	Enum
	Record
	Array
	Map
	Union
)

var kindNames = [...]string{
	Null: "null", Boolean: "boolean", Int: "int", Long: "long", Float: "float", Double: "double", Bytes: "bytes", String: "string",
	Fixed: "fixed", Enum: "enum", Record: "record", Array: "array", Map: "map", Union: "union",
}

// String returns the name that the Avro specification gives the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Type is a node of a schema's type tree. Which members are set depends on Kind. A named type that is used several times is
// one node with several parents; the tree has no cycles.
type Type struct {
	Kind Kind
	// Name is the full name of a record, enum or fixed.
	Name string
	// Fields are those of a record.
	Fields []Field
	// Items is the element type of an array, Values that of a map.
	Items, Values *Type
	// Branches are those of a union.
	Branches []*Type
	// Symbols are those of an enum.
	Symbols []string
	// Size is that of a fixed, in bytes.
	Size int
	// Logical is the logical type, or empty: one that does not fit the underlying type is ignored, as the specification
	// demands. Precision and Scale belong to a decimal.
	Logical          string
	Precision, Scale int
	// Props are the properties with a name that begins with "playhead." and a text as value.
	Props map[string]string

	fields int // fields of records below and including this node, named types expanded
	depth  int // nesting of records, arrays and maps, this node included
}

// Field is a field of a record.
type Field struct {
	Name string
	Type *Type
	// Props are the properties with a name that begins with "playhead." and a text as value.
	Props map[string]string
	// Default is the default value in Avro binary, union index included, when HasDefault is set.
	Default    []byte
	HasDefault bool
}

// Optional takes a union of null and one other type apart: it returns the other type and the index of null. Of any other
// type it returns the type itself and -1.
func (t *Type) Optional() (value *Type, nullIndex int) {
	if t.Kind == Union && len(t.Branches) == 2 {
		if t.Branches[0].Kind == Null {
			return t.Branches[1], 0
		}
		if t.Branches[1].Kind == Null {
			return t.Branches[0], 1
		}
	}
	return t, -1
}
