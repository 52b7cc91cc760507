package kafkaclient_test

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/rcrowley/go-metrics"

	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	"github.com/playhead-pipeline/playhead/services/internal/kafkaclient"
	"github.com/playhead-pipeline/playhead/services/internal/kafkatest"
	"github.com/playhead-pipeline/playhead/services/internal/tlstest"
)

const topic = "events"

// use produces and consumes one record, which needs metadata, a leader and both directions.
func use(t *testing.T, c kafkaclient.Config) error {
	t.Helper()
	client, err := kafkaclient.NewClient(c)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return err
	}
	defer func() { _ = producer.Close() }()
	if _, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("hello")}); err != nil {
		return err
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	defer func() { _ = consumer.Close() }()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	defer func() { _ = partition.Close() }()
	select {
	case m := <-partition.Messages():
		if string(m.Value) != "hello" {
			t.Errorf("got %q", m.Value)
		}
		return nil
	case err := <-partition.Errors():
		return err
	case <-t.Context().Done():
		return t.Context().Err()
	}
}

func writeFile(t *testing.T, content string) configfile.SecretFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return configfile.SecretFile(path)
}

func TestPlaintext(t *testing.T) {
	t.Parallel()
	cluster := kafkatest.New(t, kafkatest.Options{Partitions: map[string]int32{topic: 1}})
	if err := use(t, kafkaclient.Config{Brokers: cluster.Addrs()}); err != nil {
		t.Error(err)
	}
}

func TestTLSAndPlainLogin(t *testing.T) {
	t.Parallel()
	ca := tlstest.NewAuthority(t)
	cert, key := ca.Issue(t, t.TempDir(), "broker")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	cluster := kafkatest.New(t, kafkatest.Options{
		Partitions: map[string]int32{topic: 1},
		TLS:        &tls.Config{Certificates: []tls.Certificate{pair}},
		Users:      map[string]string{"router": "right"},
	})
	good := kafkaclient.Config{
		Brokers: cluster.Addrs(), TLS: kafkaclient.TLSConfig{CAFile: ca.File},
		SASL: kafkaclient.SASLConfig{Mechanism: kafkaclient.MechanismPlain, Username: "router", PasswordFile: writeFile(t, "right\n")},
	}
	if err := use(t, good); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	for name, change := range map[string]func(*kafkaclient.Config){
		"wrong password":  func(c *kafkaclient.Config) { c.SASL.PasswordFile = writeFile(t, "wrong") },
		"no login":        func(c *kafkaclient.Config) { c.SASL = kafkaclient.SASLConfig{} },
		"wrong authority": func(c *kafkaclient.Config) { c.TLS.CAFile = tlstest.NewAuthority(t).File },
		"no password":     func(c *kafkaclient.Config) { c.SASL.PasswordFile = "missing" },
		"SCRAM":           func(c *kafkaclient.Config) { c.SASL.Mechanism = "SCRAM-SHA-512" },
	} {
		c := good
		change(&c)
		if err := use(t, c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The settings whose wrong value loses or invents events without an error.
func TestSettingsThatGuardEvents(t *testing.T) {
	t.Parallel()
	s, err := kafkaclient.NewConfig(kafkaclient.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"acks=all":                        s.Producer.RequiredAcks == sarama.WaitForAll,
		"no topics by mistake":            !s.Metadata.AllowAutoTopicCreation,
		"consumer errors are returned":    s.Consumer.Return.Errors,
		"no batch is skipped":             s.Consumer.Fetch.Max == 0,
		"no jump to newest":               !s.Consumer.Group.ResetInvalidOffsets,
		"no offsets but ours":             !s.Consumer.Offsets.AutoCommit.Enable,
		"broker gives up before we do":    s.Producer.Timeout < s.Net.ReadTimeout && s.Consumer.MaxWaitTime < s.Net.ReadTimeout,
		"decompression is bounded":        sarama.MaxDecompressedBatchSize == 64<<20,
		"client has a name":               s.ClientID == "playhead",
		"sequence numbers stay with us":   !s.Producer.Idempotent,
		"five requests for many partions": s.Net.MaxOpenRequests == 5,
	} {
		if !ok {
			t.Errorf("%s: does not hold", name)
		}
	}
}

func TestNoMetricIsMade(t *testing.T) {
	t.Parallel()
	s, err := kafkaclient.NewConfig(kafkaclient.Config{})
	if err != nil {
		t.Fatal(err)
	}
	metrics.GetOrRegisterMeter("m", s.MetricRegistry).Mark(1)
	metrics.GetOrRegisterCounter("c", s.MetricRegistry).Inc(1)
	if got := metrics.GetOrRegisterCounter("c", s.MetricRegistry).Count(); got != 0 {
		t.Errorf("a counter counts: %d", got)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	type file struct {
		Kafka kafkaclient.Config `yaml:"kafka"`
	}
	for text, want := range map[string]string{
		"kafka: {brokers: [a:1]}": "",
		"kafka: {brokers: [a:1], tls: {enabled: true}, sasl: {mechanism: PLAIN, username: u, password_file: f}}": "",
		"kafka: {brokers: [a:1], sasl: {mechanism: PLAIN, username: u, password_file: f, insecure: true}}":       "",
		"kafka: {}":                          "kafka.brokers: must name at least one broker",
		"kafka: {brokers: [a:1, b, \":1\"]}": `kafka.brokers[1]: "b" is not host:port`,
		"kafka: {brokers: [a:1], sasl: {mechanism: PLAIN, username: u, password_file: f}}": "kafka.sasl: sends the password in plaintext",
		"kafka: {brokers: [a:1], sasl: {username: u}}":                                     "kafka.sasl.mechanism: is needed",
		"kafka: {brokers: [a:1], sasl: {mechanism: PLAIN, insecure: true}}":                "kafka.sasl.password_file: is needed",
		"kafka: {brokers: [a:1], sasl: {mechanism: SCRAM-SHA-512, insecure: true}}":        "is not supported; this version knows PLAIN",
		"kafka: {brokers: [a:1], tls: {cert_file: c}}":                                     "kafka.tls.cert_file: cert_file and key_file belong together",
		"kafka: {brokers: [a:1], tls: {cert_file: c, key_file: k}}":                        "kafka.tls.enabled: is needed",
	} {
		var f file
		err := configfile.Parse("f", []byte(text), &f)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
