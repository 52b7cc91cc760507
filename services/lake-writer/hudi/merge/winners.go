package merge

import (
	"bufio"
	"errors"
	"iter"
	"os"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

const (
	// indexBytes is what a key costs beside its text: the winner, and its place in the index.
	indexBytes = 200
	// pageWinners are held together, so that more of them move none.
	pageWinners = 1 << 10
	// chunkBytes of records are held together; a longer record has its own chunk.
	chunkBytes = 256 << 10
)

// winner is the record of a key that won so far.
type winner struct {
	key      string
	ordering logfile.Ordering
	schema   *schema // of the record; nil for a deletion
	datum    []byte  // the record unless it is in the temporary file; else room for another one
	at, size int64   // in the temporary file
	deleted  bool
	always   bool // a deletion by commit time: it wins over all before it and loses to all behind it
	base     bool // the base file has a row of the key
	lost     bool // that row won
	spilled  bool // the record is in the temporary file
}

// winners holds one record for each key. Data beyond the bound goes to a temporary file, which is only appended to. What a replaced record
// took is used again when the next one fits in, and counts for as long as the merge lasts.
type winners struct {
	limit, held int64 // bytes
	dir         string
	index       map[string]*winner
	pages       [][]winner // in the order in which the keys came; all but the last are full
	chunk       []byte     // the rest of the last one
	file        *os.File
	out         *bufio.Writer
	end         int64 // of the file
}

func newWinners(cfg Config) *winners {
	return &winners{limit: cfg.MemoryBytes, dir: cfg.SpillDir, index: make(map[string]*winner)}
}

// get is the winner of a key, nil when it has none.
func (w *winners) get(key []byte) *winner { return w.index[string(key)] }

// all are the winners in the order in which their keys came.
func (w *winners) all() iter.Seq2[int, *winner] {
	return func(yield func(int, *winner) bool) {
		n := 0
		for _, page := range w.pages {
			for i := range page {
				if !yield(n, &page[i]) {
					return
				}
				n++
			}
		}
	}
}

// put makes a record its key's winner, in the place of old unless that is nil. The datum is copied.
func (w *winners) put(old *winner, key []byte, n winner, datum []byte) error {
	if old == nil {
		old = w.add(string(key))
	}
	n.key, n.datum = old.key, old.datum[:0]
	switch {
	case datum == nil:
		n.schema = nil
	case len(datum) <= cap(n.datum) || w.room(&n, len(datum)):
		n.datum = append(n.datum, datum...)
	default:
		if err := w.spill(&n, datum); err != nil {
			return err
		}
	}
	*old = n
	return nil
}

// add makes a place for a key's winner, which stays where it is.
func (w *winners) add(key string) *winner {
	last := len(w.pages) - 1
	if last < 0 || len(w.pages[last]) == pageWinners {
		w.pages = append(w.pages, make([]winner, 0, pageWinners))
		last++
	}
	w.pages[last] = append(w.pages[last], winner{})
	n := &w.pages[last][len(w.pages[last])-1]
	n.key = key
	w.index[key] = n
	w.held += int64(len(key)) + indexBytes
	return n
}

// room gives a winner an empty datum of a capacity, unless that is too much.
func (w *winners) room(n *winner, size int) bool {
	if len(w.chunk) < size {
		chunk := max(size, chunkBytes)
		if w.held+int64(chunk) > w.limit {
			return false
		}
		w.held += int64(chunk)
		w.chunk = make([]byte, chunk)
	}
	n.datum, w.chunk = w.chunk[:0:size], w.chunk[size:]
	return true
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
	n.at, n.size, n.spilled = w.end, int64(len(datum)), true
	w.end += n.size
	return nil
}

// load is a winner's datum.
func (w *winners) load(n *winner) ([]byte, error) {
	if !n.spilled {
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
