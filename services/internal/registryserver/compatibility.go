package registryserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hamba/avro/v2"
)

// Level is a compatibility level.
type Level string

// Compatibility levels, as Confluent documents them.
const (
	None               Level = "NONE"
	Backward           Level = "BACKWARD"
	BackwardTransitive Level = "BACKWARD_TRANSITIVE"
	Forward            Level = "FORWARD"
	ForwardTransitive  Level = "FORWARD_TRANSITIVE"
	Full               Level = "FULL"
	FullTransitive     Level = "FULL_TRANSITIVE"
)

func parseLevel(text string) (Level, *apiError) {
	switch level := Level(strings.ToUpper(text)); level {
	case None, Backward, BackwardTransitive, Forward, ForwardTransitive, Full, FullTransitive:
		return level, nil
	}
	return "", invalidLevel()
}

// parseSchema checks that text is an Avro schema. Each call has a cache of its own: named types of one schema must not leak into another.
func parseSchema(text string) (avro.Schema, *apiError) {
	if strings.TrimSpace(text) == "" {
		return nil, invalidSchema("empty schema")
	}
	if !json.Valid([]byte(text)) {
		return nil, invalidSchema("not JSON") // hamba takes a bare type name
	}
	schema, err := avro.ParseWithCache(text, "", &avro.SchemaCache{})
	if err != nil {
		return nil, invalidSchema(err.Error())
	}
	return schema, nil
}

// canonical is the form in which two texts of one schema are equal: JSON with sorted keys and without blanks.
func canonical(text string) string {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return text // never: parseSchema lets only JSON in
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return text
	}
	return strings.TrimSpace(out.String())
}

// check returns what speaks against candidate under level, given the earlier schemas, oldest first. Empty: compatible.
func check(level Level, candidate string, earlier []string) ([]string, *apiError) {
	if level == None || len(earlier) == 0 {
		return nil, nil
	}
	backward := level == Backward || level == BackwardTransitive || level == Full || level == FullTransitive
	forward := level == Forward || level == ForwardTransitive || level == Full || level == FullTransitive
	if level == Backward || level == Forward || level == Full {
		earlier = earlier[len(earlier)-1:]
	}
	var messages []string
	for _, text := range earlier {
		if backward {
			messages = append(messages, canRead(candidate, text, "the new schema cannot read data of an earlier one")...)
		}
		if forward {
			messages = append(messages, canRead(text, candidate, "an earlier schema cannot read data of the new one")...)
		}
	}
	return messages, nil
}

// canRead checks the Avro rules of schema resolution. The checker is new for each pair: it remembers pairs by a fingerprint that leaves
// out defaults, on which the answer depends.
func canRead(reader, writer, complaint string) []string {
	r, failed := parseSchema(reader)
	if failed != nil {
		return []string{failed.Message}
	}
	w, failed := parseSchema(writer)
	if failed != nil {
		return []string{failed.Message}
	}
	if err := avro.NewSchemaCompatibility().Compatible(r, w); err != nil {
		return []string{fmt.Sprintf("%s: %v", complaint, err)}
	}
	return nil
}
