// Package catalog keeps the schemas in force: found in the registry by id or by the name that JSON events use, compiled once, and refused when
// they break the contract that the pipeline keeps.
//
// It owns the difference between an event whose schema does not exist, which is a bad event, and one whose schema cannot be used now, which
// has to wait (park): because it is being fetched, because the registry does not answer, or because it breaks the contract. A broken
// contract is no fault of the events, so they wait until somebody decides; nothing passes unmasked meanwhile.
// Looking up never blocks; fetching is done by the goroutines of Run. Checking and masking events is for the packages that it compiles for.
package catalog

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
	"github.com/playhead-pipeline/playhead/services/internal/schemaregistry"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
)

// ErrUnknown means that the registry does not know the schema, or that no route takes it. Its events are bad.
var ErrUnknown = errors.New("the schema is not known")

// ParkedError means that the events have to wait.
type ParkedError struct {
	Reason string
	// RetryAfter is when to look again at the latest.
	RetryAfter time.Duration
	// Changed, if not nil, is closed when looking again is worth it.
	Changed <-chan struct{}
}

func (e *ParkedError) Error() string { return "events wait for their schema: " + e.Reason }

// UnusableError means that the schema can never be used: it is over the limits, or of a form that is not supported. Its events are bad.
type UnusableError struct{ Reason string }

func (e *UnusableError) Error() string { return "the schema cannot be used: " + e.Reason }

// Registry is where schemas come from. ErrUnknown of package schemaregistry is definite; after other errors it is asked again.
type Registry interface {
	ByID(ctx context.Context, id int) (schemaregistry.Schema, error)
	Latest(ctx context.Context, subject string) (schemaregistry.Schema, error)
	Subjects(ctx context.Context, id int) ([]schemaregistry.SubjectVersion, error)
}

// Check is a condition of readiness.
type Check interface {
	OK()
	Fail(reason string)
}

// Params is what New takes.
type Params struct {
	Registry Registry
	Routes   *route.Table
	Limits   Limits
	// MaxSchemas bounds the ids that are remembered, unknown ones included.
	MaxSchemas int
	// UnknownTTL is how long an id is taken as unknown before the registry is asked again.
	UnknownTTL time.Duration
	// RefreshInterval is how often the newest version of each routed subject is looked up.
	RefreshInterval time.Duration
	// TenantLookups is how many new ids per second a tenant may ask for, with a burst of ten times that.
	TenantLookups float64
	Logger        *slog.Logger
	Registerer    prometheus.Registerer
	Check         Check
}

const (
	// lookupWorkers bounds requests to the registry at a time, lookupQueue those that wait for one.
	lookupWorkers = 8
	lookupQueue   = 256
	// After an outage an id is asked for again after this, doubled up to the maximum.
	firstRetry, maxRetry = 250 * time.Millisecond, 5 * time.Second
	// refusedRetry is how often parked events of a refused schema look again: an id's text never changes, only the catalog's memory of it.
	refusedRetry = 30 * time.Second
)

// Catalog finds schemas. It is safe for concurrent use; Run must be running.
type Catalog struct {
	p       Params
	metrics *metrics
	work    chan *entry
	tenants tenantBudget

	mu struct {
		sync.RWMutex
		entries map[int32]*entry
	}
	names map[string]*name // by schema name of the routes; the map is fixed
}

// entry is what is known of one id.
type entry struct {
	id       int32
	lastUsed atomic.Int64 // Unix nanoseconds
	result   atomic.Pointer[result]
}

// result is an outcome of a lookup. It is immutable.
type result struct {
	schema *Schema
	use    schemaregistry.SubjectVersion
	// err is nil, ErrUnknown, an *UnusableError or a *ParkedError.
	err error
	// pending results have done, closed when there is another result.
	done chan struct{}
	// expires is when to ask the registry again; zero for never.
	expires  time.Time
	failures int // in a row
}

func (r *result) pending() bool { return r.done != nil }

// name is the newest version of a routed subject.
type name struct {
	route   *route.Route
	current atomic.Pointer[result]
}

// Status describes one schema for operators.
type Status struct {
	ID      int32
	Subject string
	Version int
	// Refused is why its events park; empty when it is in use.
	Refused string
}

// New returns a catalog. It asks for nothing yet.
func New(p Params) (*Catalog, error) {
	m, err := newMetrics(p.Registerer)
	if err != nil {
		return nil, err
	}
	c := &Catalog{p: p, metrics: m, work: make(chan *entry, lookupQueue), names: make(map[string]*name)}
	c.mu.entries = make(map[int32]*entry)
	c.tenants = tenantBudget{perSecond: p.TenantLookups}
	for i := range p.Routes.Routes() {
		r := &p.Routes.Routes()[i]
		n := &name{route: r}
		n.current.Store(&result{err: &ParkedError{Reason: "schema " + r.Schema + " has not been looked up yet", RetryAfter: firstRetry}})
		c.names[r.Schema] = n
	}
	return c, nil
}

// ByName returns the newest schema of a route, by the name that JSON events use. An error is ErrUnknown, an *UnusableError or a *ParkedError.
func (c *Catalog) ByName(schema string) (*Schema, error) {
	n, ok := c.names[schema]
	if !ok {
		return nil, ErrUnknown
	}
	r := n.current.Load()
	return r.schema, r.err
}

// ByID returns the schema of a registry id that a tenant's event names. An error is ErrUnknown, an *UnusableError or a *ParkedError.
func (c *Catalog) ByID(tenant string, id int32) (*Schema, error) {
	c.mu.RLock()
	e := c.mu.entries[id]
	c.mu.RUnlock()
	now := time.Now()
	if e != nil {
		e.lastUsed.Store(now.UnixNano())
		r := e.result.Load()
		if r.schema != nil {
			return r.schema, nil
		}
		if r.pending() || r.expires.IsZero() || now.Before(r.expires) {
			return nil, r.err
		}
	}
	return c.request(tenant, id, now)
}

// request asks for an id that is not known, or not any more.
func (c *Catalog) request(tenant string, id int32, now time.Time) (*Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.entries[id]
	var old *result
	if e != nil {
		if old = e.result.Load(); old.pending() || old.schema != nil || old.expires.IsZero() || now.Before(old.expires) {
			return old.schema, old.err // somebody was faster
		}
	}
	if !c.tenants.take(tenant, now) {
		return nil, &ParkedError{Reason: "the tenant has asked for too many new schemas", RetryAfter: time.Second}
	}
	if e == nil {
		if !c.makeRoom() {
			return nil, &ParkedError{Reason: "too many schemas are being fetched", RetryAfter: firstRetry}
		}
		e = &entry{id: id}
	}
	done := make(chan struct{})
	next := &result{err: &ParkedError{Reason: "the schema is being fetched", RetryAfter: maxRetry, Changed: done}, done: done}
	if old != nil {
		next.failures = old.failures
	}
	e.lastUsed.Store(now.UnixNano())
	e.result.Store(next)
	select {
	case c.work <- e:
		c.mu.entries[id] = e
		return nil, next.err
	default:
		if old != nil {
			e.result.Store(old)
		}
		return nil, &ParkedError{Reason: "too many schemas are being fetched", RetryAfter: firstRetry}
	}
}

// makeRoom forgets an id when the memory is full: one that is of no use first, else the one that was not used for longest. It tells whether
// there is room; while lookups take it up, no schema in use has to go for them. The caller holds mu.
func (c *Catalog) makeRoom() bool {
	if len(c.mu.entries) < c.p.MaxSchemas {
		return true
	}
	var victim *entry
	pending := false
	for _, e := range c.mu.entries {
		r := e.result.Load()
		if r.pending() {
			pending = true
			continue
		}
		if victim == nil {
			victim = e
			continue
		}
		inUse, victimInUse := r.schema != nil, victim.result.Load().schema != nil
		if victimInUse && !inUse || victimInUse == inUse && e.lastUsed.Load() < victim.lastUsed.Load() {
			victim = e
		}
	}
	if victim == nil || pending && victim.result.Load().schema != nil {
		return false
	}
	delete(c.mu.entries, victim.id)
	return true
}

// Run fetches what is asked for and follows the routed subjects until ctx ends.
func (c *Catalog) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range lookupWorkers {
		wg.Go(func() { c.fetch(ctx) })
	}
	for _, n := range c.names {
		wg.Go(func() { c.follow(ctx, n) })
	}
	wg.Wait()
	return nil
}

// fetch takes ids from the queue.
func (c *Catalog) fetch(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.work:
			before := e.result.Load()
			after := c.lookUp(ctx, e.id, before.failures)
			e.result.Store(after)
			c.metrics.count(after)
			close(before.done)
		}
	}
}

// lookUp asks the registry for an id and compiles what it says.
func (c *Catalog) lookUp(ctx context.Context, id int32, failures int) *result {
	schema, err := c.p.Registry.ByID(ctx, int(id))
	if err != nil {
		return c.failed(err, failures)
	}
	uses, err := c.p.Registry.Subjects(ctx, int(id))
	if err != nil {
		return c.failed(err, failures)
	}
	for _, use := range uses {
		if r, ok := c.p.Routes.BySubject(use.Subject); ok {
			return c.compile(id, schema.Text, use, r)
		}
	}
	return &result{err: ErrUnknown, expires: time.Now().Add(c.p.UnknownTTL)}
}

func (c *Catalog) failed(err error, failures int) *result {
	if errors.Is(err, schemaregistry.ErrUnknown) {
		return &result{err: ErrUnknown, expires: time.Now().Add(c.p.UnknownTTL)}
	}
	wait := min(maxRetry, firstRetry<<min(failures, 10))
	return &result{
		err:      &ParkedError{Reason: err.Error(), RetryAfter: wait},
		expires:  time.Now().Add(wait),
		failures: failures + 1,
	}
}

func (c *Catalog) compile(id int32, text string, use schemaregistry.SubjectVersion, r *route.Route) *result {
	schema, err := compile(id, text, r, c.p.Limits)
	if err != nil {
		if hostile, ok := errors.AsType[*avroscan.SchemaError](err); ok {
			c.p.Logger.Error("schema refused; its events are dead letters", "id", id, "subject", use.Subject, "version", use.Version, "error", err)
			return &result{use: use, err: &UnusableError{Reason: hostile.Error()}}
		}
		c.p.Logger.Error("schema refused; its events wait", "id", id, "subject", use.Subject, "version", use.Version, "error", err)
		return &result{use: use, err: &ParkedError{Reason: err.Error(), RetryAfter: refusedRetry}}
	}
	c.p.Logger.Info("schema in use", "id", id, "subject", use.Subject, "version", use.Version)
	return &result{schema: schema, use: use}
}

// follow keeps the newest version of a routed subject.
func (c *Catalog) follow(ctx context.Context, n *name) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait := c.p.RefreshInterval
		if err := c.refresh(ctx, n); err != nil {
			wait = min(wait, maxRetry, firstRetry<<min(failures, 10))
			failures++
		} else {
			failures = 0
		}
		c.report()
		timer.Reset(wait)
	}
}

// refresh looks up the newest version. While the registry does not answer, the last known one stays in force.
func (c *Catalog) refresh(ctx context.Context, n *name) error {
	current := n.current.Load()
	latest, err := c.p.Registry.Latest(ctx, n.route.Subject)
	if err != nil {
		if current.schema == nil {
			// A routed subject without a schema is an operator's business, not a fault of the events: they wait too.
			n.current.Store(&result{err: &ParkedError{Reason: "subject " + n.route.Subject + ": " + err.Error(), RetryAfter: time.Second}})
		}
		return err
	}
	if current.schema != nil && current.schema.ID == int32(latest.ID) || current.use.Version == latest.Version && current.use.Version > 0 {
		return nil
	}
	next := c.known(int32(latest.ID), n.route)
	if next == nil {
		use := schemaregistry.SubjectVersion{Subject: n.route.Subject, Version: latest.Version}
		next = c.compile(int32(latest.ID), latest.Text, use, n.route)
		c.metrics.count(next)
		c.remember(int32(latest.ID), next)
	}
	n.current.Store(next)
	return nil
}

// known returns what is known of an id for a route, nil when it has to be compiled.
func (c *Catalog) known(id int32, r *route.Route) *result {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.mu.entries[id]; e != nil {
		if res := e.result.Load(); res.schema != nil && res.schema.Route == r {
			return res
		}
	}
	return nil
}

// remember makes a schema that was found by its subject known by its id, unless the id is being looked up.
func (c *Catalog) remember(id int32, r *result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.mu.entries[id]; e != nil {
		if old := e.result.Load(); !old.pending() && old.schema == nil {
			e.result.Store(r) // it was unknown, or the registry did not answer
		}
		return
	}
	if !c.makeRoom() {
		return // the next event that names it asks for it
	}
	e := &entry{id: id}
	e.lastUsed.Store(time.Now().UnixNano())
	e.result.Store(r)
	c.mu.entries[id] = e
}

// report makes the process ready when every route has a schema, and not when one has none: its events would only wait here.
func (c *Catalog) report() {
	for _, r := range c.p.Routes.Routes() {
		if current := c.names[r.Schema].current.Load(); current.err != nil {
			c.p.Check.Fail("schema " + r.Schema + ": " + current.err.Error())
			return
		}
	}
	c.p.Check.OK()
}

// Status returns the schemas that were found, in use or refused, by id.
func (c *Catalog) Status() []Status {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var all []Status
	for id, e := range c.mu.entries {
		r := e.result.Load()
		if r.use.Subject == "" {
			continue
		}
		s := Status{ID: id, Subject: r.use.Subject, Version: r.use.Version}
		if r.err != nil {
			s.Refused = r.err.Error()
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
