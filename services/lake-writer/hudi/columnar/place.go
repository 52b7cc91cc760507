package columnar

// Place gives a column that holds nothing but its present values their places among nulls. levels has a byte for each entry: one below slot
// has no place, one below full is a null, the others are the values in their order. There must be as many as the column has. It reports
// whether that is so; the column is spoilt when it is not.
func (c *Column) Place(levels []byte, slot, full byte) bool {
	slots, present := 0, 0
	for _, l := range levels {
		if l >= slot {
			slots++
		}
		if l >= full {
			present++
		}
	}
	if present != c.stored() {
		return false
	}
	c.Len, c.Nulls = slots, 0
	if present == slots {
		return true
	}
	c.Mark(levels, slot, full, slots)
	switch c.Type.Kind {
	case Bool:
		c.Bools = spread(c.Bools, levels, slots, slot, full)
	case Int32:
		c.Int32s = spread(c.Int32s, levels, slots, slot, full)
	case Int64:
		c.Int64s = spread(c.Int64s, levels, slots, slot, full)
	case Float32:
		c.Float32s = spread(c.Float32s, levels, slots, slot, full)
	case Float64:
		c.Float64s = spread(c.Float64s, levels, slots, slot, full)
	case Fixed:
		c.spreadFixed(levels, slots, slot, full)
	default:
		if c.Dict != nil {
			c.Codes = spread(c.Codes, levels, slots, slot, full)
		} else {
			c.spreadOffsets(levels, slots, slot, full)
		}
	}
	return true
}

// Mark sets the validity of so many slots.
func (c *Column) Mark(levels []byte, slot, full byte, slots int) {
	c.Len, c.Nulls = slots, 0
	c.Valid = zeros(c.Valid[:0], (slots+7)/8)
	i := 0
	for _, l := range levels {
		if l < slot {
			continue
		}
		if l >= full {
			c.Valid[i>>3] |= 1 << (i & 7)
		} else {
			c.Nulls++
		}
		i++
	}
}

// stored counts the values in the slice of the column's kind.
func (c *Column) stored() int {
	switch c.Type.Kind {
	case Bool:
		return len(c.Bools)
	case Int32:
		return len(c.Int32s)
	case Int64:
		return len(c.Int64s)
	case Float32:
		return len(c.Float32s)
	case Float64:
		return len(c.Float64s)
	case Fixed:
		return len(c.Data) / max(c.Type.Size, 1)
	default:
		if c.Dict != nil {
			return len(c.Codes)
		}
		return len(c.Offsets) - 1
	}
}

// spread moves values to their places, from the last one on so that none is overwritten before it moved.
func spread[T any](values []T, levels []byte, slots int, slot, full byte) []T {
	var zero T
	from := len(values) - 1
	values = zeros(values, slots-len(values))
	at := slots - 1
	for i := len(levels) - 1; i >= 0 && at != from; i-- {
		switch l := levels[i]; {
		case l >= full:
			values[at] = values[from]
			from--
			at--
		case l >= slot:
			values[at] = zero
			at--
		}
	}
	return values
}

func (c *Column) spreadFixed(levels []byte, slots int, slot, full byte) {
	size := c.Type.Size
	from := len(c.Data) - size
	c.Data = zeros(c.Data, slots*size-len(c.Data))
	at := (slots - 1) * size
	for i := len(levels) - 1; i >= 0 && at != from; i-- {
		switch l := levels[i]; {
		case l >= full:
			copy(c.Data[at:at+size], c.Data[from:from+size])
			from -= size
			at -= size
		case l >= slot:
			clear(c.Data[at : at+size])
			at -= size
		}
	}
}

// spreadOffsets gives the nulls empty texts.
func (c *Column) spreadOffsets(levels []byte, slots int, slot, full byte) {
	from := len(c.Offsets) - 1
	c.Offsets = zeros(c.Offsets, slots+1-len(c.Offsets))
	at := slots
	for i := len(levels) - 1; i >= 0 && at != from; i-- {
		switch l := levels[i]; {
		case l >= full:
			c.Offsets[at] = c.Offsets[from]
			from--
			at--
		case l >= slot:
			c.Offsets[at] = c.Offsets[from]
			at--
		}
	}
}

// Keep leaves the values of the given numbers, which ascend.
func (c *Column) Keep(rows []int32) {
	switch c.Type.Kind {
	case Bool:
		c.Bools = gather(c.Bools, rows)
	case Int32:
		c.Int32s = gather(c.Int32s, rows)
	case Int64:
		c.Int64s = gather(c.Int64s, rows)
	case Float32:
		c.Float32s = gather(c.Float32s, rows)
	case Float64:
		c.Float64s = gather(c.Float64s, rows)
	case Fixed:
		size := c.Type.Size
		for to, from := range rows {
			copy(c.Data[to*size:(to+1)*size], c.Data[int(from)*size:])
		}
		c.Data = c.Data[:len(rows)*size]
	case Record:
		for _, child := range c.Children {
			child.Keep(rows)
		}
	case List, Map:
		c.keepItems(rows)
	default:
		if c.Dict != nil {
			c.Codes = gather(c.Codes, rows)
		} else {
			c.keepTexts(rows)
		}
	}
	c.keepValid(rows)
	c.Len = len(rows)
}

func gather[T any](values []T, rows []int32) []T {
	for to, from := range rows {
		values[to] = values[from]
	}
	return values[:len(rows)]
}

// keepTexts moves runs of neighbours together.
func (c *Column) keepTexts(rows []int32) {
	end := int32(0)
	for to := 0; to < len(rows); {
		first, last := rows[to], rows[to]
		begin := c.Offsets[first] // read before anything at or behind it is overwritten: to <= first
		shift := begin - end
		for {
			stop := c.Offsets[last+1]
			c.Offsets[to] = end
			end = stop - shift
			to++
			if to == len(rows) || rows[to] != last+1 {
				copy(c.Data[begin-shift:end], c.Data[begin:stop])
				break
			}
			last = rows[to]
		}
	}
	c.Offsets = c.Offsets[:len(rows)+1]
	c.Offsets[len(rows)] = end
	c.Data = c.Data[:end]
}

func (c *Column) keepItems(rows []int32) {
	var items []int32
	for to, row := range rows {
		from, end := c.Offsets[row], c.Offsets[row+1]
		c.Offsets[to] = int32(len(items))
		for i := from; i < end; i++ {
			items = append(items, i)
		}
	}
	c.Offsets = c.Offsets[:len(rows)+1]
	c.Offsets[len(rows)] = int32(len(items))
	for _, child := range c.Children {
		child.Keep(items)
	}
}

func (c *Column) keepValid(rows []int32) {
	if c.Nulls == 0 {
		return
	}
	c.Nulls = 0
	for to, from := range rows {
		bit := c.Valid[from>>3] >> (from & 7) & 1
		if bit == 0 {
			c.Nulls++
		}
		c.Valid[to>>3] = c.Valid[to>>3]&^(1<<(to&7)) | bit<<(to&7)
	}
	c.Valid = c.Valid[:(len(rows)+7)/8]
}
