package registryserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
)

const (
	contentType  = "application/vnd.schemaregistry.v1+json"
	maxBodyBytes = 2 << 20 // a schema of 512 KiB, quoted as JSON text inside JSON

	readWrite = "READWRITE"
	readOnly  = "READONLY"
)

// Params configure a Server.
type Params struct {
	// Dir keeps the registry's file; empty keeps everything in memory.
	Dir    string
	Logger *slog.Logger
}

// Server is a schema registry. It is safe for concurrent use.
type Server struct {
	logger *slog.Logger

	mu      sync.Mutex
	state   *state
	journal *journal
}

// New opens the registry in p.Dir and replays its file.
func New(p Params) (*Server, error) {
	st := newState()
	j, err := openJournal(p.Dir, st)
	if err != nil {
		return nil, err
	}
	return &Server{logger: p.Logger, state: st, journal: j}, nil
}

// Close closes the registry's file. No request may be running.
func (s *Server) Close() error { return s.journal.close() }

// handler answers one route: a value that becomes the JSON answer, or an error; an *apiError is the client's fault.
type handler func(r *http.Request) (any, error)

// Handler returns the REST routes.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /{$}":           func(*http.Request) (any, error) { return struct{}{}, nil },
		"GET /schemas/types": func(*http.Request) (any, error) { return []string{"AVRO"}, nil },

		"GET /schemas/ids/{id}":          s.schemaByID,
		"GET /schemas/ids/{id}/schema":   s.schemaText,
		"GET /schemas/ids/{id}/versions": s.versionsOfID,
		"GET /schemas/ids/{id}/subjects": s.subjectsOfID,

		"GET /subjects":                                     s.listSubjects,
		"POST /subjects/{subject}":                          s.lookup,
		"DELETE /subjects/{subject}":                        s.deleteSubject,
		"GET /subjects/{subject}/versions":                  s.listVersions,
		"POST /subjects/{subject}/versions":                 s.register,
		"GET /subjects/{subject}/versions/{version}":        s.getVersion,
		"GET /subjects/{subject}/versions/{version}/schema": s.getVersionSchema,
		"DELETE /subjects/{subject}/versions/{version}":     s.deleteVersion,

		"POST /compatibility/subjects/{subject}/versions":           s.checkAll,
		"POST /compatibility/subjects/{subject}/versions/{version}": s.checkOne,

		"GET /config":              s.getLevel,
		"PUT /config":              s.putLevel,
		"DELETE /config":           s.deleteLevel,
		"GET /config/{subject}":    s.getLevel,
		"PUT /config/{subject}":    s.putLevel,
		"DELETE /config/{subject}": s.deleteLevel,
		"GET /mode":                s.getMode,
		"PUT /mode":                s.putMode,
		"GET /mode/{subject}":      s.getMode,
		"PUT /mode/{subject}":      s.putMode,
		"DELETE /mode/{subject}":   s.deleteMode,
	} {
		mux.Handle(pattern, s.serve(h))
	}
	return mux
}

// serve runs h under the lock: requests are few and short, and each sees a whole state.
func (s *Server) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The body is read before the lock is taken: a slow client must not hold up the others.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
		var answer any
		if err != nil {
			err = badBody("read request body: %v", err)
		} else {
			r.Body = io.NopCloser(bytes.NewReader(body))
			s.mu.Lock()
			answer, err = h(r)
			s.mu.Unlock()
		}
		status := http.StatusOK
		if err != nil {
			var failed *apiError
			if !errors.As(err, &failed) {
				s.logger.Error("registry request failed", "method", r.Method, "path", r.URL.Path, "error", err)
				failed = &apiError{http.StatusInternalServerError, 50001, "Error in the backend data store"}
			}
			status, answer = failed.status, failed
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(answer); err != nil {
			s.logger.Debug("registry answer was not read", "path", r.URL.Path, "error", err)
		}
	})
}

// commit makes records durable, then visible.
func (s *Server) commit(records ...record) error {
	if err := s.journal.append(records...); err != nil {
		return err
	}
	for _, r := range records {
		s.state.apply(r)
	}
	return nil
}

// decodeBody reads the JSON body into v. Members that the server does not know are ignored, as Confluent's does.
func decodeBody(r *http.Request, v any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return badBody("read request body: %v", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return badBody("request body is not JSON as expected: %v", err)
	}
	return nil
}

func flag(r *http.Request, name string) bool { return r.URL.Query().Get(name) == "true" }

// pathID returns the {id} of the path; one that is no number is an unknown path, as it is in Confluent's server.
func pathID(r *http.Request) (int, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return 0, &apiError{http.StatusNotFound, 404, "HTTP 404 Not Found"}
	}
	return id, nil
}
