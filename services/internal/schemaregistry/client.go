// Package schemaregistry reads schemas from a Confluent-compatible registry through a cache. An id is asked for once, however many
// callers want it at the same time; what is known is never asked for again; ids that the registry does not know are remembered for a
// while; and a text that was seen under an id stays pinned to it. It owns the difference between "there is no such schema", which is
// bad data, and "the registry did not answer", which is not. What a schema means is its callers' business.
package schemaregistry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riferrei/srclient"
	"golang.org/x/sync/singleflight"
)

// ErrUnknown means that the registry answered, and has no such schema or subject.
var ErrUnknown = errors.New("the registry does not know it")

// ErrChanged means that the registry gave a text for an id that differs from the text pinned to it. It is never used.
var ErrChanged = errors.New("the registry gave another schema for a known id")

// errBusy is an outage to callers: it may be tried again.
var errBusy = errors.New("too many requests to the registry are pending")

// Defaults of Params, and what bounds the memory of a Client.
const (
	defaultTimeout     = 2 * time.Second
	defaultNegativeTTL = time.Minute
	defaultLatestTTL   = 10 * time.Second
	defaultParallel    = 8
	maxSchemas         = 10_000
	maxNegative        = 10_000
	maxSubjects        = 1_000
	maxPending         = 256
	maxAnswerBytes     = 2 << 20
)

// Params configure a Client. Zero values mean the defaults.
type Params struct {
	// URL is the base of the registry's REST routes.
	URL string
	// CacheDir keeps a copy of each schema for starts while the registry is away; empty keeps none.
	CacheDir string
	// Timeout bounds one request; default 2 s.
	Timeout time.Duration
	// NegativeTTL is how long an unknown id or subject is not asked for again; default 1 min.
	NegativeTTL time.Duration
	// LatestTTL is how long the newest version of a subject is taken as the newest; default 10 s.
	LatestTTL time.Duration
	// MaxParallel bounds requests at a time; default 8.
	MaxParallel int
	Registerer  prometheus.Registerer
	Logger      *slog.Logger
}

// Schema is a registered schema.
type Schema struct {
	ID   int
	Text string
	// Subject and Version are set when the schema was found by its subject.
	Subject string
	Version int
}

// SubjectVersion is a use of a schema.
type SubjectVersion struct {
	Subject string
	Version int
}

// Client is safe for concurrent use.
type Client struct {
	params   Params
	api      *srclient.SchemaRegistryClient
	http     *http.Transport
	flights  singleflight.Group
	requests *prometheus.CounterVec

	mu       sync.Mutex
	schemas  map[int]Schema
	uses     map[int]uses
	latest   map[string]latest
	pending  int                  // requests that run or wait for their turn
	negative map[string]time.Time // until when a request key counts as unknown
}

type latest struct {
	schema Schema
	until  time.Time
}

type uses struct {
	list  []SubjectVersion
	until time.Time
}

// New returns a client; it sends no request.
func New(p Params) (*Client, error) {
	if p.URL == "" {
		return nil, errors.New("schema registry: no URL")
	}
	setDefault(&p.Timeout, defaultTimeout)
	setDefault(&p.NegativeTTL, defaultNegativeTTL)
	setDefault(&p.LatestTTL, defaultLatestTTL)
	setDefault(&p.MaxParallel, defaultParallel)
	c := &Client{
		params: p,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "playhead_schema_registry_requests_total",
			Help: "Requests to the schema registry by what was asked for and how it ended (ok, unknown, changed, error).",
		}, []string{"kind", "outcome"}),
		schemas: map[int]Schema{}, uses: map[int]uses{}, latest: map[string]latest{}, negative: map[string]time.Time{},
	}
	if p.Registerer != nil {
		if err := p.Registerer.Register(c.requests); err != nil {
			return nil, fmt.Errorf("register schema registry metrics: %w", err)
		}
	}
	c.http = http.DefaultTransport.(*http.Transport).Clone()
	httpClient := &http.Client{Timeout: p.Timeout, Transport: limitTransport{c.http}}
	c.api = srclient.NewSchemaRegistryClient(p.URL, srclient.WithClient(httpClient), srclient.WithSemaphoreWeight(int64(p.MaxParallel)))
	c.api.CachingEnabled(false) // ours has single flight, negative entries and pinning
	c.api.CodecCreationEnabled(false)
	return c, nil
}

// Close closes idle connections. A request that is running ends by itself within the timeout.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// ByID returns the schema of an id. ErrUnknown is definite; after any other error the caller may try again.
func (c *Client) ByID(ctx context.Context, id int) (Schema, error) {
	c.mu.Lock()
	schema, ok := c.schemas[id]
	c.mu.Unlock()
	if ok {
		return schema, nil
	}
	key := "id/" + strconv.Itoa(id)
	schema, err := flight(ctx, c, "schema", key, func() (Schema, error) {
		got, err := c.api.GetSchema(id)
		if err != nil {
			return Schema{}, err
		}
		schema := Schema{ID: id, Text: got.Schema()}
		return schema, c.pin(schema)
	})
	if err != nil && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrChanged) {
		if kept, ok := c.load(id); ok {
			return kept, c.pin(kept)
		}
	}
	if err != nil {
		return Schema{}, fmt.Errorf("get schema %d: %w", id, err)
	}
	return schema, nil
}

// Latest returns the newest version of a subject, at most LatestTTL old, or older while the registry does not answer.
func (c *Client) Latest(ctx context.Context, subject string) (Schema, error) {
	c.mu.Lock()
	known, ok := c.latest[subject]
	c.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.schema, nil
	}
	schema, err := flight(ctx, c, "latest", "latest/"+subject, func() (Schema, error) {
		got, err := c.api.GetLatestSchema(subject)
		if err != nil {
			return Schema{}, err
		}
		schema := Schema{ID: got.ID(), Text: got.Schema(), Subject: subject, Version: got.Version()}
		if err := c.pin(Schema{ID: schema.ID, Text: schema.Text}); err != nil {
			return Schema{}, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, known := c.latest[subject]; known || len(c.latest) < maxSubjects {
			c.latest[subject] = latest{schema, time.Now().Add(c.params.LatestTTL)}
		}
		return schema, nil
	})
	if err != nil && ok && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrChanged) {
		return known.schema, nil
	}
	if err != nil {
		return Schema{}, fmt.Errorf("get latest version of %s: %w", subject, err)
	}
	return schema, nil
}

// Subjects returns the subjects and versions that use the schema of an id, at most NegativeTTL old, or older while the registry
// does not answer: a schema can be registered under a further subject at any time.
func (c *Client) Subjects(ctx context.Context, id int) ([]SubjectVersion, error) {
	c.mu.Lock()
	known, ok := c.uses[id]
	c.mu.Unlock()
	if ok && time.Now().Before(known.until) {
		return known.list, nil
	}
	list, err := flight(ctx, c, "subjects", "uses/"+strconv.Itoa(id), func() ([]SubjectVersion, error) {
		got, err := c.api.GetSubjectVersionsById(id)
		if err != nil {
			return nil, err
		}
		list := make([]SubjectVersion, 0, len(got))
		for _, use := range got {
			list = append(list, SubjectVersion{use.Subject, use.Version})
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, known := c.uses[id]; known || len(c.uses) < maxSchemas {
			c.uses[id] = uses{list, time.Now().Add(c.params.NegativeTTL)}
		}
		return list, nil
	})
	if err != nil && ok && !errors.Is(err, ErrUnknown) {
		return known.list, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get subjects of schema %d: %w", id, err)
	}
	return list, nil
}

// Register registers text under subject and returns its id. For tools and tests: services only read.
func (c *Client) Register(ctx context.Context, subject, text string) (int, error) {
	id, err := flight(ctx, c, "register", "register/"+subject+"/"+text, func() (int, error) {
		got, err := c.api.CreateSchema(subject, text, srclient.Avro)
		if err != nil {
			return 0, err
		}
		return got.ID(), nil
	})
	if err != nil {
		return 0, fmt.Errorf("register schema under %s: %w", subject, err)
	}
	return id, nil
}

// flight runs ask once for all callers of the same key, gives up when ctx ends (the request goes on for the others, until its timeout),
// and remembers definite unknowns.
func flight[T any](ctx context.Context, c *Client, kind, key string, ask func() (T, error)) (T, error) {
	var zero T
	if c.isNegative(key) {
		return zero, ErrUnknown
	}
	results := c.flights.DoChan(key, func() (any, error) {
		if !c.enter() {
			c.requests.WithLabelValues(kind, "error").Inc()
			return zero, errBusy
		}
		defer c.leave()
		value, err := ask()
		err = classify(err)
		switch {
		case err == nil:
			c.requests.WithLabelValues(kind, "ok").Inc()
		case errors.Is(err, ErrUnknown):
			c.requests.WithLabelValues(kind, "unknown").Inc()
			c.addNegative(key)
		case errors.Is(err, ErrChanged):
			c.requests.WithLabelValues(kind, "changed").Inc()
		default:
			c.requests.WithLabelValues(kind, "error").Inc()
		}
		return value, err
	})
	select {
	case <-ctx.Done():
		return zero, ctx.Err()
	case result := <-results:
		if result.Err != nil {
			return zero, result.Err
		}
		return result.Val.(T), nil
	}
}

// classify turns the registry's own "not found" codes into ErrUnknown. A 404 without such a code comes from something else in the way.
func classify(err error) error {
	var answer srclient.Error
	if errors.As(err, &answer) {
		switch answer.Code {
		case 40401, 40402, 40403:
			return fmt.Errorf("%w (%d)", ErrUnknown, answer.Code)
		}
	}
	return err
}

// enter counts a request as pending and says whether it may start. Requests outlive callers that gave up on them, so without a
// bound a flood of ids would pile up behind a registry that hangs.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending >= maxPending {
		return false
	}
	c.pending++
	return true
}

func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending--
}

func (c *Client) isNegative(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	until, ok := c.negative[key]
	return ok && time.Now().Before(until)
}

// addNegative keeps the map bounded: when a flood of unknown ids has filled it, expired entries go, and if none has expired, all do.
func (c *Client) addNegative(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if len(c.negative) >= maxNegative {
		for k, until := range c.negative {
			if now.After(until) {
				delete(c.negative, k)
			}
		}
		if len(c.negative) >= maxNegative {
			clear(c.negative)
		}
	}
	c.negative[key] = now.Add(c.params.NegativeTTL)
}

// pin ties a text to its id for the life of the process, and on disk for the next ones.
func (c *Client) pin(schema Schema) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.schemas[schema.ID]
	if !ok {
		known, ok = c.load(schema.ID)
	}
	if ok && sha256.Sum256([]byte(known.Text)) != sha256.Sum256([]byte(schema.Text)) {
		return fmt.Errorf("schema %d: %w", schema.ID, ErrChanged)
	}
	if len(c.schemas) >= maxSchemas {
		return fmt.Errorf("schema %d: %d schemas are in use already", schema.ID, maxSchemas)
	}
	c.schemas[schema.ID] = schema
	if !ok {
		c.keep(schema)
	}
	return nil
}
