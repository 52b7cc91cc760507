package basefile

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

// flatRows are written together: enough that the column's own work is all there is, few enough that its pages keep their size.
const flatRows = 1024

// flatColumn reads a leaf that no array or map is above, a page at a time, into the form that pages.Batch has.
type flatColumn struct {
	old   *Reader
	leaf  *layout
	pages parquet.Pages
	left  int64        // values that the footer promises
	page  parquet.Page // what the texts are in
	text  []byte       // bytes of the values
	defs  []byte       // of the page's rows; nil when none may be null
	rows  int          // of the page
	*flatBuffers

	known parquet.Dictionary // which dict has
	texts []byte             // bytes of its values
}

// flatBuffers serve one column after the other.
type flatBuffers struct {
	values []uint64    // of the page that are not null
	dict   []uint64    // the dictionary's
	batch  pages.Batch // what is gathered; its text is a page's
}

// flatColumn opens a leaf of a row group. The buffers may be nil.
func (r *Reader) flatColumn(group, leaf int, buffers *flatBuffers) (*flatColumn, error) {
	chunk := &r.file.Metadata().RowGroups[group].Columns[leaf].MetaData
	if err := checkPages(r.at, r.size, chunk); err != nil {
		return nil, err
	}
	if buffers == nil {
		buffers = new(flatBuffers)
	}
	return &flatColumn{
		old: r, leaf: r.leaves[leaf], pages: r.file.RowGroups()[group].ColumnChunks()[leaf].Pages(), left: chunk.NumValues, flatBuffers: buffers,
	}, nil
}

// next reads a page; ok is false behind the last one.
func (c *flatColumn) next() (ok bool, err error) {
	c.release()
	if c.left == 0 {
		return false, nil
	}
	page, err := c.pages.ReadPage()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return false, c.old.fileError("read column "+c.leaf.path, err)
	}
	c.page = page
	if c.left -= page.NumValues(); c.left < 0 {
		return false, c.damaged("more values than the footer says")
	}
	c.rows, c.defs = int(page.NumValues()), page.DefinitionLevels()
	if err := c.decode(); err != nil {
		return false, err
	}
	present := c.rows
	if c.leaf.def > 0 {
		if len(c.defs) != c.rows {
			return false, c.damaged(fmt.Sprintf("%d levels for %d rows", len(c.defs), c.rows))
		}
		present = 0
		for _, d := range c.defs {
			if int(d) > c.leaf.def {
				return false, c.damaged(fmt.Sprintf("level %d of %d", d, c.leaf.def))
			}
			if int(d) == c.leaf.def {
				present++
			}
		}
	}
	if present != len(c.values) {
		return false, c.damaged(fmt.Sprintf("%d values, the levels say %d", len(c.values), present))
	}
	return true, nil
}

func (c *flatColumn) damaged(reason string) error {
	return &FileError{Offset: -1, Reason: "column " + c.leaf.path + ": " + reason}
}

// decode takes the page's values out of it.
func (c *flatColumn) decode() error {
	d := c.page.Dictionary()
	if d == nil {
		var err error
		c.values, c.text, err = c.plain(c.values[:0], c.page)
		return err
	}
	if c.known != d {
		var err error
		if c.dict, c.texts, err = c.plain(c.dict[:0], d.Page()); err != nil {
			return err
		}
		c.known = d
	}
	values := c.page.Data()
	c.values, c.text = c.values[:0], c.texts
	for _, i := range values.Int32() {
		if i < 0 || int(i) >= len(c.dict) {
			return c.damaged(fmt.Sprintf("index %d in a dictionary of %d", i, len(c.dict)))
		}
		c.values = append(c.values, c.dict[i])
	}
	return nil
}

// plain is the values of a page without a dictionary.
func (c *flatColumn) plain(to []uint64, page parquet.Page) (values []uint64, text []byte, err error) {
	data := page.Data()
	n := int(page.NumValues() - page.NumNulls())
	switch kind := page.Type().Kind(); kind {
	case parquet.ByteArray:
		text, ends := data.ByteArray()
		for i := 1; i < len(ends); i++ {
			to = append(to, pages.Span(int(ends[i-1]), int(ends[i]-ends[i-1])))
		}
		return to, text, nil
	case parquet.FixedLenByteArray:
		text, size := data.FixedLenByteArray()
		for at := 0; at+size <= len(text); at += size {
			to = append(to, pages.Span(at, size))
		}
		return to, text, nil
	case parquet.Int32:
		for _, v := range data.Int32() {
			to = append(to, uint64(int64(v)))
		}
	case parquet.Int64:
		for _, v := range data.Int64() {
			to = append(to, uint64(v))
		}
	case parquet.Float:
		for _, v := range data.Float() {
			to = append(to, uint64(math.Float32bits(v)))
		}
	case parquet.Double:
		for _, v := range data.Double() {
			to = append(to, math.Float64bits(v))
		}
	case parquet.Boolean:
		bits := data.Boolean()
		if 8*len(bits) < n {
			return nil, nil, c.damaged(fmt.Sprintf("%d bytes for %d booleans", len(bits), n))
		}
		for i := range n {
			to = append(to, uint64(bits[i/8]>>(i%8)&1))
		}
	default:
		return nil, nil, c.damaged("values of type " + kind.String())
	}
	return to, nil, nil
}

// release gives the page's memory back to parquet-go's pool.
func (c *flatColumn) release() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
}

func (c *flatColumn) close() error {
	c.release()
	c.batch.Text = nil // it is the last page's
	if err := c.pages.Close(); err != nil {
		return c.old.fileError("close column "+c.leaf.path, err)
	}
	return nil
}

// bytes is a text of the page.
func (c *flatColumn) bytes(v uint64) []byte { return c.text[v>>32:][:uint32(v)] }

// flat reports whether copyFlat copies a column.
func (s *source) flat(old *Reader) bool {
	return !s.absent && s.maxRep == 0 && s.leaf >= 0 && old.leaves[s.leaf].rep == 0
}

// copyFlat copies a column that no array or map is above, page by page: values are decoded once and gathered, not looked at one by one.
func (w *Writer) copyFlat(old *Reader, group, leaf int, s source, keep []bool, want int64) (err error) {
	c, err := old.flatColumn(group, s.leaf, &w.copying)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	g := gatherer{w: w, leaf: leaf, source: s}
	row := 0
	for {
		ok, err := c.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		stay := keep
		if keep != nil {
			if row+c.rows > len(keep) {
				return c.damaged("more rows than keys")
			}
			stay = keep[row:][:c.rows]
		}
		if err := g.page(c, stay); err != nil {
			return err
		}
		row += c.rows
	}
	if g.written != want {
		return c.damaged(fmt.Sprintf("%d rows, want %d", g.written, want))
	}
	return nil
}

// gatherer writes those of a column's rows that stay.
type gatherer struct {
	w       *Writer
	leaf    int
	source  source
	written int64
}

// page writes the rows of a page. keep is nil when all stay.
func (g *gatherer) page(c *flatColumn, keep []bool) error {
	c.batch.Text = c.text
	next := 0 // value
	for from := 0; from < c.rows; from += flatRows {
		to := min(from+flatRows, c.rows)
		rows, err := g.gather(c, keep, from, to, &next)
		if err != nil {
			return err
		}
		if rows == 0 {
			continue
		}
		if err := g.w.writeColumn(g.leaf, &c.batch, rows); err != nil {
			return err
		}
		g.written += int64(rows)
	}
	return nil
}

// gather makes a batch of some of the page's rows.
func (g *gatherer) gather(c *flatColumn, keep []bool, from, to int, next *int) (rows int, err error) {
	b, levels, target := &c.batch, g.source.levels, g.w.leaves[g.leaf]
	b.Defs, b.Values = b.Defs[:0], b.Values[:0]
	for row := from; row < to; row++ {
		level, present := levels[0], true
		if c.defs != nil {
			level, present = levels[c.defs[row]], int(c.defs[row]) == c.leaf.def
		}
		at := *next
		if present {
			*next++
		}
		if keep != nil && !keep[row] {
			continue
		}
		if level == notNull {
			return 0, &SchemaError{target.path, "is null in a row of the older file, and may not be"}
		}
		rows++
		if target.def > 0 {
			b.Defs = append(b.Defs, byte(level))
		}
		if present {
			b.Values = append(b.Values, c.values[at])
		}
	}
	return rows, nil
}

// copyKeys copies the record keys, and so finds out which rows stay: keep is nil when all do. first is the number of the group's first row.
func (w *Writer) copyKeys(
	old *Reader, group int, s source, first int64, stays func(row int64, key []byte) bool,
) (keep []bool, rows int64, err error) {
	all := old.file.Metadata().RowGroups[group].NumRows
	c, err := old.flatColumn(group, s.leaf, &w.copying)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if stays != nil {
		keep = make([]bool, 0, min(all, maxPageValues))
	}
	g := gatherer{w: w, leaf: leafRecordKey, source: s}
	seen := int64(0)
	for {
		ok, err := c.next()
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			break
		}
		from := len(keep)
		if len(c.values) != c.rows {
			return nil, 0, &FileError{Offset: -1, Reason: "a row without record key"}
		}
		for _, v := range c.values {
			key := c.bytes(v)
			if len(key) == 0 {
				return nil, 0, &FileError{Offset: -1, Reason: "a row without record key"}
			}
			stay := stays == nil || stays(first+seen, key)
			if stays != nil {
				keep = append(keep, stay)
			}
			if stay {
				w.keys.addBytes(key)
			}
			seen++
		}
		if err := g.page(c, keep[from:]); err != nil {
			return nil, 0, err
		}
	}
	if seen != all {
		return nil, 0, &FileError{Offset: -1, Reason: fmt.Sprintf("%d record keys in %d rows", seen, all)}
	}
	return keep, g.written, nil
}
