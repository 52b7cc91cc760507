package history

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Instant is an archived instant (HoodieLSMTimelineInstant). It completed.
type Instant struct {
	Instant    timeline.Instant
	Completion timeline.Instant // "" for an instant that is older than its table's upgrade to layout 2
	Action     timeline.Action
	Metadata   []byte // content of its completed file
	Plan       []byte // content of its requested file, nil where there is nothing to say
}

// version is the version of HoodieLSMTimelineInstant that this package knows.
const version = 1

// Read yields the instants of the history in a folder, each once, ascending as far as the instants of each file are, which is how Hudi
// writes them. A table without a history has none. After an error it yields nothing more; an error that wraps storage.ErrNotExist is of a
// file that a concurrent writer merged into another one, and reading again helps.
//
// It holds, of each file whose range of instants includes the current one, at most 4 MiB, an instant and a page of each column.
func Read(ctx context.Context, store storage.Store, folder string) iter.Seq2[Instant, error] {
	return ReadFrom(ctx, store, folder, "")
}

// ReadFrom is Read for the instants that are not before one. It reads only the files that may have such instants.
func ReadFrom(ctx context.Context, store storage.Store, folder string, first timeline.Instant) iter.Seq2[Instant, error] {
	return func(yield func(Instant, error) bool) {
		s, err := readSnapshot(ctx, store, folder)
		if err != nil {
			yield(Instant{}, err)
			return
		}
		files := slices.DeleteFunc(s.manifest.Files, func(f ManifestFile) bool { return f.last < first })
		for in, err := range readFiles(ctx, store, folder, files) {
			if (err != nil || in.Instant >= first) && !yield(in, err) {
				return
			}
		}
	}
}

// readFiles yields the instants of some files, in the order of their first instants, as Read does.
func readFiles(ctx context.Context, store storage.Store, folder string, files []ManifestFile) iter.Seq2[Instant, error] {
	return func(yield func(Instant, error) bool) {
		merge := merger{files: files, open: func(f ManifestFile) (iter.Seq2[Instant, error], error) {
			return openFile(ctx, store, folder+f.Name, f.Size)
		}}
		defer merge.stop()
		var at timeline.Instant
		var seen []timeline.Action // of instant at
		for {
			in, ok, err := merge.next()
			if err != nil {
				yield(Instant{}, err)
				return
			}
			if !ok {
				return
			}
			if in.Instant != at {
				at, seen = in.Instant, seen[:0]
			}
			if slices.Contains(seen, in.Action) { // archived again by a writer that stopped before it was done
				continue
			}
			seen = append(seen, in.Action)
			if !yield(in, nil) {
				return
			}
		}
	}
}

// merger merges files by their instants. It opens a file when its turn has come.
type merger struct {
	files []ManifestFile // that are not open yet, in the order of their first instants
	open  func(ManifestFile) (iter.Seq2[Instant, error], error)
	heads []*head
	taken *head // whose instant was given away
}

// head is an open file at its next instant.
type head struct {
	at   Instant
	pull func() (Instant, error, bool)
	stop func()
}

// next is the least instant of all files that was not taken yet.
func (m *merger) next() (in Instant, ok bool, err error) {
	if m.taken != nil {
		if err := m.advance(m.taken); err != nil {
			return Instant{}, false, err
		}
		m.taken = nil
	}
	least := m.least()
	for len(m.files) > 0 && (least == nil || m.files[0].first <= least.at.Instant) {
		rows, err := m.open(m.files[0])
		if err != nil {
			return Instant{}, false, err
		}
		m.files = m.files[1:]
		h := &head{}
		h.pull, h.stop = iter.Pull2(rows)
		m.heads = append(m.heads, h)
		if err := m.advance(h); err != nil {
			return Instant{}, false, err
		}
		least = m.least()
	}
	if least == nil {
		return Instant{}, false, nil
	}
	m.taken = least
	return least.at, true, nil
}

// least is the head with the least instant, nil when all files are read.
func (m *merger) least() *head {
	var least *head
	for _, h := range m.heads {
		if least == nil || h.at.Instant < least.at.Instant {
			least = h
		}
	}
	return least
}

// advance moves a head to its next instant, and takes it out at the end of its file.
func (m *merger) advance(h *head) error {
	in, err, ok := h.pull()
	if ok && err == nil {
		h.at = in
		return nil
	}
	h.stop()
	m.heads = slices.DeleteFunc(m.heads, func(other *head) bool { return other == h })
	return err
}

func (m *merger) stop() {
	for _, h := range m.heads {
		h.stop()
	}
}

// columns of a data file, in the order in which rowInstant takes them.
var columns = []string{"instantTime", "completionTime", "action", "metadata", "plan", "version"}

// openFile opens a data file and yields its instants in its order.
func openFile(ctx context.Context, store storage.Store, key string, size int64) (iter.Seq2[Instant, error], error) {
	at, err := openObject(ctx, store, key, size)
	if err != nil {
		return nil, err
	}
	file, err := basefile.OpenReader(at, size)
	if err != nil {
		return nil, at.blame(key, err)
	}
	return func(yield func(Instant, error) bool) {
		for row, err := range file.Rows(columns) {
			if err != nil {
				yield(Instant{}, at.blame(key, err))
				return
			}
			in, err := rowInstant(row.Values)
			if err != nil {
				yield(Instant{}, &FileError{Key: key, Reason: "read row", Err: err})
				return
			}
			if !yield(in, nil) {
				return
			}
		}
	}, nil
}

// rowInstant is the instant of a row with the columns.
func rowInstant(values []any) (Instant, error) {
	instant, _ := values[0].(string)
	completion, _ := values[1].(string)
	action, _ := values[2].(string)
	if !isTime(instant) || completion != "" && !isTime(completion) || action == "" {
		return Instant{}, fmt.Errorf("instant %.20q, completed at %.20q, action %.20q", instant, completion, action)
	}
	if v, _ := values[5].(int64); v > version {
		return Instant{}, fmt.Errorf("version %d of instant %s, this program knows up to %d", v, instant, version)
	}
	in := Instant{Instant: timeline.Instant(instant), Completion: timeline.Instant(completion), Action: timeline.Action(action)}
	var ok [2]bool
	in.Metadata, ok[0] = content(values[3])
	in.Plan, ok[1] = content(values[4])
	if !ok[0] || !ok[1] {
		return Instant{}, fmt.Errorf("content of instant %s is %T and %T", instant, values[3], values[4])
	}
	return in, nil
}

func content(value any) (data []byte, ok bool) {
	if value == nil {
		return nil, true
	}
	data, ok = value.([]byte)
	return data, ok
}

// isTime reports whether a text is an instant's, whatever the calendar says: metadata tables have instants of year 0 and with suffixes.
func isTime(s string) bool {
	if len(s) < 14 || len(s) > 20 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
