package keys

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TimeUnit is what a timestamp partition field counts since 1970, by its name in hoodie.keygen.timebased.timestamp.type.
type TimeUnit string

// The units. Hudi has others, and texts, which depend on more settings of the writer than a table keeps.
const (
	EpochMillis TimeUnit = "EPOCHMILLISECONDS"
	EpochMicros TimeUnit = "EPOCHMICROSECONDS"
)

// TimeFormat makes the partition path of a time, in UTC.
type TimeFormat struct {
	Unit TimeUnit
	// Pattern is a pattern of Joda time, as in hoodie.keygen.timebased.output.dateformat: yyyy, MM, dd, HH, mm, ss, other characters that
	// are no letters, and letters in single quotes. A slash makes a folder.
	Pattern string
}

// timePatterns are the runs of letters that a pattern may have, with Go's form of them. All have a fixed width.
var timePatterns = map[string]string{"yyyy": "2006", "MM": "01", "dd": "02", "HH": "15", "mm": "04", "ss": "05"}

// timePart is a piece of a pattern: a layout of package time, or text that stands for itself.
type timePart struct {
	layout, text string
}

// compile reads the pattern.
func (f TimeFormat) compile() ([]timePart, error) {
	bad := func(reason string) error {
		return fmt.Errorf("date format %q of %q: %s: %w", f.Pattern, f.Unit, reason, ErrGenerator)
	}
	if f.Unit != EpochMillis && f.Unit != EpochMicros {
		return nil, bad("the unit is not supported")
	}
	var parts []timePart
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	for rest := f.Pattern; rest != ""; {
		n := 1
		switch {
		case rest[0] == '\'':
			end := strings.IndexByte(rest[1:], '\'')
			if end < 0 {
				return nil, bad("a quote is not closed")
			}
			text := rest[1 : 1+end]
			if text == "" { // two quotes are one
				text = "'"
			}
			parts, n = append(parts, timePart{text: text}), end+2
		case letter(rest[0]):
			for n < len(rest) && rest[n] == rest[0] {
				n++
			}
			layout, ok := timePatterns[rest[:n]]
			if !ok {
				return nil, bad(fmt.Sprintf("%q is not supported", rest[:n]))
			}
			parts = append(parts, timePart{layout: layout})
		default:
			parts = append(parts, timePart{text: rest[:1]})
		}
		rest = rest[n:]
	}
	if len(parts) == 0 {
		return nil, bad("it is empty")
	}
	return parts, nil
}

// slashes counts the slashes that a path gets.
func (f TimeFormat) slashes() int {
	parts, err := f.compile()
	if err != nil {
		return 0
	}
	n := 0
	for _, p := range parts {
		n += strings.Count(p.text, "/")
	}
	return n
}

// path is the path of a field's value (TimestampBasedAvroKeyGenerator.getPartitionPath). Hudi takes 1 for null.
func (f TimeFormat) path(field Field) (string, error) {
	parts, err := f.compile()
	if err != nil {
		return "", err
	}
	value := int64(1)
	if !field.Null {
		if value, err = strconv.ParseInt(field.Value, 10, 64); err != nil {
			return "", fmt.Errorf("partition field %s: %q is no time: %w", field.Name, field.Value, ErrPartition)
		}
	}
	if f.Unit == EpochMicros {
		value /= 1000 // towards zero, as Java's TimeUnit
	}
	at := time.UnixMilli(value).UTC()
	if at.Year() < 1 || at.Year() > 9999 { // where Joda's text of a year is not four digits
		return "", fmt.Errorf("partition field %s: %s is in year %d: %w", field.Name, field.Value, at.Year(), ErrPartition)
	}
	var b strings.Builder
	for _, p := range parts {
		if p.layout != "" {
			b.WriteString(at.Format(p.layout))
		}
		b.WriteString(p.text)
	}
	return b.String(), nil
}
