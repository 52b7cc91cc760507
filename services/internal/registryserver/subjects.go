package registryserver

import (
	"net/http"
	"slices"
	"strconv"
)

// schemaBody is the body of requests that carry a schema.
type schemaBody struct {
	Schema string `json:"schema"`
	Type   string `json:"schemaType"`
}

// subjectVersion is the answer about one version of a subject.
type subjectVersion struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

func decodeSchema(r *http.Request) (string, error) {
	var body schemaBody
	if err := decodeBody(r, &body); err != nil {
		return "", err
	}
	if body.Type != "" && body.Type != "AVRO" {
		return "", invalidSchema("schema type " + body.Type + " is not supported")
	}
	if _, failed := parseSchema(body.Schema); failed != nil {
		return "", failed
	}
	return body.Schema, nil
}

// live returns the versions of a subject that are not deleted, or all with deleted; none at all is a 40401.
func (s *Server) live(subject string, deleted bool) ([]*version, error) {
	var out []*version
	for _, v := range s.state.subjects[subject] {
		if deleted || !v.deleted {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, subjectNotFound(subject)
	}
	return out, nil
}

// pick returns the version that the path names, "latest" and "-1" being the newest.
func (s *Server) pick(r *http.Request, deleted bool) (*version, error) {
	text := r.PathValue("version")
	number, err := strconv.ParseInt(text, 10, 32)
	if text != "latest" && number != -1 && (err != nil || number < 1) {
		return nil, invalidVersion(text)
	}
	versions, err := s.live(r.PathValue("subject"), deleted)
	if err != nil {
		return nil, err
	}
	if text == "latest" || number == -1 {
		return versions[len(versions)-1], nil
	}
	for _, v := range versions {
		if v.number == int(number) {
			return v, nil
		}
	}
	return nil, versionNotFound(int(number))
}

func numbers(versions []*version) []int {
	out := make([]int, 0, len(versions))
	for _, v := range versions {
		out = append(out, v.number)
	}
	return out
}

func (s *Server) listSubjects(r *http.Request) (any, error) {
	out := []string{}
	for subject := range s.state.subjects {
		if _, err := s.live(subject, flag(r, "deleted")); err == nil {
			out = append(out, subject)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (s *Server) listVersions(r *http.Request) (any, error) {
	versions, err := s.live(r.PathValue("subject"), flag(r, "deleted"))
	if err != nil {
		return nil, err
	}
	return numbers(versions), nil
}

func (s *Server) getVersion(r *http.Request) (any, error) {
	v, err := s.pick(r, flag(r, "deleted"))
	if err != nil {
		return nil, err
	}
	return subjectVersion{r.PathValue("subject"), v.number, v.id, s.state.texts[v.id]}, nil
}

func (s *Server) getVersionSchema(r *http.Request) (any, error) {
	v, err := s.pick(r, flag(r, "deleted"))
	if err != nil {
		return nil, err
	}
	return rawSchema(s.state.texts[v.id]), nil
}

// lookup finds the version of a subject that has the given schema.
func (s *Server) lookup(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	text, err := decodeSchema(r)
	if err != nil {
		return nil, err
	}
	versions, err := s.live(subject, flag(r, "deleted"))
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if canonical(s.state.texts[v.id]) == canonical(text) {
			return subjectVersion{subject, v.number, v.id, s.state.texts[v.id]}, nil
		}
	}
	return nil, schemaNotFound()
}

// register adds a version, or answers the id of the one that has the schema already.
func (s *Server) register(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	text, err := decodeSchema(r)
	if err != nil {
		return nil, err
	}
	answer := func(id int) any { return map[string]int{"id": id} }
	form := canonical(text)
	var earlier []string
	last := 0
	for _, v := range s.state.subjects[subject] {
		last = max(last, v.number)
		if v.deleted {
			continue
		}
		if canonical(s.state.texts[v.id]) == form {
			return answer(v.id), nil
		}
		earlier = append(earlier, s.state.texts[v.id])
	}
	if s.mode(subject) == readOnly {
		return nil, subjectReadOnly(subject)
	}
	level := s.level(subject)
	messages, failed := check(level, text, earlier)
	if failed != nil {
		return nil, failed
	}
	if len(messages) > 0 {
		return nil, incompatible(level, messages)
	}
	var records []record
	id, known := s.state.ids[form]
	if !known {
		id = s.state.lastID + 1
		records = append(records, record{Op: "schema", ID: id, Text: text})
	}
	records = append(records, record{Op: "version", Subject: subject, Version: last + 1, ID: id})
	return answer(id), s.commit(records...)
}

func (s *Server) deleteSubject(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	all := s.state.subjects[subject]
	if len(all) == 0 {
		return nil, subjectNotFound(subject)
	}
	if s.mode(subject) == readOnly {
		return nil, subjectReadOnly(subject)
	}
	live, _ := s.live(subject, false)
	var records []record
	if flag(r, "permanent") {
		if len(live) > 0 {
			return nil, notSoftDeleted(subject)
		}
		deleted := numbers(all)
		for _, number := range deleted {
			records = append(records, record{Op: "hard", Subject: subject, Version: number})
		}
		return deleted, s.commit(records...)
	}
	if len(live) == 0 {
		return nil, softDeleted(subject)
	}
	for _, v := range live {
		records = append(records, record{Op: "soft", Subject: subject, Version: v.number})
	}
	return numbers(live), s.commit(records...)
}

func (s *Server) deleteVersion(r *http.Request) (any, error) {
	subject := r.PathValue("subject")
	v, err := s.pick(r, true)
	if err != nil {
		return nil, err
	}
	op := "soft"
	switch {
	case s.mode(subject) == readOnly:
		return nil, subjectReadOnly(subject)
	case flag(r, "permanent") && !v.deleted:
		return nil, versionNotSoftDeleted(subject, v.number)
	case flag(r, "permanent"):
		op = "hard"
	case v.deleted:
		return nil, versionSoftDeleted(subject, v.number)
	}
	number := v.number
	return number, s.commit(record{Op: op, Subject: subject, Version: number})
}

func (s *Server) checkOne(r *http.Request) (any, error) {
	text, err := decodeSchema(r)
	if err != nil {
		return nil, err
	}
	subject := r.PathValue("subject")
	v, err := s.pick(r, false)
	if err != nil {
		return nil, err
	}
	return s.verdict(r, subject, text, []string{s.state.texts[v.id]})
}

func (s *Server) checkAll(r *http.Request) (any, error) {
	text, err := decodeSchema(r)
	if err != nil {
		return nil, err
	}
	subject := r.PathValue("subject")
	versions, err := s.live(subject, false)
	if err != nil {
		return nil, err
	}
	var earlier []string
	for _, v := range versions {
		earlier = append(earlier, s.state.texts[v.id])
	}
	return s.verdict(r, subject, text, earlier)
}

func (s *Server) verdict(r *http.Request, subject, text string, earlier []string) (any, error) {
	messages, failed := check(s.level(subject), text, earlier)
	if failed != nil {
		return nil, failed
	}
	answer := struct {
		Compatible bool     `json:"is_compatible"`
		Messages   []string `json:"messages,omitempty"`
	}{Compatible: len(messages) == 0}
	if flag(r, "verbose") {
		answer.Messages = messages
	}
	return answer, nil
}

// usesOf calls yield for each version, not deleted unless asked for, that has the schema of the path's id.
func (s *Server) usesOf(r *http.Request, yield func(subject string, v *version)) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if _, ok := s.state.texts[id]; !ok {
		return schemaNotFound()
	}
	subjects := make([]string, 0, len(s.state.subjects))
	for subject := range s.state.subjects {
		subjects = append(subjects, subject)
	}
	slices.Sort(subjects)
	for _, subject := range subjects {
		for _, v := range s.state.subjects[subject] {
			if v.id == id && (!v.deleted || flag(r, "deleted")) {
				yield(subject, v)
			}
		}
	}
	return nil
}
