// Package kafkaclient makes sarama configurations and clients with the settings that producers and consumers of the product share, each with
// its reason. What is produced and fetched, in which batches and with which retries, is for the packages that do it.
//
// SASL is PLAIN only; SCRAM needs a client library that this module does not have yet.
package kafkaclient

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/tlsfile"
)

// MechanismPlain is the only SASL mechanism so far.
const MechanismPlain = "PLAIN"

// defaultClientID appears in the broker's logs and quotas when the operator gives no other.
const defaultClientID = "playhead"

// Config says which cluster to talk to, and how.
type Config struct {
	Brokers  []string   `yaml:"brokers" doc:"Addresses of brokers to start from, host:port. The rest of the cluster is found through them."`
	TLS      TLSConfig  `yaml:"tls" doc:"TLS towards the brokers."`
	SASL     SASLConfig `yaml:"sasl" doc:"Login at the brokers."`
	ClientID string     `yaml:"client_id" doc:"Name in the brokers' logs and quotas; empty means playhead."`
}

// TLSConfig names the PEM files towards the brokers.
type TLSConfig struct {
	Enabled    bool   `yaml:"enabled" doc:"Uses TLS with the system's authorities when no ca_file is set."`
	CAFile     string `yaml:"ca_file" doc:"PEM file with the authorities of the brokers' certificates. Setting it switches TLS on."`
	CertFile   string `yaml:"cert_file" doc:"PEM file with the client's certificate, for brokers that ask for one. Read again when it changes."`
	KeyFile    string `yaml:"key_file" doc:"PEM file with the private key of the client's certificate."`
	ServerName string `yaml:"server_name" doc:"Name to expect in the brokers' certificates instead of their hosts."`
}

// On tells whether the client uses TLS.
func (c TLSConfig) On() bool { return c.Enabled || c.CAFile != "" }

// SASLConfig is a login.
type SASLConfig struct {
	Mechanism    string                `yaml:"mechanism" doc:"PLAIN, or empty for none."`
	Username     string                `yaml:"username" doc:"User."`
	PasswordFile configfile.SecretFile `yaml:"password_file" doc:"File with the password."`
	Insecure     bool                  `yaml:"insecure" doc:"Allows the password to be sent without TLS."`
}

// Validate reports what cannot work.
func (c Config) Validate(r *configfile.Report) {
	if len(c.Brokers) == 0 {
		r.Errorf("brokers", "must name at least one broker")
	}
	for i, b := range c.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			r.Errorf(fmt.Sprintf("brokers[%d]", i), "%q is not host:port", b)
		}
	}
	if c.SASL.Mechanism != "" && !c.TLS.On() && !c.SASL.Insecure {
		r.Errorf("sasl", "sends the password in plaintext: configure tls, or set insecure: true beside it")
	}
}

// Validate reports files without their counterparts.
func (c TLSConfig) Validate(r *configfile.Report) {
	if (c.CertFile == "") != (c.KeyFile == "") {
		r.Errorf("cert_file", "cert_file and key_file belong together")
	}
	if !c.On() && c.CertFile != "" {
		r.Errorf("enabled", "is needed with cert_file when there is no ca_file")
	}
}

// Validate reports an incomplete login.
func (c SASLConfig) Validate(r *configfile.Report) {
	switch c.Mechanism {
	case "":
		if c.Username != "" || c.PasswordFile != "" {
			r.Errorf("mechanism", "is needed with username and password_file")
		}
	case MechanismPlain:
		if c.Username == "" {
			r.Errorf("username", "is needed with mechanism %s", c.Mechanism)
		}
		if c.PasswordFile == "" {
			r.Errorf("password_file", "is needed with mechanism %s", c.Mechanism)
		}
	default:
		r.Errorf("mechanism", "%q is not supported; this version knows PLAIN", c.Mechanism)
	}
}

// maxDecompressedBytes bounds what one compressed record batch may unfold to. Producers of this product send at most 1 MiB before compression;
// the bound keeps a hostile batch from taking the process's memory.
const maxDecompressedBytes = 64 << 20

// sarama has this bound as a variable of the package only, off by default. Set once, before the first client exists.
var boundDecompression = sync.OnceFunc(func() { sarama.MaxDecompressedBatchSize = maxDecompressedBytes })

// NewConfig reads the files that c names and returns the shared settings. Callers may change what is theirs before they make a client.
func NewConfig(c Config) (*sarama.Config, error) {
	boundDecompression()
	s := sarama.NewConfig()
	s.ClientID = cmp.Or(c.ClientID, defaultClientID)
	// The oldest broker that we support: fetch version 12 (leader epochs in sessions) came with 2.7, idempotent writes without an ACL for it with 2.8.
	s.Version = sarama.V2_8_0_0
	// sarama's metrics cost CPU per request and a goroutine per process; ours are kept by the packages that use the client.
	s.MetricRegistry = nilRegistry{}
	setNet(s)
	setMetadata(s)
	setProducer(s)
	setConsumer(s)
	if err := setSecurity(s, c); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("check Kafka settings: %w", err)
	}
	return s, nil
}

func setNet(s *sarama.Config) {
	// A broker that is gone has to be noticed long before a gateway's patience ends.
	s.Net.DialTimeout = 5 * time.Second
	// Longer than the longest wait that we ask a broker for (Producer.Timeout, Consumer.MaxWaitTime), else every slow answer looks like a dead connection.
	s.Net.ReadTimeout = 15 * time.Second
	s.Net.WriteTimeout = 15 * time.Second
	// Requests of different partitions may overlap; per partition the producer keeps one batch in flight by itself. The broker remembers the
	// last five batches of a producer per partition, and after a crash just one.
	s.Net.MaxOpenRequests = 5
}

func setMetadata(s *sarama.Config) {
	// A misspelt topic must be an error, not a new topic with the broker's default of partitions and replicas.
	s.Metadata.AllowAutoTopicCreation = false
	// Only the topics that we use: shared clusters have thousands.
	s.Metadata.Full = false
	// Leader changes are seen through errors at once; this finds new partitions.
	s.Metadata.RefreshFrequency = time.Minute
	s.Metadata.Retry.Max = 3
	s.Metadata.Retry.Backoff = 250 * time.Millisecond
}

func setProducer(s *sarama.Config) {
	// An ack of ours means that every in-sync replica has the record.
	s.Producer.RequiredAcks = sarama.WaitForAll
	// How long a broker may wait for its replicas; below Net.ReadTimeout.
	s.Producer.Timeout = 5 * time.Second
	// Sequence numbers are kept by the producer of batches, not by sarama's AsyncProducer, which would force one request at a time.
	s.Producer.Idempotent = false
	s.Producer.Return.Successes = true
	s.Producer.Return.Errors = true
}

func setConsumer(s *sarama.Config) {
	// Off by default in sarama, and then fetch errors and skipped offsets are silent.
	s.Consumer.Return.Errors = true
	// With a maximum, sarama skips a batch that is larger, with offset++ and no more. Zero means none: the topic's max.message.bytes is the bound.
	s.Consumer.Fetch.Max = 0
	// Where to read is what the table's commit says; the group's offsets are for people's tools.
	s.Consumer.Offsets.AutoCommit.Enable = false
	s.Consumer.Offsets.Initial = sarama.OffsetOldest
	// Else an offset out of range becomes "newest", and everything between is lost without an error.
	s.Consumer.Group.ResetInvalidOffsets = false
	// A record of an aborted transaction of somebody else is no event.
	s.Consumer.IsolationLevel = sarama.ReadCommitted
	s.Consumer.MaxWaitTime = 500 * time.Millisecond
}

func setSecurity(s *sarama.Config, c Config) error {
	if c.TLS.On() {
		files := tlsfile.Files{Cert: c.TLS.CertFile, Key: c.TLS.KeyFile, CA: c.TLS.CAFile}
		// Brokers on older Java have no TLS 1.3.
		config, err := tlsfile.Client(files, c.TLS.ServerName, tls.VersionTLS12)
		if err != nil {
			return fmt.Errorf("set up TLS to Kafka: %w", err)
		}
		s.Net.TLS.Enable, s.Net.TLS.Config = true, config
	}
	switch c.SASL.Mechanism {
	case "":
		return nil
	case MechanismPlain:
		password, err := c.SASL.PasswordFile.Read()
		if err != nil {
			return fmt.Errorf("log in to Kafka: %w", err)
		}
		s.Net.SASL.Enable = true
		s.Net.SASL.Mechanism = sarama.SASLTypePlaintext
		s.Net.SASL.User, s.Net.SASL.Password = c.SASL.Username, string(password)
		return nil
	}
	return fmt.Errorf("log in to Kafka: mechanism %q is not supported", c.SASL.Mechanism)
}

// NewClient connects to the cluster. A rotated password is used by the next client; a rotated certificate by the next connection.
func NewClient(c Config) (sarama.Client, error) {
	s, err := NewConfig(c)
	if err != nil {
		return nil, err
	}
	client, err := sarama.NewClient(c.Brokers, s)
	if err != nil {
		return nil, fmt.Errorf("connect to Kafka at %v: %w", c.Brokers, err)
	}
	return client, nil
}
