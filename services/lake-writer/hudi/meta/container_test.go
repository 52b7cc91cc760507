package meta

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// instantFields are fields by which the files of testdata are known.
var instantFields = map[string]string{
	".commit": "partitionToWriteStats", ".deltacommit": "partitionToWriteStats", ".replacecommit": "partitionToReplaceFileIds",
	".clean": "partitionMetadata", ".rollback": "commitsRollback", ".clean.requested": "filePathsToBeDeletedPerPartition",
	".rollback.requested": "RollbackRequests", ".compaction.requested": "operations", ".replacecommit.requested": "extraMetadata",
	".clustering.requested": "clusteringPlan", ".inflight": "partitionToWriteStats", ".clean.inflight": "policy",
}

func TestDecodeFile(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/v*")
	if err != nil {
		t.Fatal(err)
	}
	decoded := 0
	for _, file := range files {
		name := filepath.Base(file)
		field, ok := instantFields[name[strings.IndexByte(name, '.'):]]
		if !ok {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content, err := DecodeFile(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := content[field]; !ok {
			t.Errorf("%s: no %s in %v", name, field, content)
		}
		if _, err := json.Marshal(content); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		decoded++
	}
	if decoded < 15 {
		t.Errorf("%d files decoded", decoded)
	}
	if content, err := DecodeFile(nil); content != nil || err != nil {
		t.Errorf("no content: %v, %v", content, err)
	}
	for _, text := range []string{"x", "[]", "1", "{", "Obj\x01", containerMagic + "\x00\x00"} {
		if content, err := DecodeFile([]byte(text)); !errors.Is(err, ErrFile) {
			t.Errorf("%q: %v, %v", text, content, err)
		}
	}
}

func FuzzDecodeFile(f *testing.F) {
	files, err := filepath.Glob("testdata/v*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		content, err := DecodeFile(data)
		if err != nil && content != nil {
			t.Errorf("%v with %v", err, content)
		}
	})
}
