package interop

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/peers"
	"github.com/playhead-pipeline/playhead/services/internal/configfile"
	lakewriter "github.com/playhead-pipeline/playhead/services/lake-writer"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)

const s3Bucket = "interop"

// s3Tables are the tables that are written through the lake-writer's S3 store.
var s3Tables = []struct {
	name    string
	version int
	kind    hudi.TableType
	write   func(ctx context.Context, t *testing.T, m *lakeTable)
}{
	{"cow6", hudi.Version6, hudi.CopyOnWrite, writeUpserts},
	{"mor6", hudi.Version6, hudi.MergeOnRead, writeAppends},
	{"mor9", hudi.Version9, hudi.MergeOnRead, writeAppends},
}

func s3Row(version int, kind hudi.TableType) string {
	return stageRow(version, kind, stage{name: "through S3"})
}

// TestS3 lets this library write tables to a real S3 server, and the engines read them from it: Spark through S3A, hudi-rs by itself.
func TestS3(t *testing.T) {
	install := peersDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	server, err := peers.StartObjectStore(ctx, filepath.Join(install, "versitygw"), dir, s3Bucket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	lake := s3Lake(t, dir, server)
	var tables []*lakeTable
	for _, s := range s3Tables {
		m := newTable(t, s3Row(s.version, s.kind), s.version, s.kind, true)
		if m.store, m.path, err = lake.TableStore("lake", s.name); err != nil {
			t.Fatal(err)
		}
		m.storage = map[string]string{
			"aws_access_key_id": peers.AccessKey, "aws_secret_access_key": peers.SecretKey, "aws_endpoint": server.Endpoint(),
			"aws_allow_http": "true", "aws_region": lake.S3.Region,
		}
		s.write(ctx, t, m)
		for _, q := range m.queries(true, false) {
			if err := m.scan(ctx, t, q); err != nil {
				t.Error(err)
			}
		}
		tables = append(tables, m)
	}
	for _, e := range engines(t, install) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			useS3(ctx, t, shared.of(t, e), server)
			for _, m := range tables {
				if !e.knows(m.version) {
					continue
				}
				for _, q := range m.queries(e.spark(), false) {
					err := m.ask(ctx, t, shared.of(t, e), q)
					if err != nil {
						t.Error(err)
					}
					outcome.note(s3Row(m.version, m.kind), e.name, err)
				}
			}
		})
	}
}

// s3Lake is the lake-writer's configuration for the server.
func s3Lake(t *testing.T, dir string, server *peers.ObjectStore) lakewriter.LakeConfig {
	t.Helper()
	lake := lakewriter.DefaultConfig().Lake
	lake.Store = "s3"
	lake.S3.Endpoint, lake.S3.Bucket, lake.S3.PathStyle, lake.S3.Region = server.Endpoint(), s3Bucket, true, "us-east-1"
	for name, content := range map[string]string{"access": peers.AccessKey, "secret": peers.SecretKey} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lake.S3.AccessKeyFile = configfile.SecretFile(filepath.Join(dir, "access"))
	lake.S3.SecretKeyFile = configfile.SecretFile(filepath.Join(dir, "secret"))
	return lake
}

// useS3 tells Spark where s3a paths are. Markers of folders are kept: deleting them takes Hudi minutes on this server.
func useS3(ctx context.Context, t *testing.T, s *session, server *peers.ObjectStore) {
	t.Helper()
	if !s.engine.spark() {
		return
	}
	_, err := s.do(ctx, t, request{ID: "hadoop", Hadoop: map[string]string{
		"fs.s3a.endpoint": server.Endpoint(), "fs.s3a.endpoint.region": "us-east-1", "fs.s3a.path.style.access": "true",
		"fs.s3a.connection.ssl.enabled": "false", "fs.s3a.access.key": peers.AccessKey, "fs.s3a.secret.key": peers.SecretKey,
		"fs.s3a.aws.credentials.provider":   "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
		"fs.s3a.directory.marker.retention": "keep", "fs.s3a.attempts.maximum": "3", "fs.s3a.retry.limit": "3",
	}})
	if err != nil {
		t.Fatal(err)
	}
}
