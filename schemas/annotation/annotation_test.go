package annotation_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
)

// keys are the fields that every contract needs.
const keys = `
	{"name":"event_id","type":"string","playhead.role":"event_id","playhead.pii":"none"},
	{"name":"session_id","type":"string","playhead.role":"session_id","playhead.pii":"none"},
	{"name":"event_time","type":{"type":"long","logicalType":"timestamp-micros"},"playhead.role":"event_time"}`

func record(fields ...string) []byte {
	all := append([]string{keys}, fields...)
	return fmt.Appendf(nil, `{"type":"record","name":"E","namespace":"t","playhead.domain":"d","fields":[%s]}`, strings.Join(all, ","))
}

func TestParse(t *testing.T) {
	t.Parallel()
	c, err := annotation.Parse(record(
		`{"name":"received_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null,"playhead.role":"received_at"}`,
		`{"name":"ip","type":["null","string"],"default":null,"playhead.pii":"ip"}`,
		`{"name":"net","type":["null",{"type":"record","name":"Net","fields":[{"name":"user","type":"string","playhead.pii":"pseudonym"}]}]}`,
		`{"name":"again","type":"Net"}`,
		`{"name":"cells","type":{"type":"array","items":{"type":"record","name":"Cell","fields":[{"name":"n","type":"string","playhead.pii":"none"}]}}}`,
		`{"name":"notes","type":["null",{"type":"array","items":"string"}],"playhead.pii":"drop"}`,
		`{"name":"price","type":{"type":"fixed","name":"P","size":8,"logicalType":"decimal","precision":18,"scale":4}}`,
	))
	if err != nil {
		t.Fatal(err)
	}
	if c.Domain != "d" {
		t.Errorf("domain %q, want d", c.Domain)
	}
	if path, ok := c.Role(annotation.RoleReceivedAt); !ok || path != "received_at" {
		t.Errorf("role received_at is on %q, %t", path, ok)
	}
	if _, ok := c.Role(annotation.RoleSource); ok {
		t.Error("role source found, which no field has")
	}
	var paths []string
	for _, f := range c.Fields {
		paths = append(paths, f.Path)
	}
	want := []string{
		"event_id", "session_id", "event_time", "received_at", "ip", "net", "net.user", "again", "again.user", "cells", "cells.n", "notes", "price",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("fields %v, want %v", paths, want)
	}
	user := c.Fields[slices.Index(paths, "net.user")]
	if user.PII != annotation.Pseudonym || user.Type != "string" || user.Nullable || user.Contained {
		t.Errorf("net.user is %+v", user)
	}
	if n := c.Fields[slices.Index(paths, "cells.n")]; !n.Contained {
		t.Errorf("cells.n is %+v, want it contained", n)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	rec := `{"type":"record","name":"R","fields":[{"name":"x","type":"int"}]}`
	tests := map[string]struct {
		field string // added to a valid record
		path  string
		rule  annotation.Rule
	}{
		"unclassified text":             {`{"name":"a","type":"string"}`, "a", annotation.RuleUnclassified},
		"unclassified nullable text":    {`{"name":"a","type":["null","string"]}`, "a", annotation.RuleUnclassified},
		"unclassified bytes":            {`{"name":"a","type":"bytes"}`, "a", annotation.RuleUnclassified},
		"unclassified fixed":            {`{"name":"a","type":{"type":"fixed","name":"F","size":16}}`, "a", annotation.RuleUnclassified},
		"unclassified array":            {`{"name":"a","type":{"type":"array","items":"string"}}`, "a", annotation.RuleUnclassified},
		"unclassified map keys":         {`{"name":"a","type":{"type":"map","values":"int"}}`, "a", annotation.RuleUnclassified},
		"unclassified nested":           {`{"name":"a","type":{"type":"record","name":"N","fields":[{"name":"b","type":"string"}]}}`, "a.b", annotation.RuleUnclassified},
		"unclassified in array":         {`{"name":"a","type":{"type":"array","items":{"type":"record","name":"N","fields":[{"name":"b","type":"string"}]}}}`, "a.b", annotation.RuleUnclassified},
		"unclassified second use":       {`{"name":"r","type":` + rec + `},{"name":"a","type":{"type":"array","items":{"type":"array","items":"bytes"}}}`, "a", annotation.RuleUnclassified},
		"unknown class":                 {`{"name":"a","type":"string","playhead.pii":"nome"}`, "a", annotation.RulePII},
		"class is no text":              {`{"name":"a","type":"string","playhead.pii":false}`, "a", annotation.RulePII},
		"drop without null or default":  {`{"name":"a","type":"string","playhead.pii":"drop"}`, "a", annotation.RulePII},
		"pseudonym changes the type":    {`{"name":"a","type":"long","playhead.pii":"pseudonym"}`, "a", annotation.RulePII},
		"pseudonym of bytes":            {`{"name":"a","type":"bytes","playhead.pii":"pseudonym"}`, "a", annotation.RulePII},
		"ip of uuid":                    {`{"name":"a","type":{"type":"string","logicalType":"uuid"},"playhead.pii":"ip"}`, "a", annotation.RulePII},
		"pseudonym of items":            {`{"name":"a","type":{"type":"array","items":"string"},"playhead.pii":"pseudonym"}`, "a", annotation.RulePII},
		"pseudonym in array":            {`{"name":"a","type":{"type":"array","items":{"type":"record","name":"N","fields":[{"name":"b","type":"string","playhead.pii":"pseudonym"}]}}}`, "a.b", annotation.RulePII},
		"drop in map":                   {`{"name":"a","playhead.pii":"none","type":{"type":"map","values":{"type":"record","name":"N","fields":[{"name":"b","type":["null","string"],"playhead.pii":"drop"}]}}}`, "a.b", annotation.RulePII},
		"unknown role":                  {`{"name":"a","type":"long","playhead.role":"sequenze"}`, "a", annotation.RuleRole},
		"role is no text":               {`{"name":"a","type":"long","playhead.role":1}`, "a", annotation.RuleRole},
		"role twice":                    {`{"name":"a","type":"string","playhead.role":"event_id","playhead.pii":"none"}`, "a", annotation.RuleRole},
		"role of another type":          {`{"name":"a","type":"int","playhead.role":"sequence"}`, "a", annotation.RuleRole},
		"role in array":                 {`{"name":"a","type":{"type":"array","items":{"type":"record","name":"N","fields":[{"name":"b","type":"long","playhead.role":"sequence"}]}}}`, "a.b", annotation.RuleRole},
		"filled field not nullable":     {`{"name":"a","type":"string","default":"","playhead.role":"tenant","playhead.pii":"none"}`, "a", annotation.RuleRole},
		"filled field without default":  {`{"name":"a","type":["null","string"],"playhead.role":"source","playhead.pii":"none"}`, "a", annotation.RuleRole},
		"filled field, default is text": {`{"name":"a","type":["string","null"],"default":"x","playhead.role":"source","playhead.pii":"none"}`, "a", annotation.RuleRole},
		"session start nullable":        {`{"name":"a","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"playhead.role":"session_start"}`, "a", annotation.RuleRole},
		"names differ in case":          {`{"name":"Event_ID","type":"int"}`, "Event_ID", annotation.RuleName},
		"name occurs twice":             {`{"name":"a","type":"int"},{"name":"a","type":"int"}`, "a", annotation.RuleName},
		"nested names differ in case":   {`{"name":"a","type":{"type":"record","name":"N","fields":[{"name":"b","type":"int"},{"name":"B","type":"int"}]}}`, "a.B", annotation.RuleName},
		"table format's name":           {`{"name":"_hoodie_commit_time","type":"int"}`, "_hoodie_commit_time", annotation.RuleName},
		"enum":                          {`{"name":"a","type":{"type":"enum","name":"N","symbols":["X"]}}`, "a", annotation.RuleType},
		"milliseconds":                  {`{"name":"a","type":{"type":"long","logicalType":"timestamp-millis"}}`, "a", annotation.RuleType},
		"local time":                    {`{"name":"a","type":{"type":"long","logicalType":"local-timestamp-micros"}}`, "a", annotation.RuleType},
		"decimal on bytes":              {`{"name":"a","type":{"type":"bytes","logicalType":"decimal","precision":4},"playhead.pii":"none"}`, "a", annotation.RuleType},
		"null item":                     {`{"name":"a","type":{"type":"array","items":["null","string"]},"playhead.pii":"none"}`, "a", annotation.RuleType},
		"wide union":                    {`{"name":"a","type":["null","int","string"],"playhead.pii":"none"}`, "a", annotation.RuleType},
		"bare null":                     {`{"name":"a","type":"null"}`, "a", annotation.RuleType},
		"unknown type":                  {`{"name":"a","type":"Nowhere"}`, "a", annotation.RuleType},
		"union in union":                {`{"name":"a","type":["null",["null","int"]]}`, "a", annotation.RuleSchema},
		"type is a number":              {`{"name":"a","type":3}`, "a", annotation.RuleSchema},
		"type without type":             {`{"name":"a","type":{"name":"x"}}`, "a", annotation.RuleSchema},
		"no name":                       {`{"type":"int"}`, "", annotation.RuleSchema},
		"record without fields":         {`{"name":"a","type":{"type":"record","name":"N"}}`, "a", annotation.RuleSchema},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := annotation.Parse(record(test.field))
			var e *annotation.Error
			if !errors.As(err, &e) {
				t.Fatalf("got error %v, want an *annotation.Error", err)
			}
			if e.Field != test.path || e.Rule != test.rule {
				t.Errorf("refused field %q by rule %q (%v), want field %q by rule %q", e.Field, e.Rule, e, test.path, test.rule)
			}
		})
	}
}

func TestRefusesWholeSchema(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		schema string
		rule   annotation.Rule
	}{
		"not JSON":       {`{`, annotation.RuleSchema},
		"not an object":  {`"string"`, annotation.RuleSchema},
		"not a record":   {`{"type":"fixed","name":"F","size":1}`, annotation.RuleSchema},
		"no key fields":  {`{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`, annotation.RuleMissingRole},
		"nullable key":   {`{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"],"playhead.role":"event_id","playhead.pii":"none"}]}`, annotation.RuleRole},
		"dropped key":    {`{"type":"record","name":"R","fields":[{"name":"a","type":"string","default":"","playhead.role":"event_id","playhead.pii":"drop"}]}`, annotation.RulePII},
		"recursive type": {`{"type":"record","name":"R","fields":[{"name":"a","type":["null","R"]}]}`, annotation.RuleSchema},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := annotation.Parse([]byte(test.schema))
			var e *annotation.Error
			if !errors.As(err, &e) || e.Rule != test.rule {
				t.Errorf("got error %v, want rule %q", err, test.rule)
			}
		})
	}
}

// A schema's owner sees every fault in one go.
func TestReportsAllFaults(t *testing.T) {
	t.Parallel()
	_, err := annotation.Parse(record(`{"name":"a","type":"string"}`, `{"name":"b","type":"bytes"}`))
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("got %v, want two faults", err)
	}
}

// Named types used twice at each of 40 levels would expand to 2^40 fields.
func TestBoundsExpansion(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"name":"l0","type":{"type":"record","name":"L0","fields":[{"name":"x","type":"int"}]}}`)
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&b, `,{"name":"l%d","type":{"type":"record","name":"L%d","fields":[{"name":"x","type":"L%d"},{"name":"y","type":"L%d"}]}}`, i, i, i-1, i-1)
	}
	_, err := annotation.Parse(record(b.String()))
	var e *annotation.Error
	if !errors.As(err, &e) || e.Rule != annotation.RuleSchema {
		t.Errorf("got error %.200v, want rule %q", err, annotation.RuleSchema)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(record(`{"name":"a","type":["null",{"type":"array","items":"string"}],"playhead.pii":"drop"}`))
	f.Add([]byte(`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"map","values":"R"}}]}`))
	f.Fuzz(func(t *testing.T, schema []byte) {
		c, err := annotation.Parse(schema)
		if (c == nil) == (err == nil) {
			t.Fatalf("contract %v with error %v", c, err)
		}
	})
}
