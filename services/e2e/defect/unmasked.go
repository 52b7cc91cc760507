package defect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
)

// Unmasked is a schema registry that has forgotten what is personal: it stands in front of a real one and serves its schemas with every class
// of playhead.pii turned into "none".
type Unmasked struct{ *web }

// NewUnmasked binds a port of loopback in front of the registry at upstream. Without defect everything passes as it is.
func NewUnmasked(upstream string, defect bool) (*Unmasked, error) {
	target, err := url.Parse(upstream)
	if err != nil {
		return nil, fmt.Errorf("read address of the registry: %w", err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Del("Accept-Encoding") // so that the transport unpacks what ModifyResponse reads
	}}
	if defect {
		proxy.ModifyResponse = unmaskResponse
	}
	w, err := listenWeb(proxy)
	return &Unmasked{w}, err
}

// maxAnswer bounds what is read of an answer: several times the largest schema that the pipeline takes.
const maxAnswer = 4 << 20

// unmaskResponse rewrites the member "schema" of an answer's object. Answers that are a bare schema are no part of what the services ask for.
func unmaskResponse(response *http.Response) error {
	if response.Request.Method != http.MethodGet {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer of the registry: %w", err)
	}
	if err := response.Body.Close(); err != nil {
		return fmt.Errorf("read answer of the registry: %w", err)
	}
	body = unmask(body)
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

var class = regexp.MustCompile(`("playhead\.pii"\s*:\s*)"[^"]*"`)

// unmask changes the classes in an answer with a schema. Everything else of the schema stays byte for byte.
func unmask(answer []byte) []byte {
	var members map[string]json.RawMessage
	var schema string
	if json.Unmarshal(answer, &members) != nil || json.Unmarshal(members["schema"], &schema) != nil {
		return answer
	}
	text, err := json.Marshal(class.ReplaceAllString(schema, `${1}"none"`))
	if err != nil {
		return answer
	}
	members["schema"] = text
	changed, err := json.Marshal(members)
	if err != nil {
		return answer
	}
	return changed
}
