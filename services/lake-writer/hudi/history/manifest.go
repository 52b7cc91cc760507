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
}

// dataName is a data file's name: its first and last instant, and its level.
var dataName = regexp.MustCompile(`^([0-9]{14,20})_([0-9]{14,20})_[0-9]+\.parquet$`)

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
	}
	slices.SortFunc(m.Files, func(a, b ManifestFile) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.Name, b.Name)) })
	return &m, nil
}

// readManifest reads the manifest that counts, nil when the table has no history.
func readManifest(ctx context.Context, store storage.Store, folder string) (*Manifest, error) {
	version, err := currentVersion(ctx, store, folder)
	if err != nil || version == 0 {
		return nil, err
	}
	key := folder + manifestPrefix + strconv.Itoa(version)
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

// currentVersion is the number in the version file or, where a writer stopped between its deletion and its replacement, that of the newest
// manifest (LSMTimeline.latestSnapshotVersion). 0 is no history.
func currentVersion(ctx context.Context, store storage.Store, folder string) (int, error) {
	key := folder + versionName
	data, _, err := store.Get(ctx, key)
	if err == nil {
		version, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil || version < 1 {
			return 0, &FileError{Key: key, Reason: fmt.Sprintf("version %.20q", data)}
		}
		return version, nil
	}
	if !errors.Is(err, storage.ErrNotExist) {
		return 0, fmt.Errorf("read %s: %w", key, err)
	}
	newest := 0
	for info, err := range store.List(ctx, folder+manifestPrefix) {
		if err != nil {
			return 0, fmt.Errorf("list manifests in %s: %w", folder, err)
		}
		if version, err := strconv.Atoi(strings.TrimPrefix(info.Key, folder+manifestPrefix)); err == nil {
			newest = max(newest, version)
		}
	}
	return newest, nil
}
