// Command verify compares what clients were told (the ledgers of command loadgen) with what a deployment holds: the table's folder and the
// dead-letter topic. It uses the wire and files only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
	"github.com/playhead-pipeline/playhead/services/e2e/model"
	"github.com/playhead-pipeline/playhead/services/e2e/stack"
	"github.com/playhead-pipeline/playhead/services/e2e/trial"
)

func main() { lifecycle.Main(run) }

// settings are the command line. The defaults are those of devstack.
type settings struct {
	endpoints, ledgers, table, kafka, topic, deadLetters string
	keyID, keyFile, tenant                               string
	wait                                                 time.Duration
	output                                               string
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s := settings{}
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.endpoints, "endpoints", "", "endpoints.json of a stack, for -table and -kafka")
	flags.StringVar(&s.ledgers, "ledgers", "ledgers", "folder of the ledgers of all runs on the table")
	flags.StringVar(&s.table, "table", "", "folder of the table")
	flags.StringVar(&s.kafka, "kafka", "", "brokers, host:port with commas between")
	flags.StringVar(&s.topic, "topic", stack.Topic, "topic that feeds the table")
	flags.StringVar(&s.deadLetters, "dead-letters", stack.DeadLetterTopic, "dead-letter topic")
	flags.StringVar(&s.keyID, "masking-key-id", stack.MaskingKeyID, "id of the masking key")
	flags.StringVar(&s.keyFile, "masking-key-file", "", "file with the masking key (default: the key of devstack)")
	flags.StringVar(&s.tenant, "tenant", stack.Tenant, "tenant of the events")
	flags.DurationVar(&s.wait, "wait", 0, "wait for the table to cover the topic, giving up when nothing moves for this long")
	flags.StringVar(&s.output, "output", "text", "text or json")
	if err := flags.Parse(args); err != nil {
		return lifecycle.UsageError{Err: err}
	}
	if err := s.fill(); err != nil {
		return err
	}
	result, runs, err := s.verify(ctx)
	if err != nil {
		return err
	}
	if s.output == "json" {
		err = json.NewEncoder(stdout).Encode(result)
	} else {
		err = trial.Report{Result: result, Table: s.table, Runs: runs}.Print(stdout, s.output)
	}
	if err == nil && result.Verdict != "ok" {
		err = errors.New("the ledger does not hold")
	}
	return err
}

// fill takes what the flags leave open from the endpoints file, and checks the rest.
func (s *settings) fill() error {
	if s.endpoints != "" {
		text, err := os.ReadFile(s.endpoints)
		if err != nil {
			return fmt.Errorf("read endpoints: %w", err)
		}
		var e stack.Endpoints
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("read endpoints: %w", err)
		}
		if s.table == "" {
			s.table = e.Table
		}
		if s.kafka == "" {
			s.kafka = e.Kafka
		}
	}
	if s.table == "" || s.kafka == "" {
		return lifecycle.UsageError{Err: errors.New("-table and -kafka, or -endpoints, are needed")}
	}
	if s.output != "text" && s.output != "json" {
		return lifecycle.UsageError{Err: errors.New("-output must be text or json")}
	}
	return nil
}

// verify returns the verdict and of how many runs it is.
func (s *settings) verify(ctx context.Context) (*model.Result, int, error) {
	key := []byte(stack.MaskingKey)
	if s.keyFile != "" {
		text, err := os.ReadFile(s.keyFile)
		if err != nil {
			return nil, 0, fmt.Errorf("read masking key: %w", err)
		}
		key = []byte(strings.TrimSpace(string(text)))
	}
	ledgers, err := load.LoadLedgers(s.ledgers)
	if err != nil {
		return nil, 0, err
	}
	if len(ledgers) == 0 {
		return nil, 0, fmt.Errorf("there is no ledger in %s", s.ledgers)
	}
	brokers := strings.Split(s.kafka, ",")
	if s.wait > 0 {
		settled := trial.Settled{Brokers: brokers, Topic: s.topic, Table: s.table, Patience: s.wait}
		if err := settled.Await(ctx); err != nil {
			return nil, 0, err
		}
	}
	ends, err := model.EndOffsets(ctx, brokers, s.topic)
	if err != nil {
		return nil, 0, err
	}
	result, err := model.Check(ctx, model.Inputs{
		Ledgers: ledgers, Table: s.table, Partitions: int32(len(ends)),
		Masking:     model.Masking{KeyID: s.keyID, Key: key, Tenant: s.tenant},
		DeadLetters: model.KafkaDeadLetters(brokers, s.deadLetters), Records: model.KafkaRecords(brokers, s.topic),
	})
	return result, len(ledgers), err
}
