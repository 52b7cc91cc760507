package avroscan

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
)

// encodeDefault appends the binary form of a default value. The default of a union is one of its first branch, as in Avro
// before 1.12 and in the libraries that read our topics.
func (p *parser) encodeDefault(dst []byte, t *Type, v any) ([]byte, error) {
	if p.defaults+len(dst) > maxDefaultBytes {
		return nil, p.errorf("the schema's defaults take more than %d bytes", maxDefaultBytes)
	}
	switch t.Kind {
	case Union:
		return p.encodeDefault(AppendLong(dst, 0), t.Branches[0], v)
	case Record:
		return p.recordDefault(dst, t, v)
	case Array:
		return p.arrayDefault(dst, t, v)
	case Map:
		return p.mapDefault(dst, t, v)
	case Null:
		if v == nil {
			return dst, nil
		}
	case Boolean:
		if b, ok := v.(bool); ok {
			return AppendBool(dst, b), nil
		}
	case String:
		if s, ok := v.(string); ok {
			return AppendString(dst, s), nil
		}
	case Enum:
		if s, ok := v.(string); ok && slices.Contains(t.Symbols, s) {
			return AppendLong(dst, int64(slices.Index(t.Symbols, s))), nil
		}
	case Bytes, Fixed:
		if b, ok := latin1(v); ok && t.Kind == Bytes {
			return AppendBytes(dst, b), nil
		} else if ok && len(b) == t.Size {
			return append(dst, b...), nil
		}
	case Int, Long, Float, Double:
		if out, ok := numberDefault(dst, t.Kind, v); ok {
			return out, nil
		}
	}
	return nil, p.errorf("the default is not a value of type %s", t.Kind)
}

func (p *parser) recordDefault(dst []byte, t *Type, v any) ([]byte, error) {
	o, ok := v.(object)
	if !ok {
		return nil, p.errorf("the default is not a value of type record")
	}
	for _, m := range o {
		if !slices.ContainsFunc(t.Fields, func(f Field) bool { return f.Name == m.name }) {
			return nil, p.errorf("the default has a member %q that the record has not", m.name)
		}
	}
	var err error
	for _, f := range t.Fields {
		if v, ok := o.get(f.Name); ok {
			if dst, err = p.encodeDefault(dst, f.Type, v); err != nil {
				return nil, err
			}
			continue
		}
		if !f.HasDefault {
			return nil, p.errorf("the default has no value for field %q", f.Name)
		}
		if dst = append(dst, f.Default...); p.defaults+len(dst) > maxDefaultBytes {
			return nil, p.errorf("the schema's defaults take more than %d bytes", maxDefaultBytes)
		}
	}
	return dst, nil
}

func (p *parser) arrayDefault(dst []byte, t *Type, v any) ([]byte, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, p.errorf("the default is not a value of type array")
	}
	var err error
	if len(list) > 0 {
		dst = AppendLong(dst, int64(len(list)))
	}
	for _, v := range list {
		if dst, err = p.encodeDefault(dst, t.Items, v); err != nil {
			return nil, err
		}
	}
	return AppendLong(dst, 0), nil
}

func (p *parser) mapDefault(dst []byte, t *Type, v any) ([]byte, error) {
	o, ok := v.(object)
	if !ok {
		return nil, p.errorf("the default is not a value of type map")
	}
	var err error
	if len(o) > 0 {
		dst = AppendLong(dst, int64(len(o)))
	}
	for _, m := range o {
		if dst, err = p.encodeDefault(AppendString(dst, m.name), t.Values, m.value); err != nil {
			return nil, err
		}
	}
	return AppendLong(dst, 0), nil
}

func numberDefault(dst []byte, kind Kind, v any) ([]byte, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, false
	}
	switch kind {
	case Float:
		f, err := strconv.ParseFloat(n.String(), 32)
		return AppendFloat(dst, float32(f)), err == nil
	case Double:
		f, err := strconv.ParseFloat(n.String(), 64)
		return AppendDouble(dst, f), err == nil
	}
	i, err := n.Int64()
	if kind == Int && (i < math.MinInt32 || i > math.MaxInt32) {
		return nil, false
	}
	return AppendLong(dst, i), err == nil
}

// latin1 takes a text whose characters stand for bytes, as defaults of bytes and fixed are written.
func latin1(v any) ([]byte, bool) {
	s, ok := v.(string)
	if !ok {
		return nil, false
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > math.MaxUint8 {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}
