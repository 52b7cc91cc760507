package hudi

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
)

// Bounds are those of a column. Rows whose value is null or outside are not in the answer, and base files that can have no other are not read.
type Bounds struct {
	Column   string
	Min, Max any // inclusive, of the column's type in a Row: int64, float32, float64, string, time.Time, Date or time.Duration; nil: open
}

// Date is a day, as rows have it.
type Date = basefile.Date

// holds reports whether a value is within the bounds; a value of another type than the bounds is an error.
func (r Bounds) holds(value any) (bool, error) {
	if value == nil {
		return false, nil
	}
	for _, bound := range []struct {
		at   any
		sign int // of the comparison that is outside
	}{{r.Min, -1}, {r.Max, 1}} {
		if bound.at == nil {
			continue
		}
		c, ok := compareValues(value, bound.at)
		if !ok {
			return false, fmt.Errorf("%w: column %s has values of type %T, the bounds are of %T", ErrInvalid, r.Column, value, bound.at)
		}
		if c == bound.sign {
			return false, nil
		}
	}
	return true, nil
}

// compareValues orders two values of one type, NaN before every other number.
func compareValues(a, b any) (order int, ok bool) {
	switch a := a.(type) {
	case int64:
		return compareAs(a, b)
	case float32:
		return compareAs(a, b)
	case float64:
		return compareAs(a, b)
	case string:
		return compareAs(a, b)
	case Date:
		return compareAs(a, b)
	case time.Duration:
		return compareAs(a, b)
	case time.Time:
		b, ok := b.(time.Time)
		return a.Compare(b), ok
	default:
		return 0, false
	}
}

func compareAs[T cmp.Ordered](a T, b any) (order int, ok bool) {
	other, ok := b.(T)
	return cmp.Compare(a, other), ok
}

// judged are the columns that a query needs to judge its rows, beyond those asked for.
func (q Query) judged() []string {
	var columns []string
	for _, r := range q.Where {
		columns = append(columns, r.Column)
	}
	return columns
}

// inBounds reports whether the row is within all of the query's bounds.
func (q Query) inBounds(row Row) (bool, error) {
	for _, r := range q.Where {
		value, _ := row.Get(r.Column)
		if in, err := r.holds(value); !in || err != nil {
			return false, err
		}
	}
	return true, nil
}

// passesOver reports whether a base file has no row in the query's bounds, by the statistics in its footer. Those of floating point numbers
// are not asked, since writers differ in what they say of NaN, and of decimals neither, whose order some writers get wrong.
func (q Query) passesOver(file *basefile.Reader) bool {
	for _, r := range q.Where {
		if !slices.Contains(file.Columns(), r.Column) { // null in every row
			return true
		}
		stats, err := file.Statistics(r.Column)
		if err != nil || !stats.Known { // a record, array or map has none: its rows will say that they have no order
			continue
		}
		switch stats.Min.(type) {
		case nil: // nothing but nulls
			return true
		case int64, string, Date, time.Time, time.Duration:
			low, okLow := compareBound(stats.Max, r.Min)
			high, okHigh := compareBound(stats.Min, r.Max)
			if okLow && low < 0 || okHigh && high > 0 {
				return true
			}
		}
	}
	return false
}

// compareBound compares a file's extreme with a range's bound, if there is one.
func compareBound(extreme, bound any) (order int, ok bool) {
	if bound == nil {
		return 0, false
	}
	return compareValues(extreme, bound)
}
