package basefile

import (
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// maxRowValues is how many values a row may have in one column: a damaged file may have no end of them.
const maxRowValues = 1 << 20

// copier copies one leaf of one row group.
type copier struct {
	w      *Writer
	leaf   int
	source source
	each   func(first parquet.Value) (stays bool, err error) // decides on a row by its first value; nil: all stay
	seen   int64                                             // rows begun
	copied int64                                             // rows written

	out   []parquet.Value // whole rows, then the row being read
	whole int             // values of out that are of whole rows
	rows  int             // whole rows in out
	bytes int             // of text in out
	stays bool            // the row being read does
}

// run copies the column and returns how many rows it wrote.
func (c *copier) run(old *Reader, group int) (rows int64, err error) {
	from, err := old.cursor(group, c.source.leaf)
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := from.close(); err == nil && e != nil {
			err = old.fileError("copy column", e)
		}
	}()
	for {
		if len(from.ready) == 0 { // the cursor may leave the page, whose memory the values share
			if err := c.flush(); err != nil {
				return 0, err
			}
		}
		v, ok, err := from.next()
		if err != nil {
			return 0, old.fileError("copy column "+c.w.leaves[c.leaf].path, err)
		}
		if !ok {
			break
		}
		if err := c.take(v); err != nil {
			return 0, err
		}
	}
	c.endRow()
	err = c.flush()
	return c.copied, err
}

// take adds a value to the row that it belongs to.
func (c *copier) take(v parquet.Value) error {
	rep := v.RepetitionLevel()
	if rep == 0 {
		c.endRow()
		c.stays = true
		if c.each != nil {
			var err error
			if c.stays, err = c.each(v); err != nil {
				return err
			}
		}
		c.seen++
	}
	if c.seen == 0 {
		return &FileError{Offset: -1, Reason: "column begins inside of a row"}
	}
	if !c.stays || rep > c.source.maxRep {
		return nil
	}
	if len(c.out)-c.whole >= maxRowValues {
		return &FileError{Offset: -1, Reason: fmt.Sprintf("row of more than %d values", maxRowValues)}
	}
	converted, err := c.convert(v, rep)
	if err != nil {
		return err
	}
	c.out = append(c.out, converted)
	if c.source.maxRep == 0 { // one value a row
		c.endRow()
	}
	if c.bytes >= batchBytes {
		return c.flush()
	}
	return nil
}

// convert gives a value the new column's levels and type.
func (c *copier) convert(v parquet.Value, rep int) (parquet.Value, error) {
	s := &c.source
	def := min(v.DefinitionLevel(), len(s.levels)-1)
	level := s.levels[def]
	if level == notNull {
		return v, &SchemaError{c.w.leaves[c.leaf].path, "is null in a row of the older file, and may not be"}
	}
	switch {
	case s.absent || v.IsNull():
		v = parquet.NullValue()
	case s.widen:
		v = parquet.Int64Value(int64(v.Int32()))
	case v.Kind() == parquet.ByteArray:
		c.bytes += len(v.ByteArray())
	}
	return v.Level(rep, level, c.leaf), nil
}

// endRow makes the row being read a whole one.
func (c *copier) endRow() {
	if len(c.out) > c.whole {
		c.whole = len(c.out)
		c.rows++
	}
}

// flush writes the whole rows, and gives the values of the row being read memory of their own.
func (c *copier) flush() error {
	if c.whole > 0 {
		if err := c.w.writeValues(c.leaf, c.out[:c.whole], c.rows); err != nil {
			return err
		}
	}
	c.copied += int64(c.rows)
	c.out = slices.Delete(c.out, 0, c.whole)
	for i, v := range c.out {
		c.out[i] = v.Clone()
	}
	c.whole, c.rows, c.bytes = 0, 0, 0
	return nil
}
