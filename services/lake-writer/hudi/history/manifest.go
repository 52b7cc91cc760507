package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Folder holds the history of a table whose hoodie.timeline.path and hoodie.timeline.history.path have their defaults.
const Folder = ".hoodie/timeline/history/"

const (
	versionName    = "_version_"
	manifestPrefix = "manifest_"
)

// Manifest lists the files of one version of the tree.
type Manifest struct {
	Files []ManifestFile `json:"files"`
}

// ManifestFile is a file of the tree.
type ManifestFile struct {
	Name string `json:"fileName"`
	Size int64  `json:"fileLen"` // bytes

	first, last timeline.Instant // of the file's instants, by its name
	level       int              // 0 for a batch of instants, one more for what was merged
}

// dataName is a data file's name: its first and last instant, and its level.
var dataName = regexp.MustCompile(`^([0-9]{14,20})_([0-9]{14,20})_([0-9]{1,9})\.parquet$`)

func fileName(first, last timeline.Instant, level int) string {
	return fmt.Sprintf("%s_%s_%d.parquet", first, last, level)
}

// ParseManifest reads a manifest. The files are in the order of their first instants.
func ParseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrMalformed, err)
	}
	for i := range m.Files {
		f := &m.Files[i]
		parts := dataName.FindStringSubmatch(f.Name) // also the guard against leaving the folder
		if parts == nil || parts[1] > parts[2] || f.Size < 0 {
			return nil, fmt.Errorf("%w: manifest: file %q of %d bytes", ErrMalformed, f.Name, f.Size)
		}
		f.first, f.last = timeline.Instant(parts[1]), timeline.Instant(parts[2])
		f.level, _ = strconv.Atoi(parts[3]) // up to nine digits
	}
	slices.SortFunc(m.Files, compareFiles)
	return &m, nil
}

func compareFiles(a, b ManifestFile) int {
	return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.Name, b.Name))
}

// encode writes a manifest as Hudi does (HoodieLSMTimelineManifest.toJsonString).
func (m *Manifest) encode() []byte {
	if len(m.Files) == 0 {
		return []byte("{\n  \"files\" : [ ]\n}")
	}
	b := []byte("{\n  \"files\" : [ ")
	for i, f := range m.Files {
		if i > 0 {
			b = append(b, ", "...)
		}
		// Names have digits, underscores and one dot: nothing that JSON escapes.
		b = fmt.Appendf(b, "{\n    \"fileName\" : \"%s\",\n    \"fileLen\" : %d\n  }", f.Name, f.Size)
	}
	return append(b, " ]\n}"...)
}

// snapshot is the version of the tree that counts.
type snapshot struct {
	version  int      // 0 for a table without a history
	manifest Manifest // empty for version 0
}

// readSnapshot reads the version that counts. A manifest that is gone was swept by a writer that went on meanwhile, if the version has moved.
func readSnapshot(ctx context.Context, store storage.Store, folder string) (snapshot, error) {
	for gone := 0; ; {
		version, _, err := currentVersion(ctx, store, folder)
		if err != nil || version == 0 {
			return snapshot{}, err
		}
		m, err := readManifest(ctx, store, folder, version)
		if errors.Is(err, storage.ErrNotExist) && version > gone {
			gone = version
			continue
		}
		if err != nil {
			return snapshot{}, err
		}
		return snapshot{version, *m}, nil
	}
}

func manifestKey(folder string, version int) string {
	return folder + manifestPrefix + strconv.Itoa(version)
}

func readManifest(ctx context.Context, store storage.Store, folder string, version int) (*Manifest, error) {
	key := manifestKey(folder, version)
	data, _, err := store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, &FileError{Key: key, Reason: "parse", Err: err}
	}
	return m, nil
}

// currentVersion is the number in the version file, with that file's ETag, or, where a writer stopped between its deletion and its
// replacement, that of the newest manifest and no ETag (LSMTimeline.latestSnapshotVersion). 0 is no history.
func currentVersion(ctx context.Context, store storage.Store, folder string) (version int, tag string, err error) {
	key := folder + versionName
	data, info, err := store.Get(ctx, key)
	if err == nil {
		version, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil || version < 1 {
			return 0, "", &FileError{Key: key, Reason: fmt.Sprintf("version %.20q", data)}
		}
		return version, info.ETag, nil
	}
	if !errors.Is(err, storage.ErrNotExist) {
		return 0, "", fmt.Errorf("read %s: %w", key, err)
	}
	for info, err := range store.List(ctx, folder+manifestPrefix) {
		if err != nil {
			return 0, "", fmt.Errorf("list manifests in %s: %w", folder, err)
		}
		if n, ok := manifestNumber(strings.TrimPrefix(info.Key, folder)); ok {
			version = max(version, n)
		}
	}
	return version, "", nil
}

// manifestNumber is the number of a manifest by its name.
func manifestNumber(name string) (int, bool) {
	text, found := strings.CutPrefix(name, manifestPrefix)
	n, err := strconv.Atoi(text)
	return n, found && err == nil && n > 0
}
