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

func TestUnmasked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		defect bool
		want   string
	}{
		"defect": {true, strings.NewReplacer(`"pseudonym"`, `"none"`, `"playhead.pii":"ip"`, `"playhead.pii":"none"`).Replace(annotated)},
		"none":   {false, annotated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := must[*registryserver.Server](t)(registryserver.New(registryserver.Params{Logger: slog.New(slog.DiscardHandler)}))
			real := httptest.NewServer(server.Handler())
			t.Cleanup(real.Close)
			proxy := must[*Unmasked](t)(NewUnmasked(real.URL, test.defect))
			serve(t, proxy)
			client := must[*schemaregistry.Client](t)(schemaregistry.New(schemaregistry.Params{URL: proxy.URL(), Timeout: 5 * time.Second}))
			t.Cleanup(func() { client.Close() })

			id := must[int](t)(client.Register(t.Context(), "e-value", annotated))
			for _, got := range []schemaregistry.Schema{
				must[schemaregistry.Schema](t)(client.ByID(t.Context(), id)),
				must[schemaregistry.Schema](t)(client.Latest(t.Context(), "e-value")),
			} {
				if got.ID != id || got.Text != test.want {
					t.Errorf("got schema %d:\n%s\nwant %d:\n%s", got.ID, got.Text, id, test.want)
				}
			}
		})
	}
}
