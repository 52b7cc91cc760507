package load

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fakeGateway speaks the client protocol, accepts every event but those with a fault, and breaks connections after some messages.
type fakeGateway struct {
	t          *testing.T
	gen        *Generator
	breakAfter uint64 // messages that a connection reads before it breaks with the last half unacked; 0: never
	breaks     int    // connections that break
	refuse     websocket.StatusCode

	mu   sync.Mutex
	seen map[ID]int
}

func (f *fakeGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"playhead.v1.json", "playhead.v1.avro"}})
	if err != nil {
		f.t.Error(err)
		return
	}
	defer conn.CloseNow()
	conn.SetReadLimit(4 << 20)
	ctx := r.Context()
	_ = conn.Write(ctx, websocket.MessageText, []byte(`{"hello":{"connection":"c","levels":["replicated"]}}`))
	if f.refuse != 0 {
		_ = conn.Close(f.refuse, "code=NO")
		return
	}
	f.mu.Lock()
	broken := f.breaks > 0
	f.breaks--
	f.mu.Unlock()
	for want := uint64(1); ; want++ {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return
		}
		seq, ids := decodeMessage(f.t, conn.Subprotocol(), data)
		if seq != want {
			f.t.Errorf("message %d came as number %d", seq, want)
		}
		a := ack{Ack: seq, Level: "replicated"}
		f.mu.Lock()
		for i, id := range ids {
			f.seen[id]++
			if fault := f.gen.Fault(id.Source, id.N); fault != NoFault {
				a.Rejected = append(a.Rejected, rejection{Seq: seq, Index: i, Cause: fault.Cause()})
			}
		}
		f.mu.Unlock()
		if broken && want > f.breakAfter/2 {
			if want == f.breakAfter {
				return
			}
			continue
		}
		text, err := json.Marshal(a)
		if err != nil {
			f.t.Error(err)
		}
		_ = conn.Write(ctx, websocket.MessageText, text)
	}
}

func decodeMessage(t *testing.T, protocol string, data []byte) (seq uint64, ids []ID) {
	if protocol == "playhead.v1.json" {
		if _, err := fmt.Sscanf(string(data), `{"seq":%d,`, &seq); err != nil {
			t.Error(err)
		}
		for _, text := range strings.Split(string(data), `"event_id":`)[1:] {
			id, _ := FindID([]byte(text))
			ids = append(ids, id)
		}
		return seq, ids
	}
	seq, n := binary.Uvarint(data)
	data = data[n:]
	count, n := binary.Uvarint(data)
	data = data[n:]
	for range count {
		size, n := binary.Uvarint(data)
		id, ok := FindID(data[n : n+int(size)])
		if !ok {
			t.Error("an event has no id")
		}
		ids = append(ids, id)
		data = data[n+int(size):]
	}
	if len(data) > 0 {
		t.Errorf("%d bytes after the last event", len(data))
	}
	return seq, ids
}

func startFake(t *testing.T, f *fakeGateway) string {
	f.t, f.gen, f.seen = t, NewGenerator(testParams()), make(map[ID]int)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func runFleet(t *testing.T, url string) (*Fleet, error) {
	fleet, err := NewFleet(url, testParams(), Pace{Events: 5003, Batch: 50, Window: 4})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return fleet, fleet.Run(ctx)
}

func TestFleetBooksEveryVerdict(t *testing.T) {
	t.Parallel()
	for name, gateway := range map[string]*fakeGateway{"steady": {}, "breaking": {breakAfter: 5, breaks: 12}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fleet, err := runFleet(t, startFake(t, gateway))
			if err != nil {
				t.Fatal(err)
			}
			ledger := fleet.Ledger(true)
			gateway.mu.Lock()
			defer gateway.mu.Unlock()
			var next, received, expected uint64
			for source, s := range ledger.Sources {
				next += s.Next
				expected += s.Next + s.Duplicates + s.Resent
				if s.Acked.Count() != s.Next || s.WrongVerdicts > 0 {
					t.Errorf("source %d: %d of %d acked, wrong verdicts: %v", source, s.Acked.Count(), s.Next, s.WrongExamples)
				}
				for n := range s.Next {
					if gateway.seen[fleet.clients[0].gen.ID(source, n)] == 0 {
						t.Fatalf("event %d of source %d was never received", n, source)
					}
					if bad := gateway.gen.Fault(source, n) != NoFault; bad != s.Rejected.Has(n) {
						t.Fatalf("event %d of source %d: broken %v, rejected %v", n, source, bad, s.Rejected.Has(n))
					}
				}
			}
			for _, times := range gateway.seen {
				received += uint64(times)
			}
			if next != 5003 || received > expected || gateway.breakAfter == 0 && received != expected {
				t.Errorf("%d events begun (want 5003), %d received of %d sent", next, received, expected)
			}
			if resent := fleet.Totals().Resent; (resent > 0) != (gateway.breakAfter > 0) {
				t.Errorf("%d resent", resent)
			}
		})
	}
}

func TestFleetEndsWhenRefused(t *testing.T) {
	t.Parallel()
	_, err := runFleet(t, startFake(t, &fakeGateway{refuse: websocket.StatusPolicyViolation}))
	if err == nil || !strings.Contains(err.Error(), "refuses") {
		t.Errorf("error is %v, want the refusal", err)
	}
}

func TestStopAndPace(t *testing.T) {
	t.Parallel()
	fleet, err := NewFleet(startFake(t, &fakeGateway{}), testParams(), Pace{Rate: 2000, Batch: 50, Window: 4})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	time.AfterFunc(300*time.Millisecond, fleet.Stop)
	if err := fleet.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	sent, allowed := fleet.Totals().Sent, uint64(time.Since(began).Seconds()*2000)+1
	if sent == 0 || sent > allowed {
		t.Errorf("%d sent, want 1 to %d", sent, allowed)
	}
	if p99 := fleet.Latency().Quantile(0.99); p99 <= 0 || p99 > time.Minute {
		t.Errorf("latency p99 is %v", p99)
	}
}

func TestLedgerRoundTrip(t *testing.T) {
	t.Parallel()
	ledger := NewLedger(testParams())
	ledger.Sources[2].Next = 9
	ledger.Sources[2].verdict(ID{N: 5}, NoFault, "")
	ledger.Sources[2].verdict(ID{N: 6}, WrongType, "TYPE_MISMATCH")
	ledger.Sources[2].verdict(ID{N: 7}, NoFault, "TOO_LARGE")
	dir := t.TempDir()
	if err := ledger.Save(dir + "/run.json"); err != nil {
		t.Fatal(err)
	}
	back, err := LoadLedgers(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := back[0].Sources[2]
	if s.Next != 9 || s.Acked.Count() != 3 || !s.Rejected.Has(6) || s.Rejected.Count() != 1 || s.WrongVerdicts != 1 {
		t.Errorf("round trip gives %+v", s)
	}
}
