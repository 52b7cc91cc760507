package transcode

import "slices"

// record reads an object into the fields of a record.
//
// Producers write their members in one order for ever, mostly that of the schema with some left out. So values are appended
// as they come, and where one comes later than the schema has it, the fallbacks of the fields in between are put before it.
// Only if one of those comes after all, or a value comes too early to be placed, is the record put together anew.
func (s *state) record(dst []byte, r *record) ([]byte, bool) {
	if s.peek() != '{' {
		return dst, s.mismatch()
	}
	open := s.at
	s.at++
	first, start := len(s.segments), len(dst)
	s.segments = slices.Grow(s.segments, len(r.fields))[:first+len(r.fields)]
	clear(s.segments[first:])
	next, inOrder := 0, true // fields before next are given or have their fallback in dst
	last := -1               // the field that came last
	for count := 0; ; count++ {
		more, ok := s.next('}', count)
		if !ok {
			return dst, false
		}
		if !more {
			break
		}
		offset := s.at
		i, ok := s.member(r, last)
		if !ok {
			return dst, false
		}
		last = i
		f := &r.fields[i]
		seg := &s.segments[first+i]
		switch {
		case seg.given:
			s.fail(DuplicateField, offset)
			return dst, s.within(step{name: f.name})
		case i >= next:
			dst = s.fill(dst, r, first, next, i)
			next = i + 1
		default:
			inOrder = false
		}
		valueAt := len(dst)
		if dst, ok = s.fieldValue(dst, f); !ok {
			return dst, s.within(step{name: f.name})
		}
		// The segments may have moved while the value was read.
		s.segments[first+i] = segment{start: valueAt, end: len(dst), given: true}
	}
	dst = s.fill(dst, r, first, next, len(r.fields))
	return s.finish(dst, r, first, start, open, inOrder)
}

// fieldValue reads the value of a record's field.
func (s *state) fieldValue(dst []byte, f *field) ([]byte, bool) {
	if f.node.nullIndex < 0 && s.peek() == 'n' {
		offset := s.at
		if s.literal("null") {
			s.fail(MissingField, offset)
		}
		return dst, false
	}
	return s.value(dst, f.node)
}

// fill appends the fallbacks of fields [from, to), which have not come so far.
func (s *state) fill(dst []byte, r *record, first, from, to int) []byte {
	for i := from; i < to; i++ {
		start := len(dst)
		dst = append(dst, r.fields[i].fallback...)
		s.segments[first+i] = segment{start: start, end: len(dst)}
	}
	return dst
}

// finish checks that all fields are there, and brings them into order if they are not.
func (s *state) finish(dst []byte, r *record, first, start, open int, inOrder bool) ([]byte, bool) {
	segments := s.segments[first:]
	for i := range segments {
		if !segments[i].given && r.fields[i].fallback == nil {
			s.fail(MissingField, open)
			return dst, s.within(step{name: r.fields[i].name})
		}
	}
	if !inOrder {
		s.stitched = s.stitched[:0]
		for _, seg := range segments {
			s.stitched = append(s.stitched, dst[seg.start:seg.end]...)
		}
		dst = append(dst[:start], s.stitched...)
	}
	s.segments = s.segments[:first]
	return dst, s.fits(dst, open)
}

// member reads the name of the member after field last, and the colon, and returns the field's index.
func (s *state) member(r *record, last int) (int, bool) {
	guess := int(r.after[last+1].Load())
	if s.isName(r.fields[guess].name) {
		return guess, s.colon()
	}
	offset := s.at
	name, ok := s.name()
	if !ok {
		return 0, false
	}
	i, known := r.byName[string(name)]
	if !known {
		s.fail(UnknownField, offset)
		if looksLikeName(name) {
			s.within(step{name: string(name)})
		}
		return 0, false
	}
	r.after[last+1].Store(int32(i))
	return i, true
}

// isName reads a member's name if it is the given one, written without escapes.
func (s *state) isName(name string) bool {
	end := s.at + 1 + len(name)
	if end >= len(s.json) || s.json[s.at] != '"' || s.json[end] != '"' || string(s.json[s.at+1:end]) != name {
		return false
	}
	s.at = end + 1
	return true
}

// looksLikeName says whether the name of an unknown member may be shown: a short word, not data that slipped into the wrong
// place.
func looksLikeName(name []byte) bool {
	for i, c := range name {
		letter := c == '_' || c == '-' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 64
}
