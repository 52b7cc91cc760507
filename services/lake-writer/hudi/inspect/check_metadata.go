package inspect

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/hfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/mdt"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// checkMetadataTable compares the metadata table's listing with what is stored. Engines trust it when hoodie.properties names it.
func (v *verifier) checkMetadataTable(ctx context.Context) error {
	if !slices.Contains(v.props.List(meta.MetadataPartitions), "files") {
		for info, err := range v.store.List(ctx, mdt.Folder) {
			if err != nil {
				return err
			}
			v.warn(CodeMetadataUnused, strings.TrimSuffix(mdt.Folder, "/"), "is there (%s), and %s does not name it", info.Key, meta.MetadataPartitions)
			break
		}
		return nil
	}
	where := strings.TrimSuffix(mdt.Folder, "/")
	listing, err := mdt.Files(ctx, v.store)
	_, badLog := errors.AsType[*logfile.CorruptError](err)
	_, badFile := errors.AsType[*hfile.CorruptError](err)
	_, oddLog := errors.AsType[*logfile.UnsupportedError](err)
	_, oddFile := errors.AsType[*hfile.UnsupportedError](err)
	switch {
	case errors.Is(err, mdt.ErrAbsent):
		v.fault(CodeMetadataStale, where, "hoodie.properties names it, and it is not there")
		return nil
	case badLog || badFile:
		v.fault(CodeMetadataDamaged, where, "%v", err)
		return nil
	case oddLog || oddFile:
		v.report.NotChecked = append(v.report.NotChecked, fmt.Sprintf("the metadata table: %v", err))
		return nil
	case err != nil:
		return err
	}
	for _, key := range listing.Damaged {
		v.fault(CodeMetadataDamaged, key, "engines pass over a part of it without a word")
	}
	for _, d := range mdt.Compare(listing, v.committed()) {
		v.fault(CodeMetadataStale, where, "as of %s: %s", listing.Instant, d)
	}
	return nil
}

// committed are the data files of completed instants, by partition and name. Logs of layout 1 do not name theirs; those of a failed commit
// are listed too once it is rolled back.
func (v *verifier) committed() map[string]map[string]int64 {
	files := make(map[string]map[string]int64)
	for key, size := range v.sizes {
		f, err := fileslice.ParseKey(key)
		at := f.Instant
		if err != nil {
			l, err := fileslice.ParseLogKey(key)
			if err != nil {
				continue
			}
			if at = l.Instant; v.layout == timeline.Layout1 {
				at = ""
			}
		}
		if at != "" && !v.tl.Committed(at) {
			continue
		}
		partition, name := path.Split(key)
		partition = strings.TrimSuffix(partition, "/")
		if files[partition] == nil {
			files[partition] = make(map[string]int64)
		}
		files[partition][name] = size
	}
	return files
}
