// Package fileslice owns the names of base and log files and the way from a listing and a timeline to the latest slice of each file
// group. It reads no file: which blocks of a log count is for package merge.
package fileslice

import (
	"cmp"
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

// Slice is the state of one file group as of a timeline.
type Slice struct {
	Partition, FileID string
	Base              BaseFile // the zero value when HasBase is false
	HasBase           bool
	Logs              []LogFile // what a merging reader reads on top of the base file, in this order
}

// View is what a listing shows as of a timeline.
type View struct {
	Slices   []Slice    // the latest committed slice of each file group, by partition and file id
	Dangling []BaseFile // base files of instants that have not committed: of attempts under way, or left behind
	// DanglingLogs are the same of log files, on timelines of layout 2. In layout 1 a log's name does not say whose it is.
	DanglingLogs []LogFile
	// Unnamed are files that look like log files and have no log file's name; a reader that passed over one might miss rows.
	Unnamed []string
}

// Object is a listed object, as far as it matters here.
type Object struct {
	Key  string
	Size int64 // bytes
}

// Latest picks each file group's newest committed base file (AbstractTableFileSystemView.getLatestFileSlices) and the log files on top of
// it, leaving out groups that replaced names: file ids by partition which a replacecommit of the timeline took away. In layout 1 logs that
// are named after a compaction which has not completed are on top of the slice that it will compact. In layout 2 a log is on top of the
// base files whose instant is not after the completion of the log's own (AbstractTableFileSystemView.addLogFilesToFileGroup by way of
// CompletionTimeQueryView): a write that ended while a compaction ran is not in what the compaction made.
func Latest(objects []Object, t *timeline.Timeline, replaced map[string][]string) View {
	var view View
	groups := make(map[groupID]*Slice)
	slice := func(partition, id string) *Slice {
		g := groupID{partition, id}
		if groups[g] == nil {
			groups[g] = &Slice{Partition: partition, FileID: id}
		}
		return groups[g]
	}
	for _, o := range objects {
		if strings.HasPrefix(o.Key, timeline.Folder) {
			continue
		}
		if name := path.Base(o.Key); looksLikeLog(name) {
			f, err := ParseLogKey(o.Key)
			if err != nil {
				view.Unnamed = append(view.Unnamed, o.Key)
				continue
			}
			f.Size = o.Size
			switch {
			case t.Layout() == timeline.Layout2 && !t.Committed(f.Instant):
				view.DanglingLogs = append(view.DanglingLogs, f)
			case !slices.Contains(replaced[f.Partition], f.FileID):
				s := slice(f.Partition, f.FileID)
				s.Logs = append(s.Logs, f)
			}
			continue
		}
		f, err := ParseKey(o.Key)
		if err != nil {
			continue
		}
		f.Size = o.Size
		switch {
		case !t.Committed(f.Instant):
			view.Dangling = append(view.Dangling, f)
		case slices.Contains(replaced[f.Partition], f.FileID):
		default:
			if s := slice(f.Partition, f.FileID); !s.HasBase || s.Base.Instant < f.Instant {
				s.Base, s.HasBase = f, true
			}
		}
	}
	for _, s := range groups {
		s.Logs = slices.DeleteFunc(s.Logs, func(l LogFile) bool { return Position(t, l) < s.Base.Instant || !seen(t, l) })
		if !s.HasBase && len(s.Logs) == 0 {
			continue
		}
		slices.SortFunc(s.Logs, compareLogs)
		view.Slices = append(view.Slices, *s)
	}
	slices.SortFunc(view.Slices, func(a, b Slice) int {
		return cmp.Or(strings.Compare(a.Partition, b.Partition), strings.Compare(a.FileID, b.FileID))
	})
	return view
}

type groupID struct{ partition, fileID string }

// looksLikeLog is loose, so that no log file is missed, but for those of change data capture.
func looksLikeLog(name string) bool {
	return strings.HasPrefix(name, ".") && strings.Contains(name, logMark) && !strings.HasSuffix(name, ".cdc") && !strings.HasSuffix(name, ".crc")
}

// seen reports whether a log can hold anything as of the timeline. In layout 1 a log's name does not say which commits are in it, so only
// those that are named after a later instant are left out.
func seen(t *timeline.Timeline, l LogFile) bool {
	return t.Layout() == timeline.Layout2 || l.Instant <= t.Last()
}

// Position is where a log stands among its group's base files: it is on top of those whose instant is not after it. In layout 1 that is the
// instant of the log's name; in layout 2 when that instant completed, or the instant itself when that is not known: of writes that are
// archived, and of files that are older than their table's upgrade.
func Position(t *timeline.Timeline, l LogFile) timeline.Instant {
	if at, ok := t.CompletionOf(l.Instant); ok && t.Layout() == timeline.Layout2 {
		return at
	}
	return l.Instant
}
