package lakewriter

import (
	"cmp"
	"log/slog"
	"path"
	"regexp"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/netlisten"
	"github.com/playhead-pipeline/playhead/services/internal/rpcserver"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/convert"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableservice"
)

// Config is what a user writes in the configuration file.
type Config struct {
	Listen         ListenConfig        `yaml:"listen" doc:"Addresses to listen on. Port 0 picks a free one."`
	TLS            rpcserver.TLSConfig `yaml:"tls" doc:"TLS of the admin listener."`
	Insecure       bool                `yaml:"insecure" doc:"Allows listeners beyond loopback without TLS."`
	Log            LogConfig           `yaml:"log" doc:"Logging."`
	Kafka          kafkaclient.Config  `yaml:"kafka" doc:"The cluster that holds the events."`
	GroupID        string              `yaml:"group_id" doc:"Consumer group under which committed offsets are published for people's tools. They are never read. Empty publishes nothing."`
	Registry       RegistryConfig      `yaml:"registry" doc:"The schema registry."`
	Lake           LakeConfig          `yaml:"lake" doc:"Where the tables are."`
	Tables         []TableConfig       `yaml:"tables" doc:"One entry per topic and its table."`
	TableServices  ServicesConfig      `yaml:"table_services" doc:"What keeps tables healthy, on the instance that writes them."`
	CommitInterval configfile.Duration `yaml:"commit_interval" doc:"Longest time that a row waits for its commit."`
	CommitBytes    configfile.Size     `yaml:"commit_bytes" doc:"Memory of buffered rows per table at which a commit starts early."`
	CommitRows     int                 `yaml:"commit_rows" doc:"Buffered rows per table at which a commit starts early."`
	ByteBudget     configfile.Size     `yaml:"byte_budget" doc:"Memory for fetched and buffered events of the process. When it is used up, reading stops until a commit frees some."`
	Takeover       configfile.Duration `yaml:"takeover_timeout" doc:"A standby takes a table over when events wait and its HEAD has not moved for this long. 0 means three commit intervals, at least 10s."`
	DrainTimeout   configfile.Duration `yaml:"drain_timeout" doc:"Longest time for the last commit when the process ends."`
}

// ListenConfig holds the addresses of the listeners.
type ListenConfig struct {
	Admin string `yaml:"admin" doc:"gRPC admin API."`
	Debug string `yaml:"debug" doc:"HTTP with /metrics, /livez, /readyz and /debug/pprof."`
}

// LogConfig is about logging.
type LogConfig struct {
	Level string `yaml:"level" doc:"debug, info, warn or error. The admin API changes it at run time."`
}

// RegistryConfig says where schemas come from.
type RegistryConfig struct {
	URL      string `yaml:"url" doc:"Base URL of the Confluent-compatible registry."`
	CacheDir string `yaml:"cache_dir" doc:"Directory for a copy of every schema used, so that a restart works while the registry is away. Empty keeps none."`
}

// Kinds of stores.
const (
	storeS3  = "s3"
	storeDir = "dir"
)

// LakeConfig says where the tables are.
type LakeConfig struct {
	Store string   `yaml:"store" doc:"s3 or dir."`
	Dir   string   `yaml:"dir" doc:"Directory of the lake when store is dir."`
	S3    S3Config `yaml:"s3" doc:"Bucket of the lake when store is s3."`
}

// S3Config names a bucket.
type S3Config struct {
	Endpoint      string                `yaml:"endpoint" doc:"URL of the store. Empty means Amazon S3 of the region."`
	Region        string                `yaml:"region" doc:"Region."`
	Bucket        string                `yaml:"bucket" doc:"Bucket."`
	Prefix        string                `yaml:"prefix" doc:"Path of the lake within the bucket. Tables are at PREFIX/DATABASE/NAME."`
	PathStyle     bool                  `yaml:"path_style" doc:"Puts the bucket into the path of the URL instead of its host."`
	AccessKeyFile configfile.SecretFile `yaml:"access_key_file" doc:"File with the access key id. Without key files the default chain of the AWS SDK is used."`
	SecretKeyFile configfile.SecretFile `yaml:"secret_key_file" doc:"File with the secret access key."`
}

// TableConfig maps a topic to a table.
type TableConfig struct {
	Topic        string              `yaml:"topic" doc:"Kafka topic with Confluent-framed Avro events."`
	Subject      string              `yaml:"subject" doc:"Registry subject whose newest schema a new table is created with. Empty means TOPIC-value."`
	DeadLetters  *string             `yaml:"dead_letter_topic" doc:"Topic for events that cannot become rows. Default TOPIC.dlq. Empty halts the partition of such an event until an operator has looked."`
	MaxPast      configfile.Duration `yaml:"max_event_age" doc:"How far an event's time may be before the time of its record in Kafka. 0 is no bound."`
	MaxFuture    configfile.Duration `yaml:"max_event_ahead" doc:"How far an event's time may be after the time of its record in Kafka; default 24h. A time far ahead makes a partition that is never cleaned."`
	Database     string              `yaml:"database" doc:"Database of the table."`
	Name         string              `yaml:"name" doc:"Name of the table."`
	Buckets      int                 `yaml:"buckets" doc:"Number of buckets of a new table; 0 means 12. It should divide the number of partitions of the topic. A table that exists keeps its own."`
	Type         string              `yaml:"type" doc:"MERGE_ON_READ: commits append log files, which readers merge and compactions fold in. COPY_ON_WRITE: commits rewrite the base files that they touch. Default MERGE_ON_READ. A table that exists keeps its own."`
	LogFormat    string              `yaml:"log_format" doc:"Blocks of log files: avro (least work), parquet (many times smaller), or auto: parquet from about 100 rows on."`
	KafkaColumns *bool               `yaml:"kafka_columns" doc:"Adds the columns _hoodie_kafka_source_partition, _offset and _timestamp. Default true."`
}

// ServicesConfig is about table services.
type ServicesConfig struct {
	Compaction     CompactionConfig `yaml:"compaction" doc:"Folding log files of MERGE_ON_READ tables into base files. The first limit that is reached begins one."`
	Clean          CleanConfig      `yaml:"clean" doc:"Deleting old file slices."`
	Archive        ArchiveConfig    `yaml:"archive" doc:"Moving old commits out of the active timeline."`
	Share          float64          `yaml:"share" doc:"Part of the time that services may work, above 0 and up to 1: they rest for the remainder after each piece of work."`
	BytesPerSecond configfile.Size  `yaml:"bytes_per_second" doc:"Bound on what compactions read. 0 is none."`
}

// CompactionConfig says when logs are compacted.
type CompactionConfig struct {
	Interval  configfile.Duration `yaml:"interval" doc:"Longest time between two compactions."`
	Commits   int                 `yaml:"commits" doc:"Commits after which one begins early. 0 is no limit."`
	LogBytes  configfile.Size     `yaml:"log_bytes" doc:"Bytes written by commits after which one begins early. 0 is no limit."`
	StepBytes configfile.Size     `yaml:"step_bytes" doc:"What one piece reads, unless a single file slice is larger. A commit waits for the piece under way."`
}

// CleanConfig says how far back readers can go.
type CleanConfig struct {
	Interval      configfile.Duration `yaml:"interval" doc:"Time between two cleans."`
	RetainHours   int                 `yaml:"retain_hours" doc:"Hours for which a reader can go on with an old snapshot, and go back in time. 0 when retain_commits is set."`
	RetainCommits int                 `yaml:"retain_commits" doc:"The same as a number of commits. 0 when retain_hours is set."`
}

// ArchiveConfig says how long the active timeline is.
type ArchiveConfig struct {
	Interval configfile.Duration `yaml:"interval" doc:"Time between two looks."`
	KeepMin  int                 `yaml:"keep_min" doc:"Commits that stay. What the last clean retained stays besides."`
	KeepMax  int                 `yaml:"keep_max" doc:"Commits above which archiving begins."`
}

// DefaultConfig returns the configuration of an empty file.
func DefaultConfig() Config {
	return Config{
		Listen:  ListenConfig{Admin: "127.0.0.1:9090", Debug: "127.0.0.1:9100"},
		Log:     LogConfig{Level: "info"},
		GroupID: "lake-writer",
		Lake:    LakeConfig{Store: storeS3, S3: S3Config{Region: "us-east-1"}},
		Tables:  []TableConfig{{Topic: "playback.events", Database: "lake", Name: "playback_events"}},
		TableServices: ServicesConfig{
			Compaction: CompactionConfig{Interval: configfile.Duration(time.Hour), Commits: 120, LogBytes: 2 << 30, StepBytes: 64 << 20},
			Clean:      CleanConfig{Interval: configfile.Duration(time.Hour), RetainHours: 24},
			Archive:    ArchiveConfig{Interval: configfile.Duration(time.Hour), KeepMin: 500, KeepMax: 1000},
			Share:      0.5,
		},
		CommitInterval: configfile.Duration(10 * time.Second),
		CommitBytes:    128 << 20,
		CommitRows:     1_000_000,
		ByteBudget:     512 << 20,
		DrainTimeout:   configfile.Duration(30 * time.Second),
	}
}

// minBudget holds one fetch answer and as much again to buffer.
const minBudget = 32 << 20

// Names become path elements of the lake and identifiers of SQL engines.
var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,127}$`)

// Validate reports what is wrong with the values.
func (c Config) Validate(r *configfile.Report) {
	if err := netlisten.RequireLoopback(c.Listen.Admin, c.TLS.Enabled(), c.Insecure); err != nil {
		r.Errorf("listen.admin", "%v", err)
	}
	if err := netlisten.RequireLoopback(c.Listen.Debug, false, c.Insecure); err != nil {
		r.Errorf("listen.debug", "%v", err)
	}
	if c.Registry.URL == "" {
		r.Errorf("registry.url", "is needed")
	}
	if err := new(slog.Level).UnmarshalText([]byte(c.Log.Level)); err != nil {
		r.Errorf("log.level", "must be debug, info, warn or error")
	}
	if c.CommitInterval.D() < 100*time.Millisecond || c.CommitInterval.D() > time.Hour {
		r.Errorf("commit_interval", "must be between 100ms and 1h")
	}
	if c.CommitBytes < 1<<20 {
		r.Errorf("commit_bytes", "must be at least 1MiB")
	}
	if c.CommitRows < 1 {
		r.Errorf("commit_rows", "must be at least 1")
	}
	if c.ByteBudget < minBudget {
		r.Errorf("byte_budget", "must be at least 32MiB: one fetch answer takes up to 16MiB")
	}
	if c.Takeover.D() < 0 {
		r.Errorf("takeover_timeout", "must not be negative")
	}
	if c.DrainTimeout.D() < time.Second {
		r.Errorf("drain_timeout", "must be at least 1s")
	}
	if len(c.Tables) == 0 {
		r.Errorf("tables", "must name at least one table")
	}
	topics, names := make(map[string]bool), make(map[string]bool)
	for _, t := range c.Tables {
		name := path.Join(t.Database, t.Name)
		if topics[t.Topic] || names[name] {
			r.Errorf("tables", "topic %s or table %s.%s is there twice", t.Topic, t.Database, t.Name)
		}
		topics[t.Topic], names[name] = true, true
	}
}

// Validate reports what is wrong with the values.
func (c LakeConfig) Validate(r *configfile.Report) {
	switch c.Store {
	case storeDir:
		if c.Dir == "" {
			r.Errorf("dir", "is needed when store is dir")
		}
	case storeS3:
		if c.S3.Bucket == "" {
			r.Errorf("s3.bucket", "is needed when store is s3")
		}
		if (c.S3.AccessKeyFile == "") != (c.S3.SecretKeyFile == "") {
			r.Errorf("s3.secret_key_file", "access_key_file and secret_key_file belong together")
		}
	default:
		r.Errorf("store", "must be s3 or dir")
	}
}

// Validate reports what is wrong with the values.
func (c TableConfig) Validate(r *configfile.Report) {
	if c.Topic == "" {
		r.Errorf("topic", "is needed")
	}
	if !identifier.MatchString(c.Database) {
		r.Errorf("database", "must be a lower-case identifier")
	}
	if !identifier.MatchString(c.Name) {
		r.Errorf("name", "must be a lower-case identifier")
	}
	switch hudi.TableType(c.Type) {
	case "", hudi.MergeOnRead, hudi.CopyOnWrite:
	default:
		r.Errorf("type", "must be MERGE_ON_READ or COPY_ON_WRITE")
	}
	if _, ok := logFormats[c.LogFormat]; !ok {
		r.Errorf("log_format", "must be auto, avro or parquet")
	}
	if c.MaxPast.D() < 0 || c.MaxFuture.D() < 0 {
		r.Errorf("max_event_age", "max_event_age and max_event_ahead must not be negative")
	}
	if c.Topic != "" && c.deadLetters() == c.Topic {
		r.Errorf("dead_letter_topic", "must not be the topic itself")
	}
	if c.Buckets < 0 || c.Buckets > 10_000 {
		r.Errorf("buckets", "must be between 1 and 10000, or 0")
	}
}

// Validate reports what is wrong with the values.
func (c ServicesConfig) Validate(r *configfile.Report) {
	if !(c.Share > 0 && c.Share <= 1) {
		r.Errorf("share", "must be above 0 and at most 1")
	}
	for _, v := range []struct {
		key   string
		every configfile.Duration
	}{{"compaction.interval", c.Compaction.Interval}, {"clean.interval", c.Clean.Interval}, {"archive.interval", c.Archive.Interval}} {
		if v.every.D() < 100*time.Millisecond {
			r.Errorf(v.key, "must be at least 100ms")
		}
	}
	if c.Compaction.Commits < 0 {
		r.Errorf("compaction.commits", "must not be negative")
	}
	if c.Clean.RetainHours < 0 || c.Clean.RetainCommits < 0 || (c.Clean.RetainHours == 0) == (c.Clean.RetainCommits == 0) {
		r.Errorf("clean.retain_hours", "exactly one of retain_hours and retain_commits must be above 0")
	}
	if c.Archive.KeepMin < 1 || c.Archive.KeepMax < c.Archive.KeepMin {
		r.Errorf("archive.keep_min", "must be at least 1 and not above keep_max")
	}
}

func (c ServicesConfig) policy() tableservice.Policy {
	return tableservice.Policy{
		Compaction: tableservice.CompactionPolicy{
			Every: c.Compaction.Interval.D(), Commits: c.Compaction.Commits, LogBytes: int64(c.Compaction.LogBytes), StepBytes: int64(c.Compaction.StepBytes),
		},
		Clean:   tableservice.CleanPolicy{Every: c.Clean.Interval.D(), Hours: c.Clean.RetainHours, Commits: c.Clean.RetainCommits},
		Archive: tableservice.ArchivePolicy{Every: c.Archive.Interval.D(), KeepMin: c.Archive.KeepMin, KeepMax: c.Archive.KeepMax},
		Share:   c.Share, BytesPerSecond: int64(c.BytesPerSecond),
	}
}

func (c TableConfig) subject() string {
	if c.Subject == "" {
		return c.Topic + "-value"
	}
	return c.Subject
}

// deadLetters is the dead-letter topic, empty for none.
func (c TableConfig) deadLetters() string {
	if c.DeadLetters == nil {
		return c.Topic + ".dlq"
	}
	return *c.DeadLetters
}

// maxFuture is far more than clocks differ.
const maxFuture = 24 * time.Hour

func (c TableConfig) clamp() convert.Clamp {
	return convert.Clamp{Past: c.MaxPast.D(), Future: cmp.Or(c.MaxFuture.D(), maxFuture)}
}

// defaultBuckets is the partition count of a development topic.
const defaultBuckets = 12

func (c TableConfig) buckets() int { return cmp.Or(c.Buckets, defaultBuckets) }

// defaultType is that of new tables.
const defaultType = hudi.MergeOnRead

func (c TableConfig) tableType() hudi.TableType { return cmp.Or(hudi.TableType(c.Type), defaultType) }

var logFormats = map[string]hudi.LogFormat{
	"": hudi.LogFormatByCount, "auto": hudi.LogFormatByCount, "avro": hudi.LogFormatAvro, "parquet": hudi.LogFormatParquet,
}

func (c TableConfig) kafkaColumns() bool { return c.KafkaColumns == nil || *c.KafkaColumns }

// takeover returns the effective takeover timeout.
func (c Config) takeover() time.Duration {
	if d := c.Takeover.D(); d > 0 {
		return d
	}
	return max(3*c.CommitInterval.D(), 10*time.Second)
}

// MemoryLimit returns a soft limit for the Go heap in bytes that fits the byte budget: rows exist a
// second time as Parquet while they are committed, and the rest of the process needs its share.
func (c Config) MemoryLimit() int64 {
	return 3*int64(c.ByteBudget) + 256<<20
}
