package registryserver

import (
	"encoding/json"
	"net/http"
)

// rawSchema is a schema as an answer of its own: parseSchema lets only JSON text in.
func rawSchema(text string) json.RawMessage { return json.RawMessage(text) }

func (s *Server) text(r *http.Request) (string, error) {
	id, err := pathID(r)
	if err != nil {
		return "", err
	}
	text, ok := s.state.texts[id]
	if !ok {
		return "", schemaNotFound()
	}
	return text, nil
}

func (s *Server) schemaByID(r *http.Request) (any, error) {
	text, err := s.text(r)
	if err != nil {
		return nil, err
	}
	return map[string]string{"schema": text}, nil
}

func (s *Server) schemaText(r *http.Request) (any, error) {
	text, err := s.text(r)
	if err != nil {
		return nil, err
	}
	return rawSchema(text), nil
}

func (s *Server) versionsOfID(r *http.Request) (any, error) {
	type use struct {
		Subject string `json:"subject"`
		Version int    `json:"version"`
	}
	out := []use{}
	err := s.usesOf(r, func(subject string, v *version) { out = append(out, use{subject, v.number}) })
	return out, err
}

func (s *Server) subjectsOfID(r *http.Request) (any, error) {
	out := []string{}
	err := s.usesOf(r, func(subject string, _ *version) {
		if len(out) == 0 || out[len(out)-1] != subject {
			out = append(out, subject)
		}
	})
	return out, err
}

// level is the compatibility in force for a subject.
func (s *Server) level(subject string) Level {
	if level, ok := s.state.levels[subject]; ok {
		return level
	}
	return s.state.levels[""]
}

func (s *Server) mode(subject string) string {
	if mode, ok := s.state.modes[subject]; ok {
		return mode
	}
	return s.state.modes[""]
}

func (s *Server) getLevel(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	level, ok := s.state.levels[subject]
	if !ok {
		if !flag(r, "defaultToGlobal") {
			return nil, subjectNotFound(subject)
		}
		level = s.level(subject)
	}
	return map[string]Level{"compatibilityLevel": level}, nil
}

func (s *Server) putLevel(r *http.Request) (any, error) {
	var body struct {
		Compatibility string `json:"compatibility"`
	}
	if err := decodeBody(r, &body); err != nil {
		return nil, err
	}
	level, failed := parseLevel(body.Compatibility)
	if failed != nil {
		return nil, failed
	}
	return map[string]Level{"compatibility": level}, s.commit(record{Op: "level", Subject: r.PathValue("subject"), Text: string(level)})
}

// deleteLevel answers the level that was in force; the global one falls back to BACKWARD.
func (s *Server) deleteLevel(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	level, ok := s.state.levels[subject]
	if !ok {
		return nil, subjectNotFound(subject)
	}
	change := record{Op: "level", Subject: subject}
	if subject == "" {
		change.Text = string(Backward)
	}
	return map[string]Level{"compatibility": level}, s.commit(change)
}

func (s *Server) getMode(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	mode, ok := s.state.modes[subject]
	if !ok {
		if !flag(r, "defaultToGlobal") {
			return nil, &apiError{http.StatusNotFound, 40409, "Subject '" + subject + "' does not have subject-level mode configured"}
		}
		mode = s.mode(subject)
	}
	return map[string]string{"mode": mode}, nil
}

func (s *Server) putMode(r *http.Request) (any, error) {
	var body struct {
		Mode string `json:"mode"`
	}
	if err := decodeBody(r, &body); err != nil {
		return nil, err
	}
	if body.Mode != readWrite && body.Mode != readOnly {
		return nil, invalidMode()
	}
	return map[string]string{"mode": body.Mode}, s.commit(record{Op: "mode", Subject: r.PathValue("subject"), Text: body.Mode})
}

func (s *Server) deleteMode(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	mode, ok := s.state.modes[subject]
	if !ok {
		return nil, subjectNotFound(subject)
	}
	return map[string]string{"mode": mode}, s.commit(record{Op: "mode", Subject: subject})
}
