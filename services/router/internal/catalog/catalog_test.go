package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/internal/registryserver"
	"github.com/playhead-pipeline/playhead/services/internal/schemaregistry"
	"github.com/playhead-pipeline/playhead/services/internal/telemetry"
	"github.com/playhead-pipeline/playhead/services/router/internal/catalog"
	"github.com/playhead-pipeline/playhead/services/router/internal/eventtest"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testTimeout = 20 * time.Second

// stack is a registry that can be switched off, and a catalog on it.
type stack struct {
	down    atomic.Bool
	client  *schemaregistry.Client
	catalog *catalog.Catalog
	health  *telemetry.Health
}

func start(t *testing.T, change func(*catalog.Params)) *stack {
	t.Helper()
	s := &stack{health: telemetry.NewHealth()}
	registry, err := registryserver.New(registryserver.Params{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		registry.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.client, err = schemaregistry.New(schemaregistry.Params{
		URL: server.URL, LatestTTL: time.Millisecond, NegativeTTL: time.Millisecond,
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	table, err := route.NewTable([]route.Route{{Schema: "playback-event", Subject: eventtest.Subject, Topic: eventtest.Topic}}, "dlq")
	if err != nil {
		t.Fatal(err)
	}
	p := catalog.Params{
		Registry: s.client, Routes: table, Limits: catalog.Limits{EventBytes: 1 << 18, Elements: 10_000}, MaxSchemas: 100,
		UnknownTTL: 50 * time.Millisecond, RefreshInterval: 20 * time.Millisecond, TenantLookups: 100,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Check: s.health.Check("registry"),
	}
	if change != nil {
		change(&p)
	}
	s.catalog, err = catalog.New(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.catalog.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

func (s *stack) register(t *testing.T, subject, text string) int32 {
	t.Helper()
	id, err := s.client.Register(t.Context(), subject, text)
	if err != nil {
		t.Fatal(err)
	}
	return int32(id)
}

// eventually looks until the answer is as wanted, waiting as a parked event does.
func eventually(t *testing.T, look func() (*catalog.Schema, error), want func(*catalog.Schema, error) bool) (*catalog.Schema, error) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for {
		schema, err := look()
		if want(schema, err) {
			return schema, err
		}
		if time.Now().After(deadline) {
			t.Fatalf("still %v, %v", schema, err)
		}
		parked, ok := errors.AsType[*catalog.ParkedError](err)
		if !ok {
			parked = &catalog.ParkedError{}
		}
		select {
		case <-parked.Changed:
		case <-time.After(min(parked.RetryAfter, 10*time.Millisecond)):
		}
	}
}

func found(s *catalog.Schema, _ error) bool   { return s != nil }
func unknown(_ *catalog.Schema, e error) bool { return errors.Is(e, catalog.ErrUnknown) }
func parkedFor(reason string) func(*catalog.Schema, error) bool {
	return func(_ *catalog.Schema, e error) bool {
		p, ok := errors.AsType[*catalog.ParkedError](e)
		return ok && strings.Contains(p.Reason, reason)
	}
}

func (s *stack) byID(id int32) func() (*catalog.Schema, error) {
	return func() (*catalog.Schema, error) { return s.catalog.ByID("acme", id) }
}

func (s *stack) byName(name string) func() (*catalog.Schema, error) {
	return func() (*catalog.Schema, error) { return s.catalog.ByName(name) }
}

func (s *stack) awaitReady(t *testing.T, want bool) {
	t.Helper()
	deadline := time.After(testTimeout)
	for {
		changed := s.health.Changed()
		ready, checks := s.health.Ready()
		if ready == want {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("readiness is %v", checks)
		}
	}
}

func TestFindsSchemas(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	if _, err := eventually(t, s.byName("playback-event"), parkedFor("the registry does not know it")); err == nil {
		t.Error("a routed subject without a schema must park")
	}
	id := s.register(t, eventtest.Subject, eventtest.Schema(t))
	byID, _ := eventually(t, s.byID(id), found)
	byName, _ := eventually(t, s.byName("playback-event"), found)
	if byID.ID != id || byName.ID != id || byID.Route.Topic != eventtest.Topic || byName.Transcoder == nil {
		t.Errorf("by id %+v, by name %+v", byID, byName)
	}
	s.awaitReady(t, true)
	// A new version is taken over.
	v2 := strings.Replace(eventtest.Schema(t), `"fields": [`, `"fields": [{"name":"extra","type":["null","int"],"default":null},`, 1)
	id2 := s.register(t, eventtest.Subject, v2)
	eventually(t, s.byName("playback-event"), func(sc *catalog.Schema, _ error) bool { return sc != nil && sc.ID == id2 })
	if status := s.catalog.Status(); len(status) != 2 || status[0].ID != id || status[1].Version != 2 || status[0].Refused != "" {
		t.Errorf("status %+v", status)
	}
}

func TestUnknownIDs(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	eventually(t, s.byID(99), unknown)
	elsewhere := s.register(t, "nobody.routes-this-value", eventtest.Schema(t))
	eventually(t, s.byID(elsewhere), unknown)
	if _, err := s.catalog.ByName("no-such-name"); !errors.Is(err, catalog.ErrUnknown) {
		t.Errorf("unknown name: %v", err)
	}
	// Unknown is not for ever: ids are registered by others while their events are already on the way.
	next := elsewhere + 1
	eventually(t, s.byID(next), unknown)
	other := strings.Replace(eventtest.Schema(t), `"fields": [`, `"fields": [{"name":"extra","type":["null","int"],"default":null},`, 1)
	if id := s.register(t, eventtest.Subject, other); id != next {
		t.Fatalf("registered as %d, want %d", id, next)
	}
	eventually(t, s.byID(next), found)
}

func TestRegistryOutageParksAndEnds(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	id := s.register(t, eventtest.Subject, eventtest.Schema(t))
	eventually(t, s.byName("playback-event"), found)
	s.down.Store(true)
	eventually(t, s.byID(id+1), parkedFor("")) // not unknown: nobody said so
	for range 1000 {
		if _, err := s.catalog.ByID("acme", id+1); errors.Is(err, catalog.ErrUnknown) {
			t.Fatal("an outage made an id unknown")
		}
		if _, err := s.catalog.ByName("playback-event"); err != nil {
			t.Fatalf("a known schema does not need the registry, got %v", err)
		}
	}
	s.awaitReady(t, true)
	s.down.Store(false)
	eventually(t, s.byID(id+1), unknown)
}

func TestSchemaThatBreaksTheContractParks(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	unclassified := strings.Replace(eventtest.Schema(t), `"fields": [`, `"fields": [{"name":"leak","type":"string"},`, 1)
	id := s.register(t, eventtest.Subject, unclassified)
	eventually(t, s.byID(id), parkedFor("leak"))
	eventually(t, s.byName("playback-event"), parkedFor("leak"))
	s.awaitReady(t, false)
	if status := s.catalog.Status(); len(status) != 1 || !strings.Contains(status[0].Refused, "leak") {
		t.Errorf("status %+v", status)
	}
}

func TestMemoryAndLookupsAreBounded(t *testing.T) {
	t.Parallel()
	s := start(t, func(p *catalog.Params) { p.MaxSchemas = 5; p.TenantLookups = 1 })
	id := s.register(t, eventtest.Subject, eventtest.Schema(t))
	eventually(t, s.byID(id), found)
	limited := false
	for i := range int32(50) {
		_, err := s.catalog.ByID("noisy", 1000+i)
		if parkedFor("too many new schemas")(nil, err) {
			limited = true
			break
		}
	}
	if !limited {
		t.Error("a tenant may look up as many ids as it likes")
	}
	eventually(t, func() (*catalog.Schema, error) { return s.catalog.ByID("quiet", 2000) }, unknown)
	if _, err := s.catalog.ByID("acme", id); err != nil {
		t.Errorf("unknown ids pushed out a schema in use: %v", err)
	}
}

// hanging is a registry that never answers before its caller gives up.
type hanging struct{}

func (hanging) ByID(ctx context.Context, id int) (schemaregistry.Schema, error) {
	<-ctx.Done()
	return schemaregistry.Schema{}, fmt.Errorf("schema %d: %w", id, ctx.Err())
}

func (hanging) Latest(ctx context.Context, subject string) (schemaregistry.Schema, error) {
	<-ctx.Done()
	return schemaregistry.Schema{}, fmt.Errorf("subject %s: %w", subject, ctx.Err())
}

func (hanging) Subjects(context.Context, int) ([]schemaregistry.SubjectVersion, error) {
	return nil, nil
}

func TestLookingUpNeverBlocks(t *testing.T) {
	t.Parallel()
	s := start(t, func(p *catalog.Params) { p.Registry = hanging{}; p.TenantLookups = 1000; p.MaxSchemas = 10_000 })
	for id := range int32(1000) {
		if _, err := s.catalog.ByID("acme", id+1); !parkedFor("being fetched")(nil, err) {
			t.Fatalf("id %d: %v", id+1, err)
		}
	}
}
