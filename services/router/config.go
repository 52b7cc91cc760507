package router

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/router/internal/intake"
	"github.com/playhead-pipeline/playhead/services/router/internal/publish"
	"github.com/playhead-pipeline/playhead/services/router/internal/route"
)

// Config is what a user writes in the configuration file.
type Config struct {
	Listen          ListenConfig        `yaml:"listen" doc:"Addresses to listen on. Port 0 picks a free one."`
	TLS             rpcserver.TLSConfig `yaml:"tls" doc:"TLS of the ingest and the admin listener."`
	Insecure        bool                `yaml:"insecure" doc:"Allows listeners beyond loopback without TLS."`
	Log             LogConfig           `yaml:"log" doc:"Logging."`
	Kafka           KafkaConfig         `yaml:"kafka" doc:"The cluster to write to."`
	Registry        RegistryConfig      `yaml:"registry" doc:"The schema registry. It is only read."`
	Routes          []RouteConfig       `yaml:"routes" doc:"One entry per subject."`
	DeadLetterTopic string              `yaml:"dead_letter_topic" doc:"Topic of refused events that match no route, and of routes without one of their own."`
	Masking         MaskingConfig       `yaml:"masking" doc:"The key of pseudonyms."`
	Limits          LimitsConfig        `yaml:"limits" doc:"What an event and a schema may be."`
	Intake          intake.Config       `yaml:"intake" doc:"What is taken from gateways at a time."`
	Produce         publish.Config      `yaml:"produce" doc:"How records are gathered into batches."`
}

// ListenConfig holds the addresses of the listeners.
type ListenConfig struct {
	Ingest string `yaml:"ingest" doc:"gRPC for gateways."`
	Admin  string `yaml:"admin" doc:"gRPC admin API."`
	Debug  string `yaml:"debug" doc:"HTTP with /metrics, /livez, /readyz and /debug/pprof."`
}

// LogConfig is about logging.
type LogConfig struct {
	Level string `yaml:"level" doc:"debug, info, warn or error. The admin API changes it at run time."`
}

// KafkaConfig says which cluster to write to.
type KafkaConfig struct {
	Brokers      []string               `yaml:"brokers" doc:"Addresses of brokers to start from, host:port. The rest of the cluster is found through them."`
	TLS          kafkaclient.TLSConfig  `yaml:"tls" doc:"TLS towards the brokers."`
	SASL         kafkaclient.SASLConfig `yaml:"sasl" doc:"Login at the brokers."`
	ClientID     string                 `yaml:"client_id" doc:"Name in the brokers' logs and quotas; empty means playhead."`
	CreateTopics publish.TopicsConfig   `yaml:"create_topics" doc:"Creates missing topics. For development; in production topics are made by whoever operates Kafka."`
}

func (c KafkaConfig) client() kafkaclient.Config {
	return kafkaclient.Config{Brokers: c.Brokers, TLS: c.TLS, SASL: c.SASL, ClientID: c.ClientID}
}

// Validate reports what cannot work.
func (c KafkaConfig) Validate(r *configfile.Report) { c.client().Validate(r) }

// RegistryConfig says where schemas come from.
type RegistryConfig struct {
	URL           string              `yaml:"url" doc:"Base URL of the Confluent-compatible registry."`
	CacheDir      string              `yaml:"cache_dir" doc:"Directory for a copy of every schema used, so that a restart works while the registry is away. Empty keeps none."`
	Timeout       configfile.Duration `yaml:"timeout" doc:"Longest time for one request."`
	Refresh       configfile.Duration `yaml:"refresh" doc:"How often the newest version of each routed subject is looked up, for JSON events."`
	UnknownTTL    configfile.Duration `yaml:"unknown_ttl" doc:"How long an unknown id is taken as unknown before the registry is asked again."`
	TenantLookups float64             `yaml:"tenant_lookups" doc:"New schema ids per second that a tenant may ask for, with a burst of ten times that."`
}

// RouteConfig sends a subject's events to a topic.
type RouteConfig struct {
	Schema          string `yaml:"schema" doc:"Name that JSON events call the schema by."`
	Subject         string `yaml:"subject" doc:"Registry subject."`
	Topic           string `yaml:"topic" doc:"Kafka topic of good events."`
	DeadLetterTopic string `yaml:"dead_letter_topic" doc:"Kafka topic of refused events; empty means the common one."`
}

// MaskingConfig names the key of pseudonyms.
type MaskingConfig struct {
	KeyID   string                `yaml:"key_id" doc:"Name of the key, which stands at the beginning of every pseudonym. A new key needs a new name."`
	KeyFile configfile.SecretFile `yaml:"key_file" doc:"File with the key, at least 32 bytes, used as it is without the white space around it. Read at the start only: pseudonyms are constant per key."`
}

// LimitsConfig bounds events and schemas.
type LimitsConfig struct {
	EventBytes configfile.Size     `yaml:"event_bytes" doc:"Largest event, and largest value in one, as JSON and as Avro."`
	Elements   int                 `yaml:"elements" doc:"Most items of arrays and maps of one event together."`
	MaxPast    configfile.Duration `yaml:"max_past" doc:"How far an event's time may lie before its receipt."`
	MaxFuture  configfile.Duration `yaml:"max_future" doc:"How far an event's time may lie after its receipt."`
	Schemas    int                 `yaml:"schemas" doc:"Most schema ids that are remembered, unknown ones included."`
}

// DefaultConfig returns the configuration of an empty file.
func DefaultConfig() Config {
	return Config{
		Listen: ListenConfig{Ingest: "127.0.0.1:9443", Admin: "127.0.0.1:9090", Debug: "127.0.0.1:9100"},
		Log:    LogConfig{Level: "info"},
		Kafka:  KafkaConfig{CreateTopics: publish.TopicsConfig{ReplicationFactor: 1, DeadLetterPartitions: 1}},
		Registry: RegistryConfig{
			Timeout: configfile.Duration(2 * time.Second), Refresh: configfile.Duration(10 * time.Second),
			UnknownTTL: configfile.Duration(time.Minute), TenantLookups: 10,
		},
		Routes: []RouteConfig{{
			Schema: "playback-event", Subject: "playback.events-value", Topic: "playback.events", DeadLetterTopic: "playback.events.dlq",
		}},
		DeadLetterTopic: "playback.events.dlq",
		Limits: LimitsConfig{
			EventBytes: 256 << 10, Elements: 10_000,
			MaxPast: configfile.Duration(400 * 24 * time.Hour), MaxFuture: configfile.Duration(24 * time.Hour), Schemas: 1000,
		},
		Intake:  intake.DefaultConfig(),
		Produce: publish.DefaultConfig(),
	}
}

// maxEventBytes is the hard maximum of limits.event_bytes: larger records need other settings of brokers and topics.
const maxEventBytes = 512 << 10

// Validate reports what cannot work.
func (c Config) Validate(r *configfile.Report) {
	for _, l := range []struct {
		key, address string
		tls          bool
	}{{"listen.ingest", c.Listen.Ingest, c.TLS.Enabled()}, {"listen.admin", c.Listen.Admin, c.TLS.Enabled()}, {"listen.debug", c.Listen.Debug, false}} {
		if err := netlisten.RequireLoopback(l.address, l.tls, c.Insecure); err != nil {
			r.Errorf(l.key, "%v", err)
		}
	}
	if err := new(slog.Level).UnmarshalText([]byte(c.Log.Level)); err != nil {
		r.Errorf("log.level", "must be debug, info, warn or error")
	}
	c.validateRoutes(r)
	if c.Limits.EventBytes > configfile.Size(c.Intake.MaxBatchBytes) {
		r.Errorf("limits.event_bytes", "is over intake.max_batch_bytes, so that the largest event would fit into no batch")
	}
}

func (c Config) validateRoutes(r *configfile.Report) {
	if c.DeadLetterTopic == "" {
		r.Errorf("dead_letter_topic", "is needed")
	}
	if len(c.Routes) == 0 {
		r.Errorf("routes", "must have at least one route")
	}
	for i, route := range c.Routes {
		if route.Schema == "" || route.Subject == "" || route.Topic == "" {
			r.Errorf(fmt.Sprintf("routes[%d]", i), "needs schema, subject and topic")
		}
		if route.Topic != "" && (route.Topic == route.DeadLetterTopic || route.Topic == c.DeadLetterTopic) {
			r.Errorf(fmt.Sprintf("routes[%d].topic", i), "must not be a dead-letter topic")
		}
	}
	if _, err := c.table(); err != nil {
		r.Errorf("routes", "%v", err)
	}
}

// table returns the routes.
func (c Config) table() (*route.Table, error) {
	routes := make([]route.Route, len(c.Routes))
	for i, r := range c.Routes {
		routes[i] = route.Route(r)
	}
	return route.NewTable(routes, c.DeadLetterTopic)
}

// Validate reports what cannot work.
func (c RegistryConfig) Validate(r *configfile.Report) {
	if c.URL == "" {
		r.Errorf("url", "is needed")
	}
	if c.Timeout.D() < 10*time.Millisecond {
		r.Errorf("timeout", "must be at least 10ms")
	}
	if c.Refresh.D() < 10*time.Millisecond {
		r.Errorf("refresh", "must be at least 10ms")
	}
	if c.UnknownTTL < 0 {
		r.Errorf("unknown_ttl", "must not be negative")
	}
	if c.TenantLookups < 0.1 {
		r.Errorf("tenant_lookups", "must be at least 0.1")
	}
}

// Validate reports what cannot work.
func (c MaskingConfig) Validate(r *configfile.Report) {
	if c.KeyID == "" {
		r.Errorf("key_id", "is needed")
	}
	if c.KeyFile == "" {
		r.Errorf("key_file", "is needed")
	}
}

// Validate reports what cannot work.
func (c LimitsConfig) Validate(r *configfile.Report) {
	if c.EventBytes < 1<<10 || c.EventBytes > maxEventBytes {
		r.Errorf("event_bytes", "must be between 1KiB and 512KiB")
	}
	if c.Elements < 1 || c.Elements > 1_000_000 {
		r.Errorf("elements", "must be between 1 and 1000000")
	}
	if c.MaxPast <= 0 || c.MaxFuture <= 0 {
		r.Errorf("max_past", "max_past and max_future must be positive")
	}
	if c.Schemas < 10 {
		r.Errorf("schemas", "must be at least 10")
	}
}
