package defect

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/internal/registryserver"
	"github.com/playhead-pipeline/playhead/services/internal/schemaregistry"
)

const annotated = `{"type":"record","name":"E","fields":[{"name":"id","type":"string","playhead.pii" : "pseudonym","doc":"a \"b\""},` +
	`{"name":"ip","type":["null","string"],"default":null,"playhead.pii":"ip"}]}`

func TestRegistry(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ replacements, changes []string }{
		"fault": {unmask, []string{`"pseudonym"`, `"none"`, `"playhead.pii":"ip"`, `"playhead.pii":"none"`}},
		"none":  {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, err := registryserver.New(registryserver.Params{Logger: slog.New(slog.DiscardHandler)})
			closed(t, server, err)
			real := httptest.NewServer(server.Handler())
			t.Cleanup(real.Close)
			proxy, err := NewRegistry(real.URL, test.replacements...)
			closed(t, proxy, err)
			client, err := schemaregistry.New(schemaregistry.Params{URL: proxy.URL(), Timeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { client.Close() })
			id, err := client.Register(t.Context(), "e-value", annotated)
			if err != nil {
				t.Fatal(err)
			}
			byID, err := client.ByID(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			latest, err := client.Latest(t.Context(), "e-value")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.NewReplacer(test.changes...).Replace(annotated)
			for _, got := range []schemaregistry.Schema{byID, latest} {
				if got.ID != id || got.Text != want {
					t.Errorf("got schema %d:\n%s\nwant %d:\n%s", got.ID, got.Text, id, want)
				}
			}
		})
	}
}

// unmask are the replacements that turn every class into "none".
var unmask = func() (pairs []string) {
	for _, class := range []string{"pseudonym", "ip", "drop"} {
		for _, between := range []string{`:`, `: `, ` : `} {
			pairs = append(pairs, `\"playhead.pii\"`+between+`\"`+class+`\"`, `\"playhead.pii\"`+between+`\"none\"`)
		}
	}
	return pairs
}()
