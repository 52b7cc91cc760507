package s3store

import (
	"os"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

// TestRealStore runs the probe and the conformance suite on a real store:
//
//	S3STORE_TEST_ENDPOINT=http://127.0.0.1:7070 S3STORE_TEST_BUCKET=test AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... go test ./internal/s3store
//
// Gateways to a file system have no object below another one (k and k/child); there, add -skip TestRealStore/missing.
func TestRealStore(t *testing.T) {
	endpoint, bucketName := os.Getenv("S3STORE_TEST_ENDPOINT"), os.Getenv("S3STORE_TEST_BUCKET")
	if endpoint == "" || bucketName == "" {
		t.Skip("no real store is named by S3STORE_TEST_ENDPOINT and S3STORE_TEST_BUCKET")
	}
	bucket, err := Open(t.Context(), Params{Endpoint: endpoint, Bucket: bucketName, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := Probe(t.Context(), bucket.Store("s3store-test")); err != nil {
		t.Errorf("Probe: %v", err)
	}
	storagetest.Conformance(t, func(t *testing.T) storage.Store {
		return bucket.Store("s3store-test/" + t.Name())
	})
}
