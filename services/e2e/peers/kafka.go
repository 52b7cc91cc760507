// Package peers starts the real servers that judge Playhead: Apache Kafka, Apicurio Registry and versitygw, from the folder that
// scripts/peers.sh fills. Every server listens on loopback with a free port and keeps its state in a folder of the caller's. What the
// servers are used for is the business of the scenarios and the interop stage.
package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/playhead-pipeline/playhead/services/e2e/child"
)

// Kafka is a cluster of Apache Kafka brokers (KRaft, combined roles) on loopback.
type Kafka struct {
	dir     string
	install string
	cluster string // KRaft cluster id, shared by all nodes
	nodes   []*kafkaNode
}

type kafkaNode struct {
	id             int
	port, ctrlPort int
	dir            string
	proc           *child.Process
}

// StartKafka formats (once per dir) and starts a cluster of n brokers. install is the folder "kafka" that scripts/peers.sh made. Topics
// that are created without a replication factor get min(n, 3) replicas, and with three brokers min.insync.replicas is 2.
func StartKafka(ctx context.Context, install, dir string, n int) (*Kafka, error) {
	ports, err := child.FreePorts(2 * n)
	if err != nil {
		return nil, err
	}
	k := &Kafka{dir: dir, install: install}
	for i := range n {
		k.nodes = append(k.nodes, &kafkaNode{id: i + 1, port: ports[2*i], ctrlPort: ports[2*i+1], dir: filepath.Join(dir, fmt.Sprintf("node%d", i+1))})
	}
	if k.cluster, err = k.clusterID(ctx); err != nil {
		return nil, err
	}
	for _, node := range k.nodes {
		if err := k.format(ctx, node); err != nil {
			return nil, err
		}
	}
	for _, node := range k.nodes {
		if err := k.startNode(node); err != nil {
			return nil, errors.Join(err, k.Stop())
		}
	}
	if err := k.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, k.Stop())
	}
	return k, nil
}

// Addrs returns the brokers' addresses as host:port.
func (k *Kafka) Addrs() []string {
	addrs := make([]string, 0, len(k.nodes))
	for _, node := range k.nodes {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", node.port))
	}
	return addrs
}

// Kill ends broker i (from 0) at once, as a crash would.
func (k *Kafka) Kill(i int) error { return k.nodes[i].proc.Kill() }

// Restart starts broker i again on the same folder and port, and waits until it accepts connections.
func (k *Kafka) Restart(ctx context.Context, i int) error {
	if err := k.startNode(k.nodes[i]); err != nil {
		return err
	}
	return k.nodes[i].proc.Ready(ctx, child.Dial(k.Addrs()[i]))
}

// Stop ends all brokers. With more than one they are killed: the last of three would wait for a quorum that is gone.
func (k *Kafka) Stop() error {
	var errs []error
	for _, node := range k.nodes {
		if node.proc == nil {
			continue
		}
		if len(k.nodes) > 1 {
			errs = append(errs, node.proc.Kill())
			continue
		}
		errs = append(errs, node.proc.Stop())
	}
	return errors.Join(errs...)
}

// clusterID reads the id that an earlier start left in dir, or makes one.
func (k *Kafka) clusterID(ctx context.Context) (string, error) {
	path := filepath.Join(k.dir, "cluster.id")
	if id, err := os.ReadFile(path); err == nil {
		return strings.TrimSpace(string(id)), nil
	}
	out, err := k.tool(ctx, "kafka.tools.StorageTool", "random-uuid")
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(out)
	if err := os.MkdirAll(k.dir, 0o755); err != nil {
		return "", fmt.Errorf("create folder of Kafka: %w", err)
	}
	if err := os.WriteFile(path, []byte(id+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("keep Kafka cluster id: %w", err)
	}
	return id, nil
}

// format writes the node's properties, which hold this start's ports, and formats its log folder the first time.
func (k *Kafka) format(ctx context.Context, node *kafkaNode) error {
	if err := os.MkdirAll(node.dir, 0o755); err != nil {
		return fmt.Errorf("create folder of broker %d: %w", node.id, err)
	}
	props := filepath.Join(node.dir, "server.properties")
	if err := os.WriteFile(props, []byte(k.properties(node)), 0o644); err != nil {
		return fmt.Errorf("write properties of broker %d: %w", node.id, err)
	}
	if _, err := os.Stat(filepath.Join(node.dir, "data", "meta.properties")); err == nil {
		return nil
	}
	_, err := k.tool(ctx, "kafka.tools.StorageTool", "format", "-t", k.cluster, "-c", props)
	return err
}

func (k *Kafka) properties(node *kafkaNode) string {
	voters := make([]string, 0, len(k.nodes))
	for _, n := range k.nodes {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", n.id, n.ctrlPort))
	}
	replicas := min(len(k.nodes), 3)
	return strings.Join([]string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", node.id),
		"controller.quorum.voters=" + strings.Join(voters, ","),
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", node.port, node.ctrlPort),
		"controller.listener.names=CONTROLLER",
		"inter.broker.listener.name=PLAINTEXT",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + filepath.Join(node.dir, "data"),
		fmt.Sprintf("default.replication.factor=%d", replicas),
		fmt.Sprintf("min.insync.replicas=%d", max(1, replicas-1)),
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		"offsets.topic.num.partitions=3",
		fmt.Sprintf("transaction.state.log.replication.factor=%d", replicas),
		fmt.Sprintf("transaction.state.log.min.isr=%d", max(1, replicas-1)),
		"transaction.state.log.num.partitions=3",
		"broker.session.timeout.ms=6000",
		"unclean.leader.election.enable=false",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=false",
		"",
	}, "\n")
}

func (k *Kafka) startNode(node *kafkaNode) error {
	proc, err := child.Start(fmt.Sprintf("kafka%d", node.id), node.dir, nil, "java", "-Xms256m", "-Xmx512m",
		"-Dlog4j2.configurationFile="+filepath.Join(k.install, "log4j2.xml"),
		"-cp", filepath.Join(k.install, "libs", "*"), "kafka.Kafka", filepath.Join(node.dir, "server.properties"))
	if err != nil {
		return err
	}
	node.proc = proc
	return nil
}

// awaitReady waits until every broker accepts connections and the cluster answers a metadata request: after "started" a broker still
// answers NOT_LEADER for a while, which clients retry.
func (k *Kafka) awaitReady(ctx context.Context) error {
	for i, node := range k.nodes {
		if err := node.proc.Ready(ctx, child.Dial(k.Addrs()[i])); err != nil {
			return err
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addrs()...))
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	defer client.Close()
	return k.nodes[0].proc.Ready(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return client.Ping(ctx)
	})
}

// tool runs one of Kafka's command-line classes and returns its standard output.
func (k *Kafka) tool(ctx context.Context, class string, args ...string) (string, error) {
	argv := append([]string{
		"-Xmx256m", "-Dklog=WARN", "-Dlog4j2.configurationFile=" + filepath.Join(k.install, "log4j2.xml"),
		"-cp", filepath.Join(k.install, "libs", "*"), class,
	}, args...)
	cmd := exec.CommandContext(ctx, "java", argv...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w: %s", class, args[0], err, stderr.String())
	}
	return string(out), nil
}
