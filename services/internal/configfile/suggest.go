package configfile

import (
	"fmt"
	"math"
)

// suggestion returns " (did you mean ...?)" when a known key is at most two edits away from name.
func suggestion(name string, fields []field) string {
	best, distance := "", math.MaxInt
	for _, f := range fields {
		if d := editDistance(name, f.key); d < distance {
			best, distance = f.key, d
		}
	}
	if distance > 2 || distance >= len(name) {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// editDistance is Levenshtein's, over bytes; texts that differ a lot in length are far without counting.
func editDistance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return math.MaxInt - 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
