package schemaregistry

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
)

// kept is the file of one schema in the cache folder.
type kept struct {
	URL  string `json:"registry"` // ids are those of one registry
	ID   int    `json:"id"`
	Text string `json:"schema"`
}

func (c *Client) path(id int) string {
	return filepath.Join(c.params.CacheDir, "schema-"+strconv.Itoa(id)+".json")
}

// load reads the disk copy of a schema. A damaged or foreign one counts as absent: it is only a copy.
func (c *Client) load(id int) (Schema, bool) {
	if c.params.CacheDir == "" {
		return Schema{}, false
	}
	text, err := os.ReadFile(c.path(id))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			c.params.Logger.Warn("schema cache is not readable", "error", err)
		}
		return Schema{}, false
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil || k.URL != c.params.URL || k.ID != id || k.Text == "" {
		return Schema{}, false
	}
	return Schema{ID: id, Text: k.Text}, true
}

// keep writes the disk copy by rename, so that a crash leaves no half of one. Without it everything works but a start without registry.
func (c *Client) keep(schema Schema) {
	if c.params.CacheDir == "" {
		return
	}
	text, err := json.Marshal(kept{c.params.URL, schema.ID, schema.Text})
	if err == nil {
		err = os.MkdirAll(c.params.CacheDir, 0o755)
	}
	tmp := c.path(schema.ID) + ".tmp"
	if err == nil {
		err = os.WriteFile(tmp, text, 0o644)
	}
	if err == nil {
		err = os.Rename(tmp, c.path(schema.ID))
	}
	if err != nil {
		c.params.Logger.Warn("schema is not kept on disk", "id", schema.ID, "error", err)
	}
}

// limitTransport cuts answers that are too long: a schema is at most 512 KiB.
type limitTransport struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t limitTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswerBytes), resp.Body}
	return resp, nil
}
