package basefile

import (
	"errors"
	"fmt"
)

// KeyRow is what merging asks of a row.
type KeyRow struct {
	Key     []byte // good during the call
	Number  int64  // the ordering column's value as it is in the file
	Ordered bool   // it has one
	Flag    bool   // the flag column is true
}

// KeyRows calls each for every row, in their order, with its record key, the value of a column of whole numbers, and that of a column of
// booleans; an empty name asks for neither. It makes no values of Go, and so is several times as fast as Rows. ok is false, and nothing was
// read, when a column is not of such a type: whole numbers are integers, dates, and times in microseconds. A column that the file lacks is
// null.
func (r *Reader) KeyRows(number, flag string, each func(row int64, k KeyRow) error) (ok bool, err error) {
	defer r.guard("read record keys", &err)
	key := r.layout.child(RecordKeyColumn)
	if key == nil || !key.leaf() || key.kind != kindString || key.rep > 0 {
		return false, &FileError{Offset: -1, Reason: "no column " + RecordKeyColumn}
	}
	numbers, flags := r.layout.child(number), r.layout.child(flag)
	if numbers != nil && !wholeNumbers(numbers) || flags != nil && (!flags.leaf() || flags.rep > 0 || flags.kind != kindBoolean) {
		return false, nil
	}
	first := int64(0)
	for group := range r.file.RowGroups() {
		if err := r.groupKeys(group, first, key, numbers, flags, each); err != nil {
			return true, err
		}
		first += r.file.Metadata().RowGroups[group].NumRows
	}
	return true, nil
}

func wholeNumbers(l *layout) bool {
	if !l.leaf() || l.rep > 0 || l.kind != kindInt && l.kind != kindLong {
		return false
	}
	switch l.logical {
	case plain, date, timestampMicros, timeMicros:
		return true
	default:
		return false
	}
}

func (r *Reader) groupKeys(group int, first int64, key, numbers, flags *layout, each func(int64, KeyRow) error) (err error) {
	var keys, number, flag flatRow
	for column, leaf := range map[*flatRow]*layout{&keys: key, &number: numbers, &flag: flags} {
		if leaf == nil {
			continue
		}
		if column.flatColumn, err = r.flatColumn(group, leaf.lo, nil); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, column.close()) }()
	}
	for row := range r.file.Metadata().RowGroups[group].NumRows {
		var k KeyRow
		v, ok, err := keys.next()
		if err != nil {
			return err
		}
		if ok {
			k.Key = keys.bytes(v)
		}
		if len(k.Key) == 0 {
			return &FileError{Offset: -1, Reason: fmt.Sprintf("row %d has no record key", first+row)}
		}
		if numbers != nil {
			if v, k.Ordered, err = number.next(); err != nil {
				return err
			}
			k.Number = int64(v)
		}
		if flags != nil {
			v, ok, err := flag.next()
			if err != nil {
				return err
			}
			k.Flag = ok && v != 0
		}
		if err := each(first+row, k); err != nil {
			return err
		}
	}
	return nil
}

// flatRow reads a column row by row.
type flatRow struct {
	*flatColumn
	row, value int // of the page
}

// next is the next row's value; ok is false when it is null.
func (f *flatRow) next() (v uint64, ok bool, err error) {
	for f.page == nil || f.row == f.rows {
		more, err := f.flatColumn.next()
		if err != nil {
			return 0, false, err
		}
		if !more {
			return 0, false, f.damaged("fewer rows than the footer says")
		}
		f.row, f.value = 0, 0
	}
	row := f.row
	f.row++
	if f.defs != nil && int(f.defs[row]) < f.leaf.def {
		return 0, false, nil
	}
	f.value++
	return f.values[f.value-1], true, nil
}
