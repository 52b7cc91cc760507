package avroscan

// op is what an instruction does.
type op uint8

const (
	opBool op = iota
	opInt
	opLong
	opFixed // size bytes: fixed, float, double
	opBytes
	opString
	opEnum    // an index below size
	opRecord  // begins a record whose place or absence matters; the record's code follows, up to next
	opArray   // the item's code follows, up to next
	opMap     // the value's code follows, up to next
	opUnion   // one of unions[size]; the code of all branches follows, up to next
	opEnd     // ends the record of the slot
	opNothing // null as a branch of a union
)

// instr is one step of a program.
type instr struct {
	op        op
	nullIndex int8  // of a nullable union's null, -1 when the value is no nullable union
	slot      int32 // that gets the span, -1 for none
	slotsEnd  int32 // of opRecord: the slots from slot+1 to here lie inside
	size      int32
	next      int32 // the instruction after this one and its body
}

// branch is the code of one branch of a union: [from, to).
type branch struct{ from, to int32 }

type compiler struct{ p *Program }

// record emits the code of a record's fields. They get slots when the record occurs once per event.
func (c *compiler) record(t *Type, path string, parent int, single bool) {
	for i := range t.Fields {
		f := &t.Fields[i]
		fieldPath := f.Name
		if path != "" {
			fieldPath = path + "." + f.Name
		}
		slot := -1
		if single {
			slot = c.slot(f, fieldPath, parent)
		}
		c.value(f.Type, fieldPath, slot)
	}
}

func (c *compiler) slot(f *Field, path string, parent int) int {
	value, nullIndex := f.Type.Optional()
	index := len(c.p.slots)
	c.p.slots = append(c.p.slots, Slot{
		Index: index, Path: path, Type: value, Nullable: nullIndex >= 0, NullIndex: nullIndex,
		Props: f.Props, Default: f.Default, HasDefault: f.HasDefault, Parent: parent,
	})
	return index
}

// emit appends an instruction and returns its place.
func (c *compiler) emit(in instr, path string) int {
	at := len(c.p.code)
	in.next = int32(at + 1)
	c.p.code = append(c.p.code, in)
	c.p.paths = append(c.p.paths, path)
	return at
}

// close marks the body of an instruction as ended here.
func (c *compiler) close(at int) { c.p.code[at].next = int32(len(c.p.code)) }

// value emits the code of one value. A slot of -1 means that nobody asks where it lies.
func (c *compiler) value(t *Type, path string, slot int) {
	t, nullIndex := t.Optional()
	in := instr{nullIndex: int8(nullIndex), slot: int32(slot)}
	switch t.Kind {
	case Null:
		in.op = opNothing
	case Boolean:
		in.op = opBool
	case Int:
		in.op = opInt
	case Long:
		in.op = opLong
	case Float:
		in.op, in.size = opFixed, 4
	case Double:
		in.op, in.size = opFixed, 8
	case Bytes:
		in.op = opBytes
	case String:
		in.op = opString
	case Fixed:
		in.op, in.size = opFixed, int32(t.Size)
	case Enum:
		in.op, in.size = opEnum, int32(len(t.Symbols))
	case Array:
		c.container(in, opArray, t.Items, path)
		return
	case Map:
		c.container(in, opMap, t.Values, path)
		return
	case Union:
		c.union(in, t, path)
		return
	case Record:
		c.recordValue(in, t, path)
		return
	}
	c.emit(in, path)
}

func (c *compiler) container(in instr, o op, element *Type, path string) {
	in.op = o
	at := c.emit(in, path)
	c.value(element, path+"[]", -1)
	c.close(at)
}

func (c *compiler) union(in instr, t *Type, path string) {
	in.op, in.size = opUnion, int32(len(c.p.unions))
	branches := make([]branch, len(t.Branches))
	c.p.unions = append(c.p.unions, branches)
	at := c.emit(in, path)
	for i, b := range t.Branches {
		branches[i].from = int32(len(c.p.code))
		c.value(b, path, -1)
		branches[i].to = int32(len(c.p.code))
	}
	c.close(at)
}

func (c *compiler) recordValue(in instr, t *Type, path string) {
	if in.slot < 0 && in.nullIndex < 0 {
		c.record(t, path, -1, false)
		return
	}
	in.op = opRecord
	at := c.emit(in, path)
	c.record(t, path, int(in.slot), in.slot >= 0)
	c.p.code[at].slotsEnd = int32(len(c.p.slots))
	if in.slot >= 0 {
		c.emit(instr{op: opEnd, nullIndex: -1, slot: in.slot}, path)
	}
	c.close(at)
}
