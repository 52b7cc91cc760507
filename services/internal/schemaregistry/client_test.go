package schemaregistry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/internal/registryserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const schemaV1 = `{"type":"record","name":"E","fields":[{"name":"a","type":"string"}]}`

// front counts requests and can answer in place of the registry.
type front struct {
	real     http.Handler
	requests atomic.Int64
	instead  atomic.Pointer[http.HandlerFunc]
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	if h := f.instead.Load(); h != nil {
		(*h)(w, r)
		return
	}
	f.real.ServeHTTP(w, r)
}

func (f *front) answer(h http.HandlerFunc) { f.instead.Store(&h) }

func newRegistry(t *testing.T) (*front, string) {
	t.Helper()
	server, err := registryserver.New(registryserver.Params{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	f := &front{real: server.Handler()}
	web := httptest.NewServer(f)
	t.Cleanup(web.Close)
	return f, web.URL
}

func newClient(t *testing.T, p Params) *Client {
	t.Helper()
	p.Logger, p.Registerer = slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	c, err := New(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func register(t *testing.T, c *Client, subject string) int {
	t.Helper()
	id, err := c.Register(t.Context(), subject, schemaV1)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestKnownSchemaIsAskedForOnce(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	id := register(t, newClient(t, Params{URL: url}), "s")
	c := newClient(t, Params{URL: url})
	before := f.requests.Load()
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			schema, err := c.ByID(t.Context(), id)
			if err != nil || schema.Text != schemaV1 {
				t.Errorf("schema %q, error %v", schema.Text, err)
			}
		})
	}
	group.Wait()
	if got := f.requests.Load() - before; got != 1 {
		t.Errorf("%d requests for one id, want 1", got)
	}
	uses, err := c.Subjects(t.Context(), id)
	if err != nil || len(uses) != 1 || uses[0] != (SubjectVersion{"s", 1}) {
		t.Errorf("uses %v, error %v", uses, err)
	}
	latest, err := c.Latest(t.Context(), "s")
	if err != nil || latest.ID != id || latest.Version != 1 || latest.Subject != "s" {
		t.Errorf("latest %+v, error %v", latest, err)
	}
}

func TestUnknownIsDefiniteAndRemembered(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	c := newClient(t, Params{URL: url})
	for range 3 {
		if _, err := c.ByID(t.Context(), 99); !errors.Is(err, ErrUnknown) {
			t.Fatalf("error %v, want ErrUnknown", err)
		}
	}
	if got := f.requests.Load(); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
	if _, err := c.Latest(t.Context(), "nope"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v, want ErrUnknown", err)
	}
}

func TestFloodOfUnknownIdsIsBounded(t *testing.T) {
	t.Parallel()
	c := newClient(t, Params{URL: "http://127.0.0.1:1"})
	for i := range 3 * maxNegative {
		c.addNegative(fmt.Sprint(i))
	}
	if len(c.negative) > maxNegative {
		t.Errorf("%d negative entries, the bound is %d", len(c.negative), maxNegative)
	}
}

// A registry that hangs under a flood of ids holds a bounded number of requests; the others fail at once, as an outage.
func TestFloodWhileTheRegistryHangs(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	c := newClient(t, Params{URL: url, Timeout: time.Minute})
	hang := make(chan struct{})
	f.answer(func(w http.ResponseWriter, _ *http.Request) {
		<-hang
		http.Error(w, "away", http.StatusServiceUnavailable)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	var busy, gaveUp atomic.Int64
	for id := range 2 * maxPending {
		group.Go(func() {
			_, err := c.ByID(ctx, id)
			switch {
			case errors.Is(err, errBusy):
				if busy.Add(1) == maxPending {
					cancel() // all that are left are pending
				}
			case errors.Is(err, context.Canceled):
				gaveUp.Add(1)
			default:
				t.Errorf("id %d: error %v", id, err)
			}
		})
	}
	group.Wait()
	if busy.Load() != maxPending || gaveUp.Load() != maxPending {
		t.Errorf("%d refused, %d given up, want %d each", busy.Load(), gaveUp.Load(), maxPending)
	}
	close(hang)
	deadline := time.Now().Add(10 * time.Second)
	for pending := maxPending; pending > 0 && time.Now().Before(deadline); runtime.Gosched() {
		c.mu.Lock()
		pending = c.pending
		c.mu.Unlock()
	}
	if _, err := c.ByID(t.Context(), 1); err == nil || errors.Is(err, errBusy) || errors.Is(err, ErrUnknown) {
		t.Errorf("after the flood: error %v, want the registry's", err)
	}
}

// A schema that was first registered elsewhere can get a subject that we route later.
func TestSubjectsAreReadAgain(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	c := newClient(t, Params{URL: url, NegativeTTL: time.Nanosecond})
	id := register(t, c, "first")
	if list, err := c.Subjects(t.Context(), id); err != nil || len(list) != 1 {
		t.Fatalf("subjects %v, error %v", list, err)
	}
	register(t, c, "second")
	want := []SubjectVersion{{"first", 1}, {"second", 1}}
	if list, err := c.Subjects(t.Context(), id); err != nil || !slices.Equal(list, want) {
		t.Errorf("subjects %v, error %v, want %v", list, err, want)
	}
	f.answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusServiceUnavailable) })
	if list, err := c.Subjects(t.Context(), id); err != nil || !slices.Equal(list, want) {
		t.Errorf("during an outage: subjects %v, error %v, want %v", list, err, want)
	}
}

func TestOutageIsNotUnknown(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	c := newClient(t, Params{URL: url})
	id := register(t, c, "s")
	for _, status := range []int{http.StatusInternalServerError, http.StatusNotFound} { // 404 of a proxy, without a registry's code
		f.answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", status) })
		if _, err := c.ByID(t.Context(), id); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("status %d: error %v, want one that may be tried again", status, err)
		}
	}
	f.instead.Store(nil)
	if _, err := c.ByID(t.Context(), id); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestHangingRegistryDoesNotHoldCallers(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	c := newClient(t, Params{URL: url, Timeout: 200 * time.Millisecond})
	f.answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.ByID(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the caller's deadline", err)
	}
	if _, err := c.ByID(t.Context(), 1); err == nil {
		t.Error("no error after the request's own timeout")
	}
}

func TestChangedTextIsNeverUsed(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	c := newClient(t, Params{URL: url, LatestTTL: time.Nanosecond})
	id := register(t, c, "s")
	if _, err := c.ByID(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(schemaV1, `"a"`, `"b"`, 1)
	f.answer(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"subject":"s","version":1,"id":%d,"schema":%q}`, id, other)
	})
	if _, err := c.Latest(t.Context(), "s"); !errors.Is(err, ErrChanged) {
		t.Errorf("error %v, want ErrChanged", err)
	}
	if schema, err := c.ByID(t.Context(), id); err != nil || schema.Text != schemaV1 {
		t.Errorf("schema %q, error %v: want the pinned text", schema.Text, err)
	}
}

func TestDiskCopyServesColdStart(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	dir := t.TempDir()
	warm := newClient(t, Params{URL: url, CacheDir: dir})
	id := register(t, warm, "s")
	if _, err := warm.ByID(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	f.answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusServiceUnavailable) })
	cold := newClient(t, Params{URL: url, CacheDir: dir})
	if schema, err := cold.ByID(t.Context(), id); err != nil || schema.Text != schemaV1 {
		t.Errorf("schema %q, error %v", schema.Text, err)
	}
	if _, err := cold.ByID(t.Context(), id+1); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("error %v for an id that is not on disk", err)
	}
}

func TestStaleLatestServesOutage(t *testing.T) {
	t.Parallel()
	f, url := newRegistry(t)
	c := newClient(t, Params{URL: url, LatestTTL: time.Nanosecond})
	id := register(t, c, "s")
	if _, err := c.Latest(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	f.answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "away", http.StatusServiceUnavailable) })
	if schema, err := c.Latest(t.Context(), "s"); err != nil || schema.ID != id {
		t.Errorf("schema %+v, error %v", schema, err)
	}
}
