package meta

import (
	"errors"
	"fmt"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// MarkerKind says what a data file is to its file group.
type MarkerKind string

// The kinds (org.apache.hudi.common.model.IOType).
const (
	MarkerCreate MarkerKind = "CREATE" // the group's first base file
	MarkerMerge  MarkerKind = "MERGE"  // a rewrite of the group's base file
	MarkerAppend MarkerKind = "APPEND" // a log file, up to table version 6; from version 8 on that is CREATE too
)

// MarkerType is the content of MARKERS.type for markers that are lists.
const MarkerType = "TIMELINE_SERVER_BASED"

// ErrMarker: a line names no data file.
var ErrMarker = errors.New("malformed marker")

// Marker announces a data file before it is written, so that whoever rolls the instant back knows what to delete.
type Marker struct {
	File string // key of the data file
	Kind MarkerKind
}

// TempFolder holds all markers of attempts; MarkerFolder those of one instant. Both end in a slash.
const TempFolder = ".hoodie/.temp/"

// MarkerFolder is the folder of an instant's markers.
func MarkerFolder(i timeline.Instant) string { return TempFolder + string(i) + "/" }

// MarkerTypeKey and MarkerListKey are the two files of an instant's markers.
func MarkerTypeKey(i timeline.Instant) string { return MarkerFolder(i) + "MARKERS.type" }

// MarkerListKey is the file that lists an instant's data files.
func MarkerListKey(i timeline.Instant) string { return MarkerFolder(i) + "MARKERS0" }

const markerInfix = ".marker."

// EncodeMarkers is the content of MARKERS0: one line per data file.
func EncodeMarkers(markers []Marker) []byte {
	var b strings.Builder
	for _, m := range markers {
		b.WriteString(m.File + markerInfix + string(m.Kind) + "\n")
	}
	return []byte(b.String())
}

// ParseMarkers reads MARKERS0.
func ParseMarkers(data []byte) ([]Marker, error) {
	var markers []Marker
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		at := strings.LastIndex(line, markerInfix)
		if at <= 0 || at+len(markerInfix) == len(line) {
			return nil, fmt.Errorf("%q: %w", line, ErrMarker)
		}
		markers = append(markers, Marker{File: line[:at], Kind: MarkerKind(line[at+len(markerInfix):])})
	}
	return markers, nil
}
