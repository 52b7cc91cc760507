package history_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/history"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// lsmRow is a row of a data file, with the columns and types of Hudi's.
type lsmRow struct {
	InstantTime    *string `parquet:"instantTime,optional,gzip"`
	CompletionTime *string `parquet:"completionTime,optional,gzip"`
	Action         *string `parquet:"action,optional,gzip"`
	Metadata       *[]byte `parquet:"metadata,optional,gzip"`
	Plan           *[]byte `parquet:"plan,optional,gzip"`
	Version        int32   `parquet:"version,gzip"`
}

// row is an instant that completed a millisecond later, with some content.
func row(instant timeline.Instant, action timeline.Action, content []byte) lsmRow {
	i, c, a := string(instant), string(instant)[:16]+"9", string(action)
	return lsmRow{InstantTime: &i, CompletionTime: &c, Action: &a, Metadata: &content, Version: 1}
}

func at(n int) timeline.Instant { return timeline.Instant(fmt.Sprintf("20260101%08d0", n)) }

// put writes a data file and returns its line of the manifest.
func put(t *testing.T, store storage.Store, level int, rows ...lsmRow) history.ManifestFile {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[lsmRow](&b, parquet.PageBufferSize(1<<16), parquet.MaxRowsPerRowGroup(1000))
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("%s_%s_%d.parquet", *rows[0].InstantTime, *rows[len(rows)-1].InstantTime, level)
	putBytes(t, store, name, b.Bytes())
	return history.ManifestFile{Name: name, Size: int64(b.Len())}
}

func putBytes(t testing.TB, store storage.Store, name string, data []byte) {
	t.Helper()
	if _, err := store.Put(t.Context(), history.Folder+name, data, storage.Condition{}); err != nil {
		t.Fatal(err)
	}
}

func putManifest(t *testing.T, store storage.Store, version int, files ...history.ManifestFile) {
	t.Helper()
	data, err := json.Marshal(history.Manifest{Files: files})
	if err != nil {
		t.Fatal(err)
	}
	putBytes(t, store, fmt.Sprintf("manifest_%d", version), data)
	putBytes(t, store, "_version_", []byte(fmt.Sprint(version)))
}

// goldenStore holds the history that Hudi wrote for a table.
func goldenStore(t testing.TB, table string) storage.Store {
	t.Helper()
	store := storage.NewMem()
	files, err := filepath.Glob("testdata/" + table + "/*")
	if err != nil || len(files) != 3 {
		t.Fatalf("%s holds %q, %v", table, files, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		putBytes(t, store, filepath.Base(path), data)
	}
	return store
}

func readAll(ctx context.Context, store storage.Store) (all []history.Instant, err error) {
	for in, err := range history.Read(ctx, store, history.Folder) {
		if err != nil {
			return all, err
		}
		all = append(all, in)
	}
	return all, nil
}

func names(all []history.Instant) (list []string) {
	for _, in := range all {
		list = append(list, fmt.Sprintf("%s_%s.%s", in.Instant, in.Completion, in.Action))
	}
	return list
}

// TestHistoriesOfHudi: the instants of tables of Hudi 1.0.2 and 1.2.0, with their commits.
func TestHistoriesOfHudi(t *testing.T) {
	t.Parallel()
	for table, want := range map[string][]string{
		"v8-mor-102": {
			"20261123051223566_20261123051336215.deltacommit", "20261123051340685_20261123051359749.deltacommit",
			"20261123051401767_20261123051422397.deltacommit", "20261123051425339_20261123051443040.deltacommit",
		},
		"v9-mor-12": {
			"20261123050632281_20261123050650951.deltacommit", "20261123050651846_20261123050701472.deltacommit",
			"20261123050702279_20261123050710645.deltacommit", "20261123050711146_20261123050721061.deltacommit",
		},
		"v9-cow-12": {
			"20261123050918040_20261123050926702.commit", "20261123050927567_20261123050933084.commit",
			"20261123050933540_20261123050938102.commit", "20261123050938288_20261123050942829.commit",
			"20261123050943407_20261123050950330.commit",
		},
	} {
		all, err := readAll(t.Context(), goldenStore(t, table))
		if err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		if got := names(all); !slices.Equal(got, want) {
			t.Errorf("%s: %q", table, got)
		}
		for _, in := range all {
			c, err := meta.ParseCommit(in.Metadata)
			if err != nil || len(c.PartitionToWriteStats) == 0 || c.ExtraMetadata[meta.SchemaKey] == "" || in.Plan != nil {
				t.Errorf("%s: commit of %s: %+v, %v", table, in.Instant, c, err)
			}
		}
	}
}

// TestFilesMerge: files whose instants lie between each other are one history, in which an instant that was archived twice is once, and
// the manifest that counts is that of the version file.
func TestFilesMerge(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	odd := put(t, store, 0, row(at(1), timeline.Commit, nil), row(at(3), timeline.Commit, nil), row(at(5), timeline.Clean, nil), row(at(9), timeline.Commit, nil))
	even := put(t, store, 0, row(at(2), timeline.Rollback, nil), row(at(3), timeline.Commit, nil), row(at(4), timeline.Savepoint, nil), row(at(6), timeline.Commit, nil))
	late := put(t, store, 1, row(at(9), timeline.Savepoint, nil), row(at(10), timeline.ReplaceCommit, nil))
	putManifest(t, store, 12, late)
	putManifest(t, store, 3, late, even, odd) // of an older number: the version file decides
	all, err := readAll(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, in := range all {
		got = append(got, strings.TrimPrefix(string(in.Instant), "2026010100000")+" "+string(in.Action))
	}
	want := []string{
		"0010 commit", "0020 rollback", "0030 commit", "0040 savepoint", "0050 clean", "0060 commit", "0090 commit", "0090 savepoint", "0100 replacecommit",
	}
	if !slices.Equal(got, want) {
		t.Errorf("history %q\nwant %q", got, want)
	}
	for range history.Read(t.Context(), store, history.Folder) {
		break // open files are given up
	}
	if err := store.Delete(t.Context(), history.Folder+"_version_"); err != nil {
		t.Fatal(err)
	}
	if all, err := readAll(t.Context(), store); err != nil || len(all) != 2 {
		t.Errorf("without a version file %q, %v: want the newest manifest's", names(all), err)
	}
}

func TestNoHistory(t *testing.T) {
	t.Parallel()
	if all, err := readAll(t.Context(), storage.NewMem()); err != nil || len(all) > 0 {
		t.Errorf("history %q, %v", names(all), err)
	}
	store := storage.NewMem()
	putManifest(t, store, 1)
	if all, err := readAll(t.Context(), store); err != nil || len(all) > 0 {
		t.Errorf("empty history %q, %v", names(all), err)
	}
}

// counting notes the largest piece that was read.
type counting struct {
	storage.Store
	largest, reads int64
}

func (c *counting) Get(ctx context.Context, key string) ([]byte, storage.Info, error) {
	data, info, err := c.Store.Get(ctx, key)
	c.largest = max(c.largest, int64(len(data)))
	return data, info, err
}

func (c *counting) GetRange(ctx context.Context, key string, off, length int64) ([]byte, error) {
	c.reads++
	data, err := c.Store.GetRange(ctx, key, off, length)
	c.largest = max(c.largest, int64(len(data)))
	return data, err
}

// noise is content that does not compress.
func noise(seed, size int) []byte {
	content := make([]byte, 0, size)
	for len(content) < size {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %d", seed, len(content)))
		content = append(content, sum[:]...)
	}
	return content
}

// TestLargeFile: a file of more than 4 MiB is read in pieces, each about once.
func TestLargeFile(t *testing.T) {
	t.Parallel()
	store := storage.NewMem()
	var rows []lsmRow
	for i := range 1200 {
		rows = append(rows, row(at(i), timeline.Commit, noise(i, 8<<10)))
	}
	file := put(t, store, 1, rows...)
	putManifest(t, store, 1, file)
	counted := &counting{Store: store}
	n := 0
	for in, err := range history.Read(t.Context(), counted, history.Folder) {
		if err != nil {
			t.Fatal(err)
		}
		if in.Instant != at(n) || !bytes.Equal(in.Metadata, *rows[n].Metadata) {
			t.Fatalf("instant %d is %s with %d bytes", n, in.Instant, len(in.Metadata))
		}
		n++
	}
	t.Logf("%d bytes in %d reads, the largest of %d", file.Size, counted.reads, counted.largest)
	const piece = 512 << 10
	if n != len(rows) || file.Size < 8<<20 || counted.largest > piece || counted.reads > 3*file.Size/piece {
		t.Errorf("%d instants of a file of %d bytes in %d reads, the largest of %d", n, file.Size, counted.reads, counted.largest)
	}
}
