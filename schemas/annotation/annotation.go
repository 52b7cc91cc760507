// Package annotation reads what the fields of an event's Avro schema mean, and refuses a schema whose meaning the pipeline
// could not keep: a field's property "playhead.role" says what the field is, "playhead.pii" how it is protected.
//
// It owns the vocabulary of the two properties and the rules about them. Reading events, masking and compatibility between
// versions are for others. It works on the schema's text alone and reads no property by any other name; that the text is
// valid Avro in every respect is checked by whoever compiles it.
package annotation

import (
	"errors"
	"fmt"
)

// The roles a field can have.
const (
	RoleEventID      = "event_id"
	RoleSessionID    = "session_id"
	RoleEventTime    = "event_time"
	RoleSessionStart = "session_start"
	RoleSequence     = "sequence"
	// The router fills in the next three.
	RoleReceivedAt = "received_at"
	RoleSource     = "source"
	RoleTenant     = "tenant"
	// The session roll-up reads the next six.
	RoleEventType = "event_type"
	RolePosition  = "position"
	RoleBitrate   = "bitrate"
	RoleBuffer    = "buffer"
	RoleError     = "error"
	// RoleErrorFatal says whether the fault ended the playback.
	RoleErrorFatal = "error_fatal"
)

// PII is how a field's value is protected before it leaves the router.
type PII string

// The classes of protection.
const (
	// Unclassified is the class of a field that needs none, being neither text nor bytes.
	Unclassified PII = ""
	// None lets the value pass.
	None PII = "none"
	// Pseudonym replaces the text by a keyed hash.
	Pseudonym PII = "pseudonym"
	// Drop replaces the value by null, or by the default of a field that is not nullable.
	Drop PII = "drop"
	// IP cuts an address to its network.
	IP PII = "ip"
)

// Contract is what a schema promises about its events.
type Contract struct {
	// Domain is the record's property "playhead.domain": which roll-up takes the events, if any.
	Domain string
	// Fields are all fields, depth first, a record before its fields.
	Fields []Field

	roles map[string]string
}

// Field is one field of a contract.
type Field struct {
	// Path joins the names from the root, as "error.code". Fields of records in arrays and maps are in it like others.
	Path string
	Role string
	PII  PII
	// Type is the Avro type of the value, without the null of a nullable field: "string", "record", "array" ...
	Type string
	// Logical is the type's logical type, or empty.
	Logical    string
	Nullable   bool
	HasDefault bool
	// Contained says that the field lies inside an array or a map, so that an event can hold several.
	Contained bool
}

// Role returns the path of the field that has a role.
func (c *Contract) Role(role string) (path string, ok bool) {
	path, ok = c.roles[role]
	return path, ok
}

// Rule names a rule that a schema breaks.
type Rule string

// The rules.
const (
	// RuleSchema: the text must be JSON and a record schema of the usual form.
	RuleSchema Rule = "schema"
	// RuleName: names in one record must differ in more than case, and must not begin with "_hoodie".
	RuleName Rule = "name"
	// RuleType: only types that every engine reads back the same.
	RuleType Rule = "type"
	// RuleRole: a role must be known, given once, on a field of its type outside of arrays and maps.
	RuleRole Rule = "role"
	// RuleMissingRole: event_id, session_id and event_time must be there.
	RuleMissingRole Rule = "missing role"
	// RuleUnclassified: every text and bytes field has a class.
	RuleUnclassified Rule = "unclassified"
	// RulePII: a class must be known and must keep the field's type.
	RulePII Rule = "pii"
)

// Error is one rule broken by one field. Parse joins several into one error.
type Error struct {
	// Field is the path, empty for the schema as a whole.
	Field  string
	Rule   Rule
	Reason string
}

func (e *Error) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("annotations: %s", e.Reason)
	}
	return fmt.Sprintf("annotations: field %s: %s", e.Field, e.Reason)
}

// Parse reads a schema's contract. It returns all broken rules at once, each an *Error, joined as errors.Join does.
func Parse(schema []byte) (*Contract, error) {
	w := &walker{named: map[string]map[string]any{}, contract: &Contract{roles: map[string]string{}}}
	w.root(schema)
	if len(w.errs) > 0 {
		return nil, errors.Join(w.errs...)
	}
	return w.contract, nil
}
