package merge

import (
	"bufio"
	"errors"
	"os"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// indexBytes is what a key costs beside its text.
const indexBytes = 150

// winner is the record of a key that won so far.
type winner struct {
	key      string
	ordering logfile.Ordering
	deleted  bool
	always   bool    // a deletion by commit time: it wins over all before it and loses to all behind it
	schema   *schema // of the datum; nil for a deletion
	datum    []byte  // nil when it is in the temporary file, or there is none
	at, size int64   // in the temporary file
	base     bool    // the base file has a row of the key
	lost     bool    // that row won
}

// winners holds one record for each key. Data beyond the bound goes to a temporary file, which is only appended to.
type winners struct {
	limit, held int64 // bytes
	dir         string
	index       map[string]int
	list        []winner // in the order in which the keys came
	file        *os.File
	out         *bufio.Writer
	end         int64 // of the file
}

func newWinners(cfg Config) *winners {
	return &winners{limit: cfg.MemoryBytes, dir: cfg.SpillDir, index: make(map[string]int)}
}

// get is the winner of a key; it is good until the next put.
func (w *winners) get(key []byte) *winner {
	if i, ok := w.index[string(key)]; ok {
		return &w.list[i]
	}
	return nil
}

// put makes a record its key's winner. The datum is copied.
func (w *winners) put(key []byte, n winner, datum []byte) error {
	old := w.get(key)
	if old == nil {
		n.key = string(key)
		w.index[n.key] = len(w.list)
		w.list = append(w.list, winner{key: n.key})
		old = &w.list[len(w.list)-1]
		w.held += int64(len(key)) + indexBytes
	}
	n.key = old.key
	w.held -= int64(len(old.datum))
	switch {
	case datum == nil:
	case w.held+int64(len(datum)) <= w.limit:
		n.datum = append([]byte(nil), datum...)
		w.held += int64(len(datum))
	default:
		if err := w.spill(&n, datum); err != nil {
			return err
		}
	}
	*old = n
	return nil
}

func (w *winners) spill(n *winner, datum []byte) error {
	if w.file == nil {
		f, err := os.CreateTemp(w.dir, "playhead-merge-")
		if err != nil {
			return &SpillError{Doing: "write", Err: err}
		}
		w.file, w.out = f, bufio.NewWriterSize(f, 1<<18)
	}
	if _, err := w.out.Write(datum); err != nil {
		return &SpillError{Doing: "write", Err: err}
	}
	n.at, n.size = w.end, int64(len(datum))
	w.end += n.size
	return nil
}

// load is a winner's datum.
func (w *winners) load(n *winner) ([]byte, error) {
	if n.datum != nil {
		return n.datum, nil
	}
	if err := w.out.Flush(); err != nil {
		return nil, &SpillError{Doing: "write", Err: err}
	}
	b := make([]byte, n.size)
	if _, err := w.file.ReadAt(b, n.at); err != nil {
		return nil, &SpillError{Doing: "read", Err: err}
	}
	return b, nil
}

// close deletes the temporary file.
func (w *winners) close() error {
	if w.file == nil {
		return nil
	}
	return errors.Join(w.file.Close(), os.Remove(w.file.Name()))
}

// beats reports whether a record that comes after another of its key wins (BufferedRecordMergerFactory, KeyBasedFileGroupRecordBuffer).
func (m *merger) beats(n, old *winner) bool {
	switch {
	case m.ordering == nil || n.always:
		return true
	case old.always:
		return !n.deleted // it stays against a deletion with a value, so that records behind both still win
	}
	if order, ok := n.ordering.Compare(old.ordering); ok {
		return order >= 0
	}
	// Null is smaller than everything; of values of two classes the later one wins.
	return n.ordering.Kind != logfile.OrderingNone || old.ordering.Kind == logfile.OrderingNone
}
