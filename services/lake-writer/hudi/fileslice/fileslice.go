// Package fileslice owns the names of base files and the way from a listing and a timeline to the latest file of each file group.
// It reads no file. Log files are recognized, so that a merge-on-read slice is never mistaken for a complete one.
package fileslice

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// PartitionMetafile is the name of the file that makes a folder a partition (HoodiePartitionMetadata).
const PartitionMetafile = ".hoodie_partition_metadata"

const parquetSuffix = ".parquet"

// BaseFile is a base file by its name <fileId>_<token>_<instant>.parquet, with where it lies.
type BaseFile struct {
	Partition string // path relative to the table, "" when it is not partitioned
	FileID    string
	Token     Token
	Instant   timeline.Instant
	Size      int64 // bytes
}

// Token tells attempts apart: three decimals, Spark's task partition, stage and attempt.
type Token struct{ A, B, C int64 }

// String is the token's text in file names.
func (t Token) String() string { return fmt.Sprintf("%d-%d-%d", t.A, t.B, t.C) }

// ErrName: a text is no base file's name.
var ErrName = errors.New("not the name of a base file")

// Name is the file's name without its partition.
func (f BaseFile) Name() string {
	return f.FileID + "_" + f.Token.String() + "_" + string(f.Instant) + parquetSuffix
}

// Key is the file's storage key.
func (f BaseFile) Key() string { return path.Join(f.Partition, f.Name()) }

// ParseName reads the name of a base file (FSUtils.isBaseFile, with a token of three decimals as readers want it).
func ParseName(name string) (BaseFile, error) {
	stem, ok := strings.CutSuffix(name, parquetSuffix)
	parts := strings.Split(stem, "_")
	if !ok || len(parts) != 3 || !plain(parts[0]) {
		return BaseFile{}, fmt.Errorf("%q: %w", name, ErrName)
	}
	token, ok := parseToken(parts[1])
	instant, err := timeline.ParseInstant(parts[2])
	f := BaseFile{FileID: parts[0], Token: token, Instant: instant}
	if !ok || err != nil || f.Name() != name { // the last refuses leading zeros
		return BaseFile{}, fmt.Errorf("%q: %w", name, ErrName)
	}
	return f, nil
}

// ParseKey reads a base file's storage key.
func ParseKey(key string) (BaseFile, error) {
	dir, name := path.Split(key)
	f, err := ParseName(name)
	if err != nil {
		return BaseFile{}, err
	}
	f.Partition = strings.TrimSuffix(dir, "/")
	if f.Key() != key {
		return BaseFile{}, fmt.Errorf("%q: %w", key, ErrName)
	}
	return f, nil
}

func parseToken(s string) (t Token, ok bool) {
	parts := strings.Split(s, "-")
	if len(parts) != 3 {
		return Token{}, false
	}
	for i, to := range []*int64{&t.A, &t.B, &t.C} {
		n, err := strconv.ParseInt(parts[i], 10, 64)
		if err != nil || n < 0 {
			return Token{}, false
		}
		*to = n
	}
	return t, true
}

// plain reports whether s consists of what FSUtils allows in a file id.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

// IsLogFile reports whether a name is of a log file (HoodieLogFile.LOG_FILE_PATTERN, loosely: no log file is missed).
func IsLogFile(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, ".log.")
}

// Slice is the state of one file group as of a timeline.
type Slice struct {
	Base BaseFile
	Logs int // log files on top of the base file that a merging reader would have to read
}

// View is what a listing shows as of a timeline.
type View struct {
	Slices   []Slice    // the latest committed slice of each file group, by partition and file id
	Dangling []BaseFile // base files of instants that have not committed: of attempts under way, or left behind
}

// Object is a listed object, as far as it matters here.
type Object struct {
	Key  string
	Size int64 // bytes
}

// Latest picks each file group's newest committed base file (AbstractTableFileSystemView.getLatestBaseFiles), leaving out groups
// that replaced names: file ids by partition which a replacecommit of the timeline took away.
func Latest(objects []Object, t *timeline.Timeline, replaced map[string][]string) View {
	type group struct{ partition, fileID string }
	newest := make(map[group]BaseFile)
	logs := make(map[string]int) // by partition, file id and base instant, as log names of table version 6 carry them
	var view View
	for _, o := range objects {
		if dir, name := path.Split(o.Key); IsLogFile(name) {
			logs[dir+logGroup(name)]++ // dir is "" or ends in a slash, as path.Join writes it below
			continue
		}
		f, err := ParseKey(o.Key)
		if err != nil || strings.HasPrefix(o.Key, timeline.Folder) {
			continue
		}
		f.Size = o.Size
		g := group{f.Partition, f.FileID}
		switch {
		case !t.Committed(f.Instant):
			view.Dangling = append(view.Dangling, f)
		case slices.Contains(replaced[f.Partition], f.FileID):
		case newest[g].Instant < f.Instant:
			newest[g] = f
		}
	}
	for _, f := range newest {
		view.Slices = append(view.Slices, Slice{Base: f, Logs: logs[path.Join(f.Partition, "."+f.FileID+"_"+string(f.Instant))]})
	}
	slices.SortFunc(view.Slices, func(a, b Slice) int { return strings.Compare(a.Base.Key(), b.Base.Key()) })
	return view
}

// logGroup is the part of a log file's name that names its slice: .<fileId>_<base instant>.
func logGroup(name string) string {
	group, _, _ := strings.Cut(name, ".log.")
	return group
}
