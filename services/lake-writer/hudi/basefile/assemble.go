package basefile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// cursor reads the values of one leaf of one row group, page by page. A value is good until the next call.
type cursor struct {
	pages  parquet.Pages
	leaf   int
	left   int64 // values that the footer promises
	page   parquet.Page
	values parquet.ValueReader
	buffer [256]parquet.Value
	ready  []parquet.Value
	texts  texts
}

// peek looks at the next value; ok is false at the end.
func (c *cursor) peek() (v parquet.Value, ok bool, err error) {
	for len(c.ready) == 0 {
		if c.left == 0 {
			return v, false, nil
		}
		if err := c.fill(); err != nil {
			return v, false, err
		}
	}
	return c.ready[0], true, nil
}

func (c *cursor) next() (v parquet.Value, ok bool, err error) {
	v, ok, err = c.peek()
	if ok {
		c.ready = c.ready[1:]
	}
	return v, ok, err
}

// fill reads a batch of values.
func (c *cursor) fill() error {
	if c.values == nil {
		page, err := c.pages.ReadPage()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		c.page, c.values = page, page.Values()
	}
	n, err := c.values.ReadValues(c.buffer[:])
	if int64(n) > c.left {
		return fmt.Errorf("more values than the footer says: %w", parquet.ErrCorrupted)
	}
	c.left -= int64(n)
	c.ready = c.buffer[:n]
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n == 0 { // the page's end; its memory goes back to parquet-go's pool
		parquet.Release(c.page)
		c.page, c.values = nil, nil
	}
	return nil
}

func (c *cursor) close() error {
	if c.page != nil {
		parquet.Release(c.page)
		c.page, c.values = nil, nil
	}
	return c.pages.Close()
}

// assembler puts the values of several leaves together to rows: the inverse of the Dremel encoding.
type assembler struct {
	cursors []*cursor // by leaf; nil for those not asked for
}

func (r *Reader) assembler(group int, columns []*layout) (a *assembler, err error) {
	a = &assembler{cursors: make([]*cursor, len(r.leaves))}
	defer r.guard("open columns", &err)
	for _, c := range columns {
		for leaf := c.lo; leaf < c.hi; leaf++ {
			if a.cursors[leaf], err = r.cursor(group, leaf); err != nil {
				a.close()
				return nil, err
			}
		}
	}
	return a, nil
}

func (a *assembler) close() {
	for _, c := range a.cursors {
		if c != nil {
			_ = c.close() // only readers: nothing that could be lost
		}
	}
}

// finish checks that no column has values behind the last row.
func (a *assembler) finish() error {
	for _, c := range a.cursors {
		if c == nil {
			continue
		}
		if _, ok, err := c.peek(); err != nil || ok {
			return errors.Join(fmt.Errorf("column %d goes on behind the last row: %w", c.leaf, parquet.ErrCorrupted), err)
		}
	}
	return nil
}

// column reads a row's value of a top-level column. Every leaf must be at the beginning of a row.
func (a *assembler) column(l *layout) (any, error) {
	if l.leaf() {
		return a.scalar(l)
	}
	for leaf := l.lo; leaf < l.hi; leaf++ {
		v, err := a.peek(leaf)
		if err != nil {
			return nil, err
		}
		if v.RepetitionLevel() != 0 {
			return nil, fmt.Errorf("column %d is out of step: %w", leaf, parquet.ErrCorrupted)
		}
	}
	return a.value(l)
}

func (a *assembler) peek(leaf int) (parquet.Value, error) {
	v, ok, err := a.cursors[leaf].peek()
	if err == nil && !ok {
		err = fmt.Errorf("column %d ends early: %w", leaf, parquet.ErrCorrupted)
	}
	return v, err
}

// scalar reads a leaf's value: column and value for most columns, where levels say nothing but whether it is null.
func (a *assembler) scalar(l *layout) (any, error) {
	c := a.cursors[l.lo]
	if len(c.ready) == 0 {
		if _, err := a.peek(l.lo); err != nil {
			return nil, err
		}
	}
	v := &c.ready[0]
	c.ready = c.ready[1:]
	switch {
	case v.RepetitionLevel() > l.rep:
		return nil, fmt.Errorf("column %d is out of step: %w", l.lo, parquet.ErrCorrupted)
	case v.DefinitionLevel() < l.def:
		return nil, nil
	case l.scalar == scalar{kind: kindString}:
		return c.texts.value(v.ByteArray()), nil
	default:
		return goValue(l.scalar, *v), nil
	}
}

func (a *assembler) value(l *layout) (any, error) {
	if l.leaf() {
		return a.scalar(l)
	}
	first, err := a.peek(l.lo)
	if err != nil {
		return nil, err
	}
	if first.DefinitionLevel() < l.def {
		return nil, a.skip(l)
	}
	switch {
	case l.kind == kindRecord:
		return a.record(l)
	default:
		if first.DefinitionLevel() == l.def { // present, and empty
			if err := a.skip(l); err != nil {
				return nil, err
			}
			if l.kind == kindMap {
				return map[string]any{}, nil
			}
			return []any{}, nil
		}
		return a.items(l)
	}
}

// skip passes the one value that each leaf below l has when l, or what it holds, is not there.
func (a *assembler) skip(l *layout) error {
	for leaf := l.lo; leaf < l.hi; leaf++ {
		if _, err := a.peek(leaf); err != nil {
			return err
		}
		if _, _, err := a.cursors[leaf].next(); err != nil {
			return err
		}
	}
	return nil
}

func (a *assembler) record(l *layout) (any, error) {
	row := Row{Columns: make([]string, len(l.children)), Values: make([]any, len(l.children))}
	for i, c := range l.children {
		v, err := a.value(c)
		if err != nil {
			return nil, err
		}
		row.Columns[i], row.Values[i] = c.name, v
	}
	return row, nil
}

// items reads an array or a map of at least one item.
func (a *assembler) items(l *layout) (any, error) {
	var list []any
	entries := make(map[string]any)
	for {
		item, err := a.value(l.children[0])
		if err != nil {
			return nil, err
		}
		if l.kind == kindMap {
			value, err := a.value(l.children[1])
			if err != nil {
				return nil, err
			}
			entries[fmt.Sprint(item)] = value
		} else {
			list = append(list, item)
		}
		next, ok, err := a.cursors[l.lo].peek()
		if err != nil {
			return nil, err
		}
		if !ok || next.RepetitionLevel() <= l.rep {
			break
		}
	}
	if l.kind == kindMap {
		return entries, nil
	}
	return list, nil
}

// texts remembers some of a column's texts as values of Go, since most columns have few: text that comes again takes no memory.
type texts struct {
	known [64]any // strings, or nil
}

const longestKnown = 64 // bytes: the memory of readers stays small

// value is a copy of a text, or an equal one that was copied before.
func (t *texts) value(b []byte) any {
	n := len(b)
	if n == 0 || n > longestKnown {
		return string(b)
	}
	at := (uint(b[0]) + 7*uint(b[n/2]) + 31*uint(b[n-1]) + uint(n)) % uint(len(t.known))
	if s, ok := t.known[at].(string); ok && s == string(b) {
		return t.known[at]
	}
	v := any(string(b))
	t.known[at] = v
	return v
}
