package merge

import (
	"bufio"
	"errors"
	"iter"
	"os"
)

// segment is the content of a data block of which some record won. Losers stay in it: to take them out would cost a copy of every record,
// and most blocks either stay whole or lose all of theirs to a later log.
type segment struct {
	log     string // the block's file and offset, for errors
	offset  int64
	schema  *schema
	rows    bool   // it is a Parquet file, and records are rows of it
	content []byte // nil when it is in the temporary file or needed no more
	at      int64  // in the temporary file
	size    int64
	spilled bool
	takes   []uint32 // the winners that had a record here, in the order of the records; some have others now
	live    int      // winners that have one here
}

// segments keeps what won, up to a bound in memory and behind that in a temporary file, which is written and read from its beginning to
// its end. A segment whose winners all lost goes, if it was in memory.
type segments struct {
	limit, held int64 // bytes
	dir         string
	list        []segment
	open        int32 // the segment that is being read; noSegment between blocks
	file        *os.File
	out         *bufio.Writer
	end         int64  // of the file
	buffer      []byte // what was read of it last
}

func newSegments(cfg Config) segments {
	return segments{limit: cfg.MemoryBytes, dir: cfg.SpillDir, open: noSegment}
}

// begin opens a segment, whose records are put next.
func (s *segments) begin(g segment) {
	g.size = int64(len(g.content))
	s.list = append(s.list, g)
	s.open = int32(len(s.list) - 1)
}

// take notes that a winner has a record in the open segment.
func (s *segments) take(number uint32) int32 {
	g := &s.list[s.open]
	g.takes = append(g.takes, number)
	g.live++
	return s.open
}

// leave notes that a winner has another record now, or none.
func (s *segments) leave(number int32) {
	if number == noSegment {
		return
	}
	g := &s.list[number]
	if g.live--; g.live == 0 && number != s.open {
		s.drop(g)
	}
}

func (s *segments) drop(g *segment) {
	if g.content != nil {
		s.held -= g.size
	}
	g.content, g.takes = nil, nil
}

// finishWith closes an open segment whose content was not known before.
func (s *segments) finishWith(content []byte) error {
	g := &s.list[s.open]
	g.content, g.size = content, int64(len(content))
	return s.finish()
}

// finish closes the open segment: its content stays in memory, goes to the file, or is not needed.
func (s *segments) finish() error {
	g := &s.list[s.open]
	s.open = noSegment
	switch {
	case g.live == 0:
		g.content, g.takes = nil, nil
		return nil
	case s.held+g.size <= s.limit:
		s.held += g.size
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "playhead-merge-")
		if err != nil {
			return &SpillError{Doing: "write", Err: err}
		}
		s.file, s.out = f, bufio.NewWriterSize(f, 1<<18)
	}
	if _, err := s.out.Write(g.content); err != nil {
		return &SpillError{Doing: "write", Err: err}
	}
	g.content, g.at, g.spilled = nil, s.end, true
	s.end += g.size
	return nil
}

// load is a segment's content, good until the next call.
func (s *segments) load(g *segment) ([]byte, error) {
	if !g.spilled {
		return g.content, nil
	}
	if err := s.out.Flush(); err != nil {
		return nil, &SpillError{Doing: "write", Err: err}
	}
	if int64(cap(s.buffer)) < g.size {
		s.buffer = make([]byte, g.size)
	}
	b := s.buffer[:g.size]
	if _, err := s.file.ReadAt(b, g.at); err != nil {
		return nil, &SpillError{Doing: "read", Err: err}
	}
	return b, nil
}

// close deletes the temporary file.
func (s *segments) close() error {
	if s.file == nil {
		return nil
	}
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// of are the segment's winners that make rows, in the order of their records; they are yielded once.
func (w *winners) of(g *segment) iter.Seq[*winner] {
	return func(yield func(*winner) bool) {
		for _, number := range g.takes {
			x := w.at(number)
			// Of a key that has several records here, all but one lead to the same winner again.
			if x.segment != noSegment && &w.list[x.segment] == g && !x.lost && !x.written {
				x.written = true
				if !yield(x) {
					return
				}
			}
		}
	}
}

// fail is an error of the segment's block.
func (g *segment) fail(err error) error { return &BlockError{Log: g.log, Offset: g.offset, Err: err} }
