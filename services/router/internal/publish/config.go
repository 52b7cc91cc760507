package publish

import (
	"time"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
)

// Config is how records are gathered into batches.
type Config struct {
	Linger               configfile.Duration `yaml:"linger" doc:"How long the first record of a batch waits for company. At 200 partitions and 200,000 events/s a broker needs twice the CPU at 50ms than at 100ms; small installations gain latency with less."`
	BatchBytes           configfile.Size     `yaml:"batch_bytes" doc:"Largest batch before compression. Must be below the topic's max.message.bytes; one larger record travels alone."`
	BatchRecords         int                 `yaml:"batch_records" doc:"Most records of a batch."`
	RequestBytes         configfile.Size     `yaml:"request_bytes" doc:"Most bytes, before compression, of the batches of several partitions in one request."`
	Compression          string              `yaml:"compression" doc:"lz4, snappy, zstd or none. snappy costs the least CPU, zstd makes the least bytes."`
	ProducerIDExpiration configfile.Duration `yaml:"producer_id_expiration" doc:"The brokers' producer.id.expiration.ms. A batch without an answer is not sent again from one hour (or a tenth, if less) before that; its partition stops then."`
}

// TopicsConfig says what missing topics are made of.
type TopicsConfig struct {
	Partitions           int32 `yaml:"partitions" doc:"Partitions of a data topic; 0 creates no topics. The number of Hudi buckets of every table must divide it."`
	ReplicationFactor    int16 `yaml:"replication_factor" doc:"Replicas of every partition."`
	DeadLetterPartitions int32 `yaml:"dead_letter_partitions" doc:"Partitions of a dead-letter topic."`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Linger:               configfile.Duration(20 * time.Millisecond),
		BatchBytes:           512 << 10,
		BatchRecords:         1000,
		RequestBytes:         8 << 20,
		Compression:          "lz4",
		ProducerIDExpiration: configfile.Duration(24 * time.Hour),
	}
}

// codecs maps the names of Config.Compression. Level 1 of zstd: higher ones cost twice the CPU for a few percent.
var codecs = map[string]struct {
	codec sarama.CompressionCodec
	level int
}{
	"none":   {sarama.CompressionNone, sarama.CompressionLevelDefault},
	"lz4":    {sarama.CompressionLZ4, sarama.CompressionLevelDefault},
	"snappy": {sarama.CompressionSnappy, sarama.CompressionLevelDefault},
	"zstd":   {sarama.CompressionZSTD, 1},
}

// Validate reports what cannot work.
func (c Config) Validate(r *configfile.Report) {
	if c.Linger < 0 || c.Linger.D() > 10*time.Second {
		r.Errorf("linger", "must be between 0s and 10s")
	}
	if c.BatchBytes < 1<<10 || c.BatchBytes > 16<<20 {
		r.Errorf("batch_bytes", "must be between 1KiB and 16MiB")
	}
	if c.BatchRecords < 1 || c.BatchRecords > 100_000 {
		r.Errorf("batch_records", "must be between 1 and 100000")
	}
	if c.RequestBytes < c.BatchBytes || c.RequestBytes > 64<<20 {
		r.Errorf("request_bytes", "must be between batch_bytes and 64MiB")
	}
	if _, ok := codecs[c.Compression]; !ok {
		r.Errorf("compression", "%q is none of lz4, snappy, zstd, none", c.Compression)
	}
	if c.ProducerIDExpiration.D() < time.Minute {
		r.Errorf("producer_id_expiration", "must be at least 1m")
	}
}

// Validate reports what cannot work.
func (c TopicsConfig) Validate(r *configfile.Report) {
	if c.Partitions < 0 {
		r.Errorf("partitions", "must not be negative")
	}
	if c.Partitions > 0 && (c.ReplicationFactor < 1 || c.DeadLetterPartitions < 1) {
		r.Errorf("replication_factor", "replication_factor and dead_letter_partitions must be at least 1")
	}
}

// resendLimit is how long a batch without an answer may be sent again.
func (c Config) resendLimit() time.Duration {
	expiration := c.ProducerIDExpiration.D()
	return expiration - min(time.Hour, expiration/10)
}
