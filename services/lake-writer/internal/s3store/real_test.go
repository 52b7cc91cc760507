package s3store

import (
	"fmt"
	"os"
	"path"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/sweeptest"
)

// TestRealStore runs the probe and the conformance suite on a real store, as does the stage interop of scripts/test.sh:
//
//	S3STORE_TEST_ENDPOINT=http://127.0.0.1:7070 S3STORE_TEST_BUCKET=test AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... go test ./internal/s3store
//
// Gateways to a file system have no object below another one (k and k/child); there, add -skip TestRealStore/missing.
func TestRealStore(t *testing.T) {
	bucket := realBucket(t)
	if err := Probe(t.Context(), bucket.Store("s3store-test")); err != nil {
		t.Errorf("Probe: %v", err)
	}
	storagetest.Conformance(t, func(t *testing.T) storage.Store {
		return bucket.Store("s3store-test/" + t.Name())
	})
}

// TestRealStoreSweep leads the lives of tables on a real store, with a sample of their calls going wrong in every way, or with all of them in a
// full sweep.
func TestRealStoreSweep(t *testing.T) {
	bucket := realBucket(t)
	sweep(t, 41, func(_ *testing.T, name string) storage.Store { return bucket.Store(path.Join("s3store-sweep", name)) })
}

// TestSweep is the same on a server that every case has for itself, in this process.
func TestSweep(t *testing.T) {
	t.Parallel()
	sweep(t, 61, func(t *testing.T, _ string) storage.Store {
		fake, bucket := newFakeS3(t)
		fake.pageSize = 1000
		return bucket.Store("sweep")
	})
}

func sweep(t *testing.T, stride int, open func(t *testing.T, name string) storage.Store) {
	t.Helper()
	for _, version := range []int{hudi.Version6, hudi.Version9} {
		for _, kind := range []hudi.TableType{hudi.CopyOnWrite, hudi.MergeOnRead} {
			t.Run(fmt.Sprintf("version %d, %s", version, kind), func(t *testing.T) {
				t.Parallel()
				sweeptest.Run(t, sweeptest.Options{Type: kind, Version: version, Kinds: sweeptest.Kinds(), Stride: stride}, open)
			})
		}
	}
}

// realBucket is the bucket that the environment names.
func realBucket(t *testing.T) *Bucket {
	t.Helper()
	endpoint, name := os.Getenv("S3STORE_TEST_ENDPOINT"), os.Getenv("S3STORE_TEST_BUCKET")
	if endpoint == "" || name == "" {
		t.Skip("no real store is named by S3STORE_TEST_ENDPOINT and S3STORE_TEST_BUCKET")
	}
	bucket, err := Open(t.Context(), Params{Endpoint: endpoint, Bucket: name, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}
