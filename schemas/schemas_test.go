package schemas

import (
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
)

func TestEveryVersion(t *testing.T) {
	t.Parallel()
	for _, subject := range Subjects() {
		versions, err := Versions(subject)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			t.Run(v.Path, func(t *testing.T) {
				t.Parallel()
				parse(t, v)
				if _, err := annotation.Parse([]byte(v.Text)); err != nil {
					t.Error(err)
				}
				var root any
				if err := json.Unmarshal([]byte(v.Text), &root); err != nil {
					t.Fatal(err)
				}
				checkDocs(t, "", root)
			})
		}
	}
}

// parse uses a fresh cache: hamba identifies types by name, and versions of one record share it.
func parse(t *testing.T, v Version) avro.Schema {
	t.Helper()
	s, err := avro.ParseWithCache(v.Text, "", &avro.SchemaCache{})
	if err != nil {
		t.Fatalf("%s: %v", v.Path, err)
	}
	return s
}

// checkDocs walks over everything that has a name, and wants a doc on it.
func checkDocs(t *testing.T, path string, node any) {
	switch node := node.(type) {
	case map[string]any:
		if name, ok := node["name"].(string); ok {
			path += "/" + name
			doc, _ := node["doc"].(string)
			if doc == "" && node["type"] != "fixed" { // the field that defines a fixed tells of it
				t.Errorf("%s has no doc", path)
			}
		}
		for _, child := range node {
			checkDocs(t, path, child)
		}
	case []any:
		for _, child := range node {
			checkDocs(t, path, child)
		}
	}
}

// Readers of one version read the events of every other: a table and its consumers move at their own pace.
func TestVersionsAreCompatible(t *testing.T) {
	t.Parallel()
	for _, subject := range Subjects() {
		versions, err := Versions(subject)
		if err != nil {
			t.Fatal(err)
		}
		for i, older := range versions {
			for _, newer := range versions[i+1:] {
				// A fresh checker each time: it caches by fingerprints, which leave out defaults.
				if err := avro.NewSchemaCompatibility().Compatible(parse(t, newer), parse(t, older)); err != nil {
					t.Errorf("%s: version %d cannot read %d: %v", subject, newer.Number, older.Number, err)
				}
				if err := avro.NewSchemaCompatibility().Compatible(parse(t, older), parse(t, newer)); err != nil {
					t.Errorf("%s: version %d cannot read %d: %v", subject, older.Number, newer.Number, err)
				}
			}
		}
	}
}

// A file without a subject would be published nowhere.
func TestEveryFileHasASubject(t *testing.T) {
	t.Parallel()
	var known []string
	for _, subject := range Subjects() {
		versions, err := Versions(subject)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			known = append(known, v.Path)
		}
	}
	err := fs.WalkDir(FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !slices.Contains(known, path) {
			t.Errorf("%s belongs to no subject", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVersionsRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Versions("nobody-value"); err == nil {
		t.Error("an unknown subject has versions")
	}
	tests := map[string]struct {
		files string
		want  string
	}{
		"gap":         {"v1.avsc v3.avsc", "version 2 is missing"},
		"not from 1":  {"v2.avsc", "version 1 is missing"},
		"padded":      {"v01.avsc", "vN.avsc"},
		"other file":  {"v1.avsc readme.txt", "vN.avsc"},
		"no version":  {"v.avsc", "vN.avsc"},
		"no prefix":   {"1.avsc", "vN.avsc"},
		"ten follows": {"v10.avsc v1.avsc v2.avsc", "version 3 is missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := fstest.MapFS{}
			for file := range strings.FieldsSeq(test.files) {
				tree["d/"+file] = &fstest.MapFile{}
			}
			if _, err := versionsIn(tree, "d"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}
