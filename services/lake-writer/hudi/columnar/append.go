package columnar

import "slices"

// Extend counts n more values, none of them null, that were appended to the slice of the column's kind.
func (c *Column) Extend(n int) {
	if c.Nulls > 0 {
		c.Valid = appendBits(c.Valid, c.Len, n, true)
	}
	c.Len += n
}

// AppendNulls appends n nulls, with their places among the values.
func (c *Column) AppendNulls(n int) {
	c.appendZeros(n)
	c.ExtendNulls(n)
}

// ExtendNulls counts n more values, all null, whose places are among the values already.
func (c *Column) ExtendNulls(n int) {
	if n == 0 {
		return
	}
	if c.Nulls == 0 {
		c.Valid = appendBits(c.Valid[:0], 0, c.Len, true)
	}
	c.Valid = appendBits(c.Valid, c.Len, n, false)
	c.Len += n
	c.Nulls += n
}

// appendZeros makes places for n values.
func (c *Column) appendZeros(n int) {
	switch c.Type.Kind {
	case Bool:
		c.Bools = zeros(c.Bools, n)
	case Int32:
		c.Int32s = zeros(c.Int32s, n)
	case Int64:
		c.Int64s = zeros(c.Int64s, n)
	case Float32:
		c.Float32s = zeros(c.Float32s, n)
	case Float64:
		c.Float64s = zeros(c.Float64s, n)
	case Fixed:
		c.Data = zeros(c.Data, n*c.Type.Size)
	case Record:
		for _, child := range c.Children {
			child.AppendNulls(n)
		}
	default:
		if c.Dict != nil {
			c.Codes = zeros(c.Codes, n)
			return
		}
		last := c.Offsets[len(c.Offsets)-1]
		c.Offsets = slices.Grow(c.Offsets, n)
		for range n {
			c.Offsets = append(c.Offsets, last)
		}
	}
}

func zeros[T any](s []T, n int) []T {
	s = slices.Grow(s, n)
	s = s[:len(s)+n]
	clear(s[len(s)-n:])
	return s
}

// AppendBool appends a value of a Bool.
func (c *Column) AppendBool(v bool) {
	c.Bools = append(c.Bools, v)
	c.Extend(1)
}

// AppendInt32 appends a value of an Int32.
func (c *Column) AppendInt32(v int32) {
	c.Int32s = append(c.Int32s, v)
	c.Extend(1)
}

// AppendInt64 appends a value of an Int64.
func (c *Column) AppendInt64(v int64) {
	c.Int64s = append(c.Int64s, v)
	c.Extend(1)
}

// AppendFloat32 appends a value of a Float32.
func (c *Column) AppendFloat32(v float32) {
	c.Float32s = append(c.Float32s, v)
	c.Extend(1)
}

// AppendFloat64 appends a value of a Float64.
func (c *Column) AppendFloat64(v float64) {
	c.Float64s = append(c.Float64s, v)
	c.Extend(1)
}

// AppendBytes appends a copy of a value to a String, Bytes or Fixed, whose size it has.
func (c *Column) AppendBytes(v []byte) {
	c.Materialise()
	c.Data = append(c.Data, v...)
	if c.Type.Kind != Fixed {
		c.Offsets = append(c.Offsets, int32(len(c.Data)))
	}
	c.Extend(1)
}

// CloseItems makes a list, or a map, of the items that were appended to the children since the last one.
func (c *Column) CloseItems() {
	c.Offsets = append(c.Offsets, int32(c.Children[0].Len))
	c.Extend(1)
}

// Materialise replaces codes by the texts that they stand for.
func (c *Column) Materialise() {
	if c.Dict == nil {
		return
	}
	d := c.Dict
	c.Dict = nil
	c.Offsets, c.Data = append(c.Offsets[:0], 0), c.Data[:0]
	for i, code := range c.Codes {
		if i >= c.Len || !c.IsNull(i) { // values that are not yet counted are none
			c.Data = append(c.Data, d.At(code)...)
		}
		c.Offsets = append(c.Offsets, int32(len(c.Data)))
	}
	c.Codes = c.Codes[:0]
}

// appendBits appends n equal bits to the first at bits.
func appendBits(b []byte, at, n int, set bool) []byte {
	fill := byte(0)
	if set {
		fill = 0xff
	}
	if rest := at & 7; rest != 0 && n > 0 {
		k := min(8-rest, n)
		b[len(b)-1] = b[len(b)-1]&(1<<rest-1) | fill<<rest&(1<<(rest+k)-1)
		n -= k
	}
	for ; n > 0; n -= 8 {
		b = append(b, fill)
	}
	return b
}
