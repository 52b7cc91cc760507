package s3store

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storagetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Conformance(t, func(t *testing.T) storage.Store {
		_, bucket := newFakeS3(t)
		return bucket.Store("tables/one")
	})
}

func methodFault(method string, f fault) func(*http.Request) fault {
	return func(r *http.Request) fault {
		if r.Method == method {
			return f
		}
		return none
	}
}

// TestPutOutcomes: a PUT is sent once, and its error says what may have happened to the object.
func TestPutOutcomes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		fault   fault
		class   storage.Class
		written bool
	}{
		{"503 may come from a gateway after the work", unavailable, storage.Unknown, false},
		{"409 is not done", conflict, storage.Retryable, false},
		{"reset before", resetBefore, storage.Unknown, false},
		{"answer lost", lostAnswer, storage.Unknown, true},
		{"500 after the work", errorAfter, storage.Unknown, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fake, bucket := newFakeS3(t)
			store := bucket.Store("tables/one")
			fake.inject(methodFault(http.MethodPut, tt.fault))
			_, err := store.Put(t.Context(), "a/b", []byte("new"), storage.Condition{IfAbsent: true})
			if got := storage.Classify(err); err == nil || got != tt.class {
				t.Errorf("Put: %v is %v, want %v", err, got, tt.class)
			}
			if n := fake.count(); n != 1 {
				t.Errorf("%d requests were sent, want 1", n)
			}
			fake.inject(nil)
			_, _, err = store.Get(t.Context(), "a/b")
			if got := err == nil; got != tt.written {
				t.Errorf("object is there: %v, want %v (%v)", got, tt.written, err)
			}
		})
	}
}

func TestPutWithoutConnectionIsNotDone(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	key := func() (string, error) { return "key", nil }
	bucket, err := Open(t.Context(), Params{Endpoint: url, Bucket: "lake", PathStyle: true, AccessKey: key, SecretKey: key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bucket.Store("").Put(t.Context(), "a", nil, storage.Condition{})
	if got := storage.Classify(err); got != storage.Retryable {
		t.Errorf("Put: %v is %v, want retryable", err, got)
	}
}

func TestPutWithoutCredentialsIsNotDone(t *testing.T) {
	t.Parallel()
	fake, _ := newFakeS3(t)
	server := httptest.NewServer(fake)
	defer server.Close()
	gone := func() (string, error) { return "", errors.New("no such file") }
	bucket, err := Open(t.Context(), Params{Endpoint: server.URL, Bucket: "lake", PathStyle: true, AccessKey: gone, SecretKey: gone})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bucket.Store("").Put(t.Context(), "a", nil, storage.Condition{})
	if got := storage.Classify(err); got != storage.Retryable {
		t.Errorf("Put: %v is %v, want retryable", err, got)
	}
	if n := fake.count(); n != 0 {
		t.Errorf("%d requests were sent, want none", n)
	}
}

func TestPutCanceledOnTheWayIsUnknown(t *testing.T) {
	t.Parallel()
	fake, bucket := newFakeS3(t)
	ctx, cancel := context.WithCancel(t.Context())
	fake.inject(func(r *http.Request) fault {
		if r.Method == http.MethodPut {
			cancel()
			<-r.Context().Done()
		}
		return none
	})
	_, err := bucket.Store("").Put(ctx, "a", []byte("x"), storage.Condition{})
	if got := storage.Classify(err); got != storage.Unknown {
		t.Errorf("Put: %v is %v, want unknown", err, got)
	}
}

// TestReadsAreRepeated: a few failures are survived, a lasting one comes back as retryable after readAttempts.
func TestReadsAreRepeated(t *testing.T) {
	t.Parallel()
	fake, bucket := newFakeS3(t)
	store := bucket.Store("t")
	if _, err := store.Put(t.Context(), "k", []byte("0123456789"), storage.Condition{}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []fault{unavailable, resetBefore, lostAnswer, errorAfter, cutBody} {
		left := readAttempts - 1
		fake.inject(func(*http.Request) fault {
			if left--; left >= 0 {
				return f
			}
			return none
		})
		data, _, err := store.Get(t.Context(), "k")
		if err != nil || string(data) != "0123456789" {
			t.Errorf("fault %d: got %q, %v", f, data, err)
		}
	}
	fake.inject(func(*http.Request) fault { return unavailable })
	_, _, err := store.Get(t.Context(), "k")
	if got := storage.Classify(err); got != storage.Retryable {
		t.Errorf("Get: %v is %v, want retryable", err, got)
	}
	if n := fake.count(); n != readAttempts {
		t.Errorf("%d requests, want %d", n, readAttempts)
	}
}

func TestListPagesWithoutFolders(t *testing.T) {
	t.Parallel()
	fake, bucket := newFakeS3(t)
	store := bucket.Store("t")
	want := []string{"a", "a/b", "b", "c/1", "c/2", "d", "e"}
	for _, key := range want {
		if _, err := store.Put(t.Context(), key, nil, storage.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	fake.mu.Lock()
	fake.mu.objects["t/c/"] = nil
	fake.mu.objects["other/x"] = nil
	fake.mu.Unlock()
	var got []string
	for info, err := range store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Key)
	}
	if !slices.Equal(got, want) {
		t.Errorf("List: %v, want %v", got, want)
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault fault
		check string
	}{
		{"sound", none, ""},
		{"no If-None-Match", ignoreIfNone, "If-None-Match"},
		{"no If-Match", ignoreIfMatch, "If-Match"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fake, bucket := newFakeS3(t)
			fake.inject(methodFault(http.MethodPut, tt.fault))
			err := Probe(t.Context(), bucket.Store("lake"))
			refused, ok := errors.AsType[*RefusedError](err)
			switch {
			case tt.check == "" && err != nil:
				t.Errorf("Probe: %v", err)
			case tt.check != "" && (!ok || refused.Check != tt.check):
				t.Errorf("Probe: %v, want a refusal of %s", err, tt.check)
			}
			fake.mu.Lock()
			defer fake.mu.Unlock()
			if len(fake.mu.objects) != 0 {
				t.Errorf("the probe left %d objects", len(fake.mu.objects))
			}
		})
	}
}

func TestProbeOutageIsNoRefusal(t *testing.T) {
	t.Parallel()
	fake, bucket := newFakeS3(t)
	fake.inject(func(*http.Request) fault { return unavailable })
	err := Probe(t.Context(), bucket.Store("lake"))
	if _, ok := errors.AsType[*RefusedError](err); ok || err == nil {
		t.Errorf("Probe: %v, want an error that is no refusal", err)
	}
}
