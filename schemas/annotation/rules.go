package annotation

// roleType is what a field with a role must look like.
type roleType struct {
	name     string // Avro type, empty for any
	logical  string
	required bool // not nullable: part of a key or of a partition path
	filled   bool // by the router: nullable with default null
}

var roleTypes = map[string]roleType{
	RoleEventID:      {name: "string", required: true},
	RoleSessionID:    {name: "string", required: true},
	RoleEventTime:    {name: "long", logical: "timestamp-micros", required: true},
	RoleSessionStart: {name: "long", logical: "timestamp-micros", required: true},
	RoleSequence:     {name: "long"},
	RoleReceivedAt:   {name: "long", logical: "timestamp-micros", filled: true},
	RoleSource:       {name: "string", filled: true},
	RoleTenant:       {name: "string", filled: true},
	RoleEventType:    {name: "string"},
	RolePosition:     {name: "long"},
	RoleBitrate:      {name: "int"},
	RoleBuffer:       {name: "int"},
	RoleError:        {},
	RoleErrorFatal:   {name: "boolean"},
}

func (w *walker) checkRole(f Field, def map[string]any) {
	if v, ok := def["playhead.role"]; !ok {
		return
	} else if text, isText := v.(string); !isText || text == "" {
		w.errorf(f.Path, RuleRole, "playhead.role is not a text")
		return
	}
	want, known := roleTypes[f.Role]
	if !known {
		w.errorf(f.Path, RuleRole, "role %q is not known", f.Role)
		return
	}
	if other, taken := w.contract.roles[f.Role]; taken {
		w.errorf(f.Path, RuleRole, "role %q belongs to field %s already", f.Role, other)
		return
	}
	w.contract.roles[f.Role] = f.Path
	if f.Contained {
		w.errorf(f.Path, RuleRole, "role %q inside an array or a map", f.Role)
	}
	if want.name != "" && (f.Type != want.name || f.Logical != want.logical) {
		w.errorf(f.Path, RuleRole, "role %q needs type %s %s", f.Role, want.name, want.logical)
	}
	if want.required && f.Nullable {
		w.errorf(f.Path, RuleRole, "role %q needs a field that is not nullable", f.Role)
	}
	if v, ok := def["default"]; want.filled && (!f.Nullable || !ok || v != nil) {
		w.errorf(f.Path, RuleRole, "role %q is filled in by the router and needs a nullable field with default null", f.Role)
	}
}

// checkPII checks that a field that needs a class has one, and that protecting it keeps its type. The router masks where a
// value lies at most once per event; inside arrays and maps a value can only pass, or go with the whole container.
func (w *walker) checkPII(f Field, t resolved, s scope) {
	switch f.PII {
	case Unclassified:
		if w.textual(t, s) {
			w.errorf(f.Path, RuleUnclassified, "a field of type %s needs the property playhead.pii", f.Type)
		}
		return
	case None:
		return
	case Drop:
		if !f.Nullable && !f.HasDefault {
			w.errorf(f.Path, RulePII, "class drop needs a nullable field or a default")
		}
	case Pseudonym, IP:
		if f.Type != "string" || f.Logical != "" {
			w.errorf(f.Path, RulePII, "class %s needs a plain string", f.PII)
		}
	default:
		w.errorf(f.Path, RulePII, "class %q is not known", f.PII)
	}
	if s.contained && !s.dropped {
		w.errorf(f.Path, RulePII, "class %s inside an array or a map is not supported: drop the whole array or map", f.PII)
	}
	if isKey(f) && f.PII != Pseudonym {
		w.errorf(f.Path, RulePII, "class %s would make the key field %s empty or equal", f.PII, f.Role)
	}
}

// isKey says whether a field is part of the record key.
func isKey(f Field) bool { return f.Role == RoleEventID || f.Role == RoleSessionID }
