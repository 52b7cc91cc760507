// Package deadletter writes events that cannot become rows to a dead-letter topic: the value untouched, and headers that say where it came
// from and why it was refused, named as the router names its own. A letter may be written twice, when the commit that passes its event is
// repeated; its origin tells that the two are one.
package deadletter

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/IBM/sarama"

	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/record"
)

// Names of the headers. Those of the router hold for both; HeaderOrigin is "topic/partition/offset" of the refused record.
const (
	HeaderCause      = "playhead.cause"
	HeaderDetail     = "playhead.detail"
	HeaderPath       = "playhead.path"
	HeaderSchema     = "playhead.schema"
	HeaderEncoding   = "playhead.encoding"
	HeaderReceivedAt = "playhead.received_at"
	HeaderAttempt    = "playhead.attempt"
	HeaderEventID    = "playhead.event_id"
	HeaderOrigin     = "playhead.origin"
)

// maxHeaderText bounds what a schema can put into a header.
const maxHeaderText = 256

// Publisher writes letters to one topic. It is safe for concurrent use.
type Publisher struct {
	topic   string
	connect func() (sarama.Client, error)

	mu struct {
		sync.Mutex
		client   sarama.Client
		producer sarama.SyncProducer
	}
}

// New returns a Publisher that connects when it has something to write.
func New(topic string, connect func() (sarama.Client, error)) *Publisher {
	return &Publisher{topic: topic, connect: connect}
}

// Publish returns nil when every in-sync replica has all letters. After an error some may be there, and all should be published again.
func (p *Publisher) Publish(ctx context.Context, events []record.Refused) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	messages := make([]*sarama.ProducerMessage, len(events))
	for i := range events {
		messages[i] = p.message(&events[i])
	}
	if err := p.mu.producer.SendMessages(messages); err != nil {
		p.close()
		return fmt.Errorf("write to topic %s: %w", p.topic, err)
	}
	return nil
}

// open connects. The caller holds the lock.
func (p *Publisher) open() error {
	if p.mu.producer != nil {
		return nil
	}
	client, err := p.connect()
	if err != nil {
		return fmt.Errorf("connect to kafka: %w", err)
	}
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		_ = client.Close()
		return fmt.Errorf("open a producer for topic %s: %w", p.topic, err)
	}
	p.mu.client, p.mu.producer = client, producer
	return nil
}

// close forgets the connection, which a failure may have left in any state. The caller holds the lock.
func (p *Publisher) close() {
	if p.mu.producer == nil {
		return
	}
	_ = p.mu.producer.Close()
	_ = p.mu.client.Close()
	p.mu.client, p.mu.producer = nil, nil
}

// Close ends the connection.
func (p *Publisher) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
}

// message makes the record of a letter. Its key is the origin, so that the same letter lands in the same partition each time.
func (p *Publisher) message(e *record.Refused) *sarama.ProducerMessage {
	origin := e.Topic + "/" + strconv.Itoa(int(e.Partition)) + "/" + strconv.FormatInt(e.Offset, 10)
	headers := []sarama.RecordHeader{
		header(HeaderCause, e.Cause), header(HeaderDetail, e.Detail), header(HeaderPath, e.Path), header(HeaderEncoding, "avro"),
		header(HeaderReceivedAt, strconv.FormatInt(e.Timestamp*1000, 10)), header(HeaderAttempt, "1"), header(HeaderOrigin, origin),
	}
	if e.Schema > 0 {
		headers = append(headers, header(HeaderSchema, strconv.Itoa(e.Schema)))
	}
	if e.EventID != "" {
		headers = append(headers, header(HeaderEventID, e.EventID))
	}
	return &sarama.ProducerMessage{Topic: p.topic, Key: sarama.StringEncoder(origin), Value: sarama.ByteEncoder(e.Value), Headers: headers}
}

// header cuts a text at a rune's border.
func header(key, text string) sarama.RecordHeader {
	if len(text) > maxHeaderText {
		cut := maxHeaderText
		for cut > 0 && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return sarama.RecordHeader{Key: []byte(key), Value: []byte(text)}
}
