package publish

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/router/internal/record"
)

// recorder is an owner that remembers what became of its records.
type recorder struct {
	acked   int
	refused []uint32
}

func (r *recorder) Acked(n int)                                { r.acked += n }
func (r *recorder) Refused(tag uint32, _ *record.RefusedError) { r.refused = append(r.refused, tag) }

func newBatch(owner record.Owner, firstTag, n int) *batch {
	b := &batch{}
	for i := range n {
		b.add(owner, &record.Record{Key: []byte("k"), Value: []byte{byte(i)}, Millis: int64(i), Tag: uint32(firstTag + i)})
	}
	b.seal(sarama.CompressionNone, 0)
	return b
}

// script runs a lane through the lines of a script and returns what it did, one line per line.
type script struct {
	lane  lane
	owner recorder
	now   time.Time
	tag   int
}

func (s *script) run(line string) string {
	words := strings.Fields(line)
	arg := func(i int) int {
		n, err := strconv.Atoi(words[i])
		if err != nil {
			panic(err)
		}
		return n
	}
	switch words[0] {
	case "push":
		s.lane.push(newBatch(&s.owner, s.tag, arg(1)))
		s.tag += arg(1)
		return s.state()
	case "wait":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			panic(err)
		}
		s.now = s.now.Add(d)
		return s.state()
	case "sequence":
		s.lane.sequence = int32(arg(1))
		return s.state()
	case "send":
		if !s.lane.ready(s.now) {
			return "not ready; " + s.state()
		}
		b := s.lane.send(s.now, 7, 23*time.Hour)
		if b == nil {
			return s.state()
		}
		return fmt.Sprintf("sent %d records, epoch %d, sequence %d", b.len(), b.wire.ProducerEpoch, b.wire.FirstSequence)
	case "lost":
		return s.effect(s.lane.answer(s.now, reply{lost: true}))
	case "answer":
		r := reply{code: sarama.KError(arg(1)), offset: -1}
		if r.code == sarama.ErrNoError {
			r.offset = int64(arg(2))
			return s.effect(s.lane.answer(s.now, r))
		}
		for i := range words[2:] {
			r.refused = append(r.refused, int32(arg(i+2)))
		}
		return s.effect(s.lane.answer(s.now, r))
	}
	panic("unknown command " + line)
}

func (s *script) effect(e effect) string {
	var out []string
	if e.done != nil {
		out = append(out, fmt.Sprintf("done %d", e.done.len()))
	}
	for _, i := range e.refused {
		out = append(out, fmt.Sprintf("refused tag %d", e.refusedFrom.entries[i].tag))
	}
	if e.refresh {
		out = append(out, "refresh")
	}
	if e.stalled {
		out = append(out, "alarm")
	}
	return strings.Join(append(out, s.state()), "; ")
}

func (s *script) state() string {
	var queue []string
	for _, b := range s.lane.queue {
		queue = append(queue, strconv.Itoa(b.len()))
	}
	out := fmt.Sprintf("queue [%s]", strings.Join(queue, " "))
	if d := s.lane.retryAt.Sub(s.now); d > 0 && !s.lane.retryAt.IsZero() {
		out += ", retry in " + d.String()
	}
	if s.lane.stalled {
		out += ", stalled"
	}
	if s.lane.trouble != "" {
		out += ": " + s.lane.trouble
	}
	return out
}

// TestLaneScripts compares the lane with testdata/lane.txt: lines that begin with "> " are commands, the line after each is what the lane has
// to say. A blank line starts a new lane. With REWRITE=1 in the environment the file is written anew.
func TestLaneScripts(t *testing.T) {
	t.Parallel()
	const path = "testdata/lane.txt"
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	start := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	s := &script{now: start, lane: lane{topic: "t", nextOffset: -1}}
	var rewritten strings.Builder
	want, number := "", 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		number++
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "> "):
			want = s.run(line[2:])
			rewritten.WriteString(line + "\n" + want + "\n")
		case line == "" || strings.HasPrefix(line, "#"):
			if line == "" {
				s = &script{now: start, lane: lane{topic: "t", nextOffset: -1}}
			}
			rewritten.WriteString(line + "\n")
		default:
			if line != want && os.Getenv("REWRITE") == "" {
				t.Errorf("%s:%d:\n got  %s\n want %s", path, number, want, line)
			}
		}
	}
	if os.Getenv("REWRITE") != "" {
		if err := os.WriteFile(path, []byte(rewritten.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAddSequenceWraps(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from int32
		n    int
		want int32
	}{{0, 3, 3}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1}} {
		if got := addSequence(tc.from, tc.n); got != tc.want {
			t.Errorf("addSequence(%d, %d) = %d, want %d", tc.from, tc.n, got, tc.want)
		}
	}
}

// TestMeaningOfEveryCode: a code that sarama learns later must at least be tried again, never dropped.
func TestMeaningOfEveryCode(t *testing.T) {
	t.Parallel()
	for code := sarama.KError(-2); code < 200; code++ {
		m := meaningOf(code)
		if m.name == "" {
			t.Errorf("code %d has no name", code)
		}
		if m.class == delivered && code != sarama.ErrNoError && code != sarama.ErrDuplicateSequenceNumber {
			t.Errorf("code %d (%s) counts as delivered", code, m.name)
		}
	}
}
