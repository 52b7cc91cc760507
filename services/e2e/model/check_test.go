package model

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	events     = 400 // of the one source
	unackedAt  = 390 // events from here on were sent and not acked
	partitions = 12
)

// scene is a run whose events all arrived; tests damage one thing and expect one class.
type scene struct {
	ledger  *load.Ledger
	gen     *load.Generator
	masking Masking
	rows    []handRow
	letters []DeadLetter
	table   *handTable
}

func newScene(t *testing.T) *scene {
	base := time.Now().Add(-time.Second).Truncate(time.Second)
	params := load.DefaultParams(0xbeef, 3, base)
	params.Sources, params.Encodings, params.SchemaIDs, params.Bad = 1, []load.Encoding{load.JSON}, []int{1, 2}, 500
	s := &scene{
		ledger: load.NewLedger(params), gen: load.NewGenerator(params),
		masking: Masking{KeyID: "k1", Key: []byte("test key"), Tenant: "default"},
		table:   &handTable{t: t, base: t.TempDir()},
	}
	s.ledger.Complete = true
	source := &s.ledger.Sources[0]
	source.Next = events
	for n := range uint64(events) {
		var e load.Event
		if n < unackedAt {
			source.Acked.Add(n)
		}
		if fault := s.gen.Fault(0, n); fault != load.NoFault {
			s.letters = append(s.letters, DeadLetter{Value: s.gen.Letter(nil, &e, 0, n), Cause: fault.Cause()})
			continue
		}
		s.gen.Fill(&e, 0, n)
		s.masking.Apply(&e)
		s.rows = append(s.rows, handRow{
			event: e, partition: int32(bucketHash(e.SessionID) % partitions), offset: int64(n), received: base.UnixMicro() + int64(n), tenant: "default",
		})
	}
	return s
}

// check writes the rows in two commits, the second of which rewrites the file groups of the first, and makes the verdict.
func (s *scene) check(t *testing.T) *Result {
	t.Helper()
	s.table.write("00000000-aaaa-0", s.rows[:len(s.rows)/2])
	s.table.write("00000000-aaaa-0", s.rows)
	return s.verdict(t)
}

func (s *scene) verdict(t *testing.T) *Result {
	t.Helper()
	return s.verdictWith(t, func(*Inputs) {})
}

// verdictWith makes the verdict from inputs that change has had a look at.
func (s *scene) verdictWith(t *testing.T, change func(*Inputs)) *Result {
	t.Helper()
	in := Inputs{
		Ledgers: []*load.Ledger{s.ledger}, Table: s.table.base, Partitions: partitions, Masking: s.masking,
		DeadLetters: func(_ context.Context, yield func(DeadLetter)) error {
			for _, letter := range s.letters {
				yield(letter)
			}
			return nil
		},
	}
	change(&in)
	result, err := Check(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestSoundRunIsOK(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	result := s.check(t)
	if result.Verdict != "ok" || len(result.Problems) > 0 {
		t.Fatalf("verdict %+v", result)
	}
	if len(s.letters) == 0 || result.Rows != uint64(len(s.rows)) || result.DeadLetters != uint64(len(s.letters)) {
		t.Errorf("%d rows and %d letters, want %d and %d", result.Rows, result.DeadLetters, len(s.rows), len(s.letters))
	}
	if result.Sent != events || result.Acked != unackedAt || result.OK+result.DLQ != unackedAt || result.UnackedPresent != events-unackedAt {
		t.Errorf("counts %+v", result)
	}
}

// Each case damages a sound run; only the named class may rise, by the given count.
func TestEachClassIsCaught(t *testing.T) {
	t.Parallel()
	type counts struct{ lost, duplicate, phantom, corrupt, outOfOrder uint64 }
	cases := map[string]struct {
		damage func(s *scene)
		want   counts
	}{
		"lost row":    {func(s *scene) { s.rows = slices.Delete(s.rows, 50, 52) }, counts{lost: 2}},
		"lost letter": {func(s *scene) { s.letters = s.letters[1:] }, counts{lost: 1}},
		"duplicate":   {func(s *scene) { s.rows = append(s.rows, s.rows[3]) }, counts{duplicate: 1}},
		"phantom row": {func(s *scene) {
			s.ledger.Sources[0].Next -= 2 // the last two were never sent
		}, counts{phantom: 2}},
		"phantom letter": {func(s *scene) {
			s.letters = append(s.letters, DeadLetter{Value: []byte(load.ID{Run: 1}.String())})
		}, counts{phantom: 1}},
		"changed column":   {func(s *scene) { s.rows[9].event.PositionMs++ }, counts{corrupt: 1}},
		"changed element":  {func(s *scene) { s.rows[9].event.Tags = append(s.rows[9].event.Tags, load.Tag{Key: "x"}) }, counts{corrupt: 1}},
		"null column":      {func(s *scene) { s.rows[9].event.ProfileID.Valid = !s.rows[9].event.ProfileID.Valid }, counts{corrupt: 1}},
		"lost masking":     {func(s *scene) { s.rows[9].event.AccountID = "acct-1" }, counts{corrupt: 1}},
		"wrong tenant":     {func(s *scene) { s.rows[9].tenant = "other" }, counts{corrupt: 1}},
		"wrong partition":  {func(s *scene) { s.rows[9].partition = (s.rows[9].partition + 1) % partitions }, counts{corrupt: 1}},
		"old receive time": {func(s *scene) { s.rows[9].received -= 3600 * 1e6 }, counts{corrupt: 1}},
		"changed letter":   {func(s *scene) { s.letters[0].Value = append(s.letters[0].Value, ' ') }, counts{corrupt: 1}},
		"wrong cause":      {func(s *scene) { s.letters[0].Cause = "NO_SUCH" }, counts{corrupt: 1}},
		"out of order":     {func(s *scene) { swapFirstOfSession(s) }, counts{outOfOrder: 1}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			c.damage(s)
			r := s.check(t)
			got := counts{r.Lost, r.Duplicate, r.Phantom, r.Corrupt, r.OutOfOrder}
			if got != c.want || r.Verdict != "failed" || len(r.Problems) == 0 {
				t.Errorf("%+v with verdict %s, want %+v; problems %q", got, r.Verdict, c.want, r.Problems)
			}
		})
	}
}

// swapFirstOfSession exchanges the offsets of the first two events of a session.
func swapFirstOfSession(s *scene) {
	for i := range s.rows {
		for j := range s.rows {
			a, b := &s.rows[i], &s.rows[j]
			if a.event.SessionID == b.event.SessionID && a.event.Sequence == 0 && b.event.Sequence == 1 {
				a.offset, b.offset = b.offset, a.offset
				return
			}
		}
	}
}

func TestAllowedClasses(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	var e load.Event
	good, _ := load.ParseID(s.rows[0].event.EventID)
	s.letters = append(s.letters, DeadLetter{Value: s.gen.Append(nil, &e, 0, good.N), Cause: ""}) // in both places
	s.rows = s.rows[:len(s.rows)-1]                                                               // unacked and absent
	s.rows = append(s.rows, s.rows[len(s.rows)-1])
	s.rows[len(s.rows)-1].event.EventID = "somebody-elses" // not of a generator
	if r := s.check(t); r.Verdict != "ok" || r.Both != 1 || r.UnackedAbsent != 1 || r.ForeignRows != 1 {
		t.Errorf("verdict %+v", r)
	}
}

func TestWrongVerdictsFailTheRun(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.ledger.Sources[0].WrongVerdicts = 1
	if r := s.check(t); r.Verdict != "failed" {
		t.Errorf("verdict %+v", r)
	}
}

func TestRunWithoutTableLosesAll(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if r := s.verdict(t); r.Verdict != "failed" || r.Lost != unackedAt-r.DLQ {
		t.Errorf("verdict %+v", r)
	}
}

func TestUncommittedFilesAreNotRead(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.table.write("00000000-aaaa-0", s.rows)
	s.table.write("00000001-bbbb-0", s.rows)
	if err := os.Remove(filepath.Join(s.table.base, ".hoodie", s.table.instant()+".commit")); err != nil {
		t.Fatal(err)
	}
	if r := s.verdict(t); r.Verdict != "ok" {
		t.Errorf("verdict %+v", r)
	}
}

func TestMissingAndDamagedFiles(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(path string) error{
		"missing": os.Remove,
		"cut":     func(path string) error { return os.Truncate(path, 100) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.table.write("00000000-aaaa-0", s.rows)
			files, err := filepath.Glob(filepath.Join(s.table.base, "event_date=*", "event_hour=*", "*.parquet"))
			if err != nil || len(files) == 0 {
				t.Fatal(files, err)
			}
			if err := damage(files[0]); err != nil {
				t.Fatal(err)
			}
			if r := s.verdict(t); r.Corrupt == 0 || r.Lost == 0 || !strings.Contains(strings.Join(r.Problems, " "), filepath.Base(files[0])) {
				t.Errorf("verdict %+v", r)
			}
		})
	}
}

func TestSnapshotReadsCheckpoint(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.table.write("00000000-aaaa-0", s.rows)
	snapshot, err := ReadSnapshot(s.table.base)
	if err != nil {
		t.Fatal(err)
	}
	if next := snapshot.Next["playback.events"]; next[0] != 7 || next[1] != 9 {
		t.Errorf("checkpoint %v", snapshot.Next)
	}
}

func TestResultIsOneJSONObject(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Result{Verdict: "ok"})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"verdict", "sent", "acked", "rows", "dead_letters", "lost", "duplicate", "phantom", "corrupt", "out_of_order"} {
		if !strings.Contains(string(text), `"`+name+`":`) {
			t.Errorf("%s lacks %s", text, name)
		}
	}
}

// Values worked out by hand from the contract: cut addresses in the text of RFC 5952, and 31 plus Java's hash of "ab".
func TestMaskingVectors(t *testing.T) {
	t.Parallel()
	for ip, want := range map[string]string{
		"203.0.113.77": "203.0.113.0", "2001:db8:1:2::3": "2001:db8:1::", "2001:0DB8:0:0:0:0:0:1": "2001:db8::", "::ffff:203.0.113.77": "203.0.113.0",
	} {
		if got := cutIP(ip); got != want {
			t.Errorf("cutIP(%s) = %s, want %s", ip, got, want)
		}
	}
	if got := bucketHash("ab"); got != 31+97*31+98 {
		t.Errorf("bucketHash(ab) = %d", got)
	}
}
