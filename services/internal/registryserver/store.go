package registryserver

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// record is one change of state: a line of the file.
type record struct {
	Op      string `json:"op"` // "schema", "version", "soft", "hard", "level", "mode"
	Subject string `json:"subject,omitempty"`
	Version int    `json:"version,omitempty"`
	ID      int    `json:"id,omitempty"`
	Text    string `json:"text,omitempty"` // of "schema": the schema; of "level" and "mode": the value, empty to forget it
}

// version is one version of a subject.
type version struct {
	number, id int
	deleted    bool // softly
}

// state is what the records add up to.
type state struct {
	texts    map[int]string
	ids      map[string]int // by canonical text
	subjects map[string][]*version
	lastID   int
	levels   map[string]Level // by subject; "" is the global one
	modes    map[string]string
}

func newState() *state {
	return &state{
		texts: map[int]string{}, ids: map[string]int{}, subjects: map[string][]*version{},
		levels: map[string]Level{"": Backward}, modes: map[string]string{"": readWrite},
	}
}

func (s *state) apply(r record) {
	switch r.Op {
	case "schema":
		s.texts[r.ID], s.ids[canonical(r.Text)] = r.Text, r.ID
		s.lastID = max(s.lastID, r.ID)
	case "version":
		s.subjects[r.Subject] = append(s.subjects[r.Subject], &version{number: r.Version, id: r.ID})
	case "soft":
		if v := s.find(r.Subject, r.Version); v != nil {
			v.deleted = true
		}
	case "hard":
		s.forget(r.Subject, r.Version)
	case "level":
		if r.Text == "" {
			delete(s.levels, r.Subject)
		} else {
			s.levels[r.Subject] = Level(r.Text)
		}
	case "mode":
		if r.Text == "" {
			delete(s.modes, r.Subject)
		} else {
			s.modes[r.Subject] = r.Text
		}
	}
}

func (s *state) find(subject string, number int) *version {
	for _, v := range s.subjects[subject] {
		if v.number == number {
			return v
		}
	}
	return nil
}

func (s *state) forget(subject string, number int) {
	var kept []*version
	for _, v := range s.subjects[subject] {
		if v.number != number {
			kept = append(kept, v)
		}
	}
	if len(kept) == 0 {
		delete(s.subjects, subject)
		return
	}
	s.subjects[subject] = kept
}

// journalFile is what a journal needs of its file.
type journalFile interface {
	io.WriteSeeker
	io.Closer
	Sync() error
	Truncate(size int64) error
}

// journal appends records to a file and syncs before it returns; without a file it keeps nothing.
type journal struct {
	file journalFile
	end  int64 // of the records that were answered
	// broken is set when the file could not be brought back to end after a failed append. Nothing is written from then on:
	// what stands there is unknown, and a restart finds out.
	broken error
}

// openJournal replays the file in dir into st. A line without its end is what a crash left of an unfinished append: it was never
// answered, and is cut off. Anything else that does not parse is an error.
func openJournal(dir string, st *state) (*journal, error) {
	if dir == "" {
		return &journal{}, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create folder of the registry: %w", err)
	}
	path := filepath.Join(dir, "registry.jsonl")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open registry file: %w", err)
	}
	end, err := replay(file, st)
	if err == nil {
		err = file.Truncate(end)
	}
	if err == nil {
		_, err = file.Seek(end, io.SeekStart)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read registry file %s: %w", path, err), file.Close())
	}
	return &journal{file: file, end: end}, nil
}

// syncDir makes the entry of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func replay(file io.Reader, st *state) (end int64, err error) {
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err != nil {
			return end, err
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return end, fmt.Errorf("line at byte %d: %w", end, err)
		}
		st.apply(r)
		end += int64(len(line))
	}
}

// append writes the records of one request as one write. After a crash all of them are there, or some and an unfinished line:
// nobody was told of them. After an error none of them is there.
func (j *journal) append(records ...record) error {
	if j.file == nil {
		return nil
	}
	if j.broken != nil {
		return j.broken
	}
	var text bytes.Buffer
	for _, r := range records {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode registry record: %w", err)
		}
		text.Write(append(line, '\n'))
	}
	_, err := j.file.Write(text.Bytes())
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return j.undo(fmt.Errorf("append to registry file: %w", err))
	}
	j.end += int64(text.Len())
	return nil
}

// undo takes back what a failed append has written. Else the next one would continue a torn line, which no restart could read,
// or a restart would show a change that was refused.
func (j *journal) undo(cause error) error {
	err := j.file.Truncate(j.end)
	if err == nil {
		_, err = j.file.Seek(j.end, io.SeekStart)
	}
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = errors.Join(cause, fmt.Errorf("undo append to registry file: %w", err))
		return j.broken
	}
	return cause
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
