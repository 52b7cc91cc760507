package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// prepare writes the files that the services' configurations name, and returns the configuration texts.
func (o Options) prepare(p ports) (map[Service]string, error) {
	secrets := map[string]string{
		"masking-key": MaskingKey, "s3-access-key": o.Backends.S3.AccessKey, "s3-secret-key": o.Backends.S3.SecretKey,
	}
	for name, value := range secrets {
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(value), 0o600); err != nil {
			return nil, fmt.Errorf("write secret: %w", err)
		}
	}
	router := address(p.ingest)
	if o.Through != nil {
		var err error
		if router, err = o.Through(router); err != nil {
			return nil, fmt.Errorf("put a proxy before the router: %w", err)
		}
	}
	return map[Service]string{Gateway: o.gatewayConfig(p, router), Router: o.routerConfig(p), LakeWriter: o.lakeWriterConfig(p)}, nil
}

func (o Options) gatewayConfig(p ports, router string) string {
	return fmt.Sprintf(`
name: stack
listen: {websocket: %q, admin: %q, debug: %q}
log: {level: %s}
tenant: %s
router: {address: %q}
`, address(p.websocket), address(p.admin[Gateway]), address(p.debug[Gateway]), o.LogLevel, Tenant, router)
}

func (o Options) routerConfig(p ports) string {
	return fmt.Sprintf(`
listen: {ingest: %q, admin: %q, debug: %q}
log: {level: %s}
kafka:
  brokers: [%s]
  create_topics: {partitions: %d, replication_factor: %d, dead_letter_partitions: 3}
registry: {url: %q, cache_dir: %q}
masking: {key_id: %s, key_file: %q}
routes:
  - {schema: %s, subject: %s, topic: %s, dead_letter_topic: %s}
`, address(p.ingest), address(p.admin[Router]), address(p.debug[Router]), o.LogLevel, quoted(o.Backends.Kafka), o.Partitions, o.Replication,
		o.Backends.Registry, filepath.Join(o.Dir, "router-schemas"), MaskingKeyID, filepath.Join(o.Dir, "masking-key"),
		SchemaName, Subject, Topic, DeadLetterTopic)
}

func (o Options) lakeWriterConfig(p ports) string {
	s3 := o.Backends.S3
	return fmt.Sprintf(`
listen: {admin: %q, debug: %q}
log: {level: %s}
kafka: {brokers: [%s]}
registry: {url: %q, cache_dir: %q}
lake:
  store: s3
  s3: {endpoint: %q, region: %s, bucket: %s, path_style: true, access_key_file: %q, secret_key_file: %q}
tables:
  - {topic: %s, database: %s, name: %s, buckets: %d%s}
commit_interval: %s
%s`, address(p.admin[LakeWriter]), address(p.debug[LakeWriter]), o.LogLevel, quoted(o.Backends.Kafka), o.Backends.Registry,
		filepath.Join(o.Dir, "lake-writer-schemas"), s3.Endpoint, region, s3.Bucket, filepath.Join(o.Dir, "s3-access-key"),
		filepath.Join(o.Dir, "s3-secret-key"), Topic, database, tableName, o.Buckets, o.tableType(), o.CommitInterval,
		o.tableServices())
}

// tableType adds what the options say of the table's type to its configuration; the lake-writer has its own defaults.
func (o Options) tableType() string {
	text := ""
	if o.TableType != "" {
		text += ", type: " + o.TableType
	}
	if o.LogFormat != "" {
		text += ", log_format: " + o.LogFormat
	}
	return text
}

// tableServices makes clean and archive run every ServiceInterval and compaction every fourth, since one that is due again as soon as it
// ends leaves the others no turn. They keep little: a few commits in the active timeline, and file slices for readers of the last few.
func (o Options) tableServices() string {
	if o.ServiceInterval == 0 {
		return ""
	}
	return fmt.Sprintf(`table_services:
  compaction: {interval: %[2]s, commits: 0}
  clean: {interval: %[1]s, retain_hours: 0, retain_commits: 4}
  archive: {interval: %[1]s, keep_min: 8, keep_max: 12}
  share: 1
`, o.ServiceInterval, 4*o.ServiceInterval)
}

func quoted(items []string) string {
	out := make([]string, 0, len(items))
	for _, item := range items {
		out = append(out, fmt.Sprintf("%q", item))
	}
	return strings.Join(out, ", ")
}
