package avroscan

import "math"

// logicalKinds are the logical types without parameters and the kind each annotates.
var logicalKinds = map[string]Kind{
	"date": Int, "time-millis": Int, "time-micros": Long,
	"timestamp-millis": Long, "timestamp-micros": Long, "timestamp-nanos": Long,
	"local-timestamp-millis": Long, "local-timestamp-micros": Long, "local-timestamp-nanos": Long,
}

// setLogical sets the logical type of a definition. One that is unknown or does not fit is ignored (Avro specification,
// "Logical Types").
func setLogical(t *Type, o object) {
	name, ok := o.text("logicalType")
	if !ok {
		return
	}
	switch kind, known := logicalKinds[name]; {
	case known && kind == t.Kind,
		name == "uuid" && (t.Kind == String || t.Kind == Fixed && t.Size == 16),
		name == "duration" && t.Kind == Fixed && t.Size == 12:
		t.Logical = name
	case name == "decimal" && (t.Kind == Bytes || t.Kind == Fixed):
		setDecimal(t, o)
	}
}

func setDecimal(t *Type, o object) {
	precision, ok := integer(o, "precision")
	if !ok || precision < 1 {
		return
	}
	scale := 0
	if _, present := o.get("scale"); present {
		if scale, ok = integer(o, "scale"); !ok || scale < 0 || scale > precision {
			return
		}
	}
	if t.Kind == Fixed && float64(precision) > math.Floor(math.Log10(2)*float64(8*t.Size-1)) {
		return // the digits do not fit the size
	}
	t.Logical, t.Precision, t.Scale = "decimal", precision, scale
}
