// Package schemas holds the published Avro contracts of the pipeline's events: one file per version, never edited after its
// release. It owns the files and the mapping from a place in the tree to the subject in the registry; what the annotations
// in them mean is package annotation's.
package schemas

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// FS is the tree <domain>/<name>/vN.avsc.
//
//go:embed playback
var FS embed.FS

// subjects maps a subject of the registry to the folder of its versions. Subjects are named by Confluent's
// TopicNameStrategy: topic, then "-value".
var subjects = map[string]string{
	"playback.events-value": "playback/playback_event",
}

// Version is one published version of a contract.
type Version struct {
	// Number counts from 1. It is the registry's version only if all versions were registered in their order.
	Number int
	// Text is the schema.
	Text string
	// Path is the file in FS.
	Path string
}

// Subjects returns the names under which the contracts are registered, sorted.
func Subjects() []string { return slices.Sorted(maps.Keys(subjects)) }

// Versions returns the versions of a subject in their order. It is an error if the subject is unknown, or if the numbers of
// its files do not run from 1 without a gap.
func Versions(subject string) ([]Version, error) {
	dir, ok := subjects[subject]
	if !ok {
		return nil, fmt.Errorf("no contract is published under subject %q", subject)
	}
	return versionsIn(FS, dir)
}

func versionsIn(tree fs.FS, dir string) ([]Version, error) {
	entries, err := fs.ReadDir(tree, dir)
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	out := make([]Version, 0, len(entries))
	for _, e := range entries {
		file := path.Join(dir, e.Name())
		number, err := versionNumber(e.Name())
		if err != nil {
			return nil, fmt.Errorf("schema file %s: %w", file, err)
		}
		text, err := fs.ReadFile(tree, file)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		out = append(out, Version{Number: number, Text: string(text), Path: file})
	}
	slices.SortFunc(out, func(a, b Version) int { return a.Number - b.Number })
	for i, v := range out {
		if v.Number != i+1 {
			return nil, fmt.Errorf("folder %s: version %d is missing", dir, i+1)
		}
	}
	return out, nil
}

// versionNumber takes N out of vN.avsc.
func versionNumber(file string) (int, error) {
	digits, hasPrefix := strings.CutPrefix(file, "v")
	digits, hasSuffix := strings.CutSuffix(digits, ".avsc")
	number, err := strconv.Atoi(digits)
	if !hasPrefix || !hasSuffix || err != nil || number < 1 || strconv.Itoa(number) != digits {
		return 0, fmt.Errorf("the name is not of the form vN.avsc")
	}
	return number, nil
}
