package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/schemas"
)

func TestRegistersEveryVersionInOrder(t *testing.T) {
	t.Parallel()
	var got []string
	failures := 1 // the registry is still starting at the first request
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failures > 0 {
			failures--
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		var body struct{ Schema string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		got = append(got, r.URL.Path+" "+body.Schema)
		if err := json.NewEncoder(w).Encode(map[string]int{"id": len(got)}); err != nil {
			t.Error(err)
		}
	}))
	defer registry.Close()
	var out strings.Builder
	if err := run(t.Context(), registry.URL, 10*time.Second, &out); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, subject := range schemas.Subjects() {
		versions, err := schemas.Versions(subject)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			want = append(want, "/subjects/"+subject+"/versions "+v.Text)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("registered %d schemas, want %d in their order", len(got), len(want))
	}
	if strings.Count(out.String(), "has id") != len(want) {
		t.Errorf("output %q does not name each id", out.String())
	}
}

func TestRefusalIsAnError(t *testing.T) {
	t.Parallel()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"error_code":409,"message":"incompatible"}`, http.StatusConflict)
	}))
	defer registry.Close()
	err := run(t.Context(), registry.URL, 0, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "incompatible") {
		t.Errorf("error %v, want the registry's reason", err)
	}
}
