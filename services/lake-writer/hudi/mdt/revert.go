package mdt

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Revert takes away what was written of an instant that never completed, of all partitions. It is called before the instant's pending files
// leave the table's timeline, and may be repeated. A table without a metadata table has nothing to revert.
func Revert(ctx context.Context, store storage.Store, target timeline.Instant) error {
	w, err := open(ctx, store)
	if errors.Is(err, ErrAbsent) {
		return nil
	}
	if err != nil {
		return err
	}
	var completed, files, pending []string
	for info, err := range store.List(ctx, Folder) {
		if err != nil {
			return fmt.Errorf("list %s: %w", Folder, err)
		}
		name := path.Base(info.Key)
		switch m := instantName.FindStringSubmatch(name); {
		case path.Dir(info.Key)+"/" == w.timeline && m != nil && m[1] == string(target):
			if m[4] == "" && m[3] != "inflight" {
				completed = append(completed, info.Key)
			} else {
				pending = append(pending, info.Key)
			}
		case strings.HasPrefix(info.Key, metadataTimeline):
		case strings.Contains(name, "_"+string(target)+".log.") || strings.HasSuffix(name, "_"+string(target)+".hfile"):
			files = append(files, info.Key)
		}
	}
	for _, keys := range [][]string{completed, files, pending} {
		for _, key := range keys {
			if err := store.Delete(ctx, key); err != nil {
				return fmt.Errorf("delete %s: %w", key, err)
			}
		}
	}
	return nil
}
