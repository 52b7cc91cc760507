// Package mask rewrites the Avro body of an event before it leaves the router: personal data is replaced as the classes of its fields say,
// and the fields that the router fills are filled, in one pass over the spans that a scan found. It is pure; it decides nothing about
// whether an event is good, and knows fields only by their contract.
package mask

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"net/netip"
	"sync"

	"github.com/playhead-pipeline/playhead/schemas/annotation"
	"github.com/playhead-pipeline/playhead/services/internal/avroscan"
)

// Prefix lengths that class ip keeps.
const (
	ipv4Bits = 24
	ipv6Bits = 48
)

// MinKeyBytes is the shortest key: the length of the hash, below which HMAC loses strength (RFC 2104 section 3).
const MinKeyBytes = sha256.Size

type action uint8

const (
	pseudonym action = iota
	ip
	drop
	fillReceivedAt
	fillSource
	fillTenant
)

// edit replaces one slot.
type edit struct {
	slot   int
	action action
	// path is bound into pseudonyms.
	path string
	// nullable fields are unions: nullIndex and valueIndex are their branches.
	nullable              bool
	nullIndex, valueIndex int64
	// replacement is what a dropped field becomes, in Avro binary.
	replacement []byte
}

// Plan is what one schema needs. It is immutable and safe for concurrent use.
type Plan struct {
	edits []edit // in the order of the bytes
}

// Compile makes the plan of a schema. It refuses a contract that cannot be kept.
func Compile(p *avroscan.Program, c *annotation.Contract) (*Plan, error) {
	plan := &Plan{}
	byPath := make(map[string]annotation.Field, len(c.Fields))
	for _, f := range c.Fields {
		byPath[f.Path] = f
		if _, ok := p.Slot(f.Path); !ok && f.PII != annotation.None && f.PII != annotation.Unclassified {
			return nil, fmt.Errorf("field %s: class %s is not supported inside arrays and maps", f.Path, f.PII)
		}
	}
	for _, slot := range p.Slots() {
		f, ok := byPath[slot.Path]
		if !ok {
			return nil, fmt.Errorf("field %s: the contract does not have it", slot.Path)
		}
		e, needed, err := compileEdit(slot, f)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", slot.Path, err)
		}
		if needed {
			plan.edits = append(plan.edits, e)
		}
	}
	return plan, nil
}

func compileEdit(slot avroscan.Slot, f annotation.Field) (edit, bool, error) {
	e := edit{slot: slot.Index, path: slot.Path, nullable: slot.Nullable, nullIndex: int64(slot.NullIndex), valueIndex: int64(1 - slot.NullIndex)}
	if fill, ok := fills[f.Role]; ok {
		if !slot.Nullable {
			return e, false, errors.New("is filled by the router and must be nullable")
		}
		e.action = fill
		return e, true, nil
	}
	switch f.PII {
	case annotation.Unclassified, annotation.None:
		return e, false, nil
	case annotation.Pseudonym, annotation.IP:
		if k := slot.Type.Kind; k != avroscan.String && (k != avroscan.Bytes || f.PII == annotation.IP) {
			return e, false, fmt.Errorf("class %s does not keep the type %s", f.PII, k)
		}
		if slot.Type.Logical != "" {
			return e, false, fmt.Errorf("class %s does not keep the logical type %s", f.PII, slot.Type.Logical)
		}
		e.action = pseudonym
		if f.PII == annotation.IP {
			e.action = ip
		}
		return e, true, nil
	case annotation.Drop:
		e.action = drop
		switch {
		case slot.Nullable:
			e.replacement = avroscan.AppendLong(nil, e.nullIndex)
		case slot.HasDefault:
			e.replacement = slot.Default
		default:
			return e, false, errors.New("class drop needs a nullable field or a default")
		}
		return e, true, nil
	}
	return e, false, fmt.Errorf("class %q is not known", f.PII)
}

var fills = map[string]action{
	annotation.RoleReceivedAt: fillReceivedAt,
	annotation.RoleSource:     fillSource,
	annotation.RoleTenant:     fillTenant,
}

// Changes tells whether the value of a slot, when present, is not what the producer sent.
func (p *Plan) Changes(slot int) bool {
	for _, e := range p.edits {
		if e.slot == slot {
			return true
		}
	}
	return false
}

// Facts are what the router knows of an event.
type Facts struct {
	ReceivedAtMicros int64
	Source, Tenant   string
}

// Key is a secret for pseudonyms, with the name that stands in each of them.
type Key struct {
	id   string
	pool sync.Pool // of *Masker
}

// NewKey returns a key. Every pseudonym made with it begins with its id and a dot.
func NewKey(id string, secret []byte) (*Key, error) {
	if id == "" {
		return nil, errors.New("the masking key has no id")
	}
	if len(secret) < MinKeyBytes {
		return nil, fmt.Errorf("masking key %s has %d bytes, needs at least %d", id, len(secret), MinKeyBytes)
	}
	secret = append([]byte(nil), secret...)
	k := &Key{id: id}
	k.pool.New = func() any { return &Masker{id: id, mac: hmac.New(sha256.New, secret)} }
	return k, nil
}

// Masker returns a masker for one goroutine. Give it back with Release.
func (k *Key) Masker() *Masker { return k.pool.Get().(*Masker) }

// Release takes a masker back.
func (k *Key) Release(m *Masker) { k.pool.Put(m) }

// Masker applies plans. It is not safe for concurrent use.
type Masker struct {
	id   string
	mac  hash.Hash
	text []byte
	sum  []byte
	out  []byte
}

// Error says which field could not be masked. It never quotes the value.
type Error struct {
	Path   string
	Reason string
}

func (e *Error) Error() string { return "mask field " + e.Path + ": " + e.Reason }

// Append appends the rewritten body to dst. spans are those of a successful scan of body. An error is an *Error; dst is then unchanged up to
// its length.
func (m *Masker) Append(dst []byte, p *Plan, body []byte, spans []avroscan.Span, f *Facts) ([]byte, error) {
	copied := 0
	for i := range p.edits {
		e := &p.edits[i]
		s := spans[e.slot]
		if s.Start < copied {
			continue // the enclosing record is absent, or was dropped
		}
		var err error
		replaced := dst
		replaced = append(replaced, body[copied:s.Start]...)
		if replaced, err = m.edit(replaced, e, body, s, f); err != nil {
			return dst, err
		}
		dst, copied = replaced, s.End
	}
	return append(dst, body[copied:]...), nil
}

func (m *Masker) edit(dst []byte, e *edit, body []byte, s avroscan.Span, f *Facts) ([]byte, error) {
	switch e.action {
	case fillReceivedAt:
		return avroscan.AppendLong(avroscan.AppendLong(dst, e.valueIndex), f.ReceivedAtMicros), nil
	case fillSource:
		return avroscan.AppendString(avroscan.AppendLong(dst, e.valueIndex), f.Source), nil
	case fillTenant:
		return avroscan.AppendString(avroscan.AppendLong(dst, e.valueIndex), f.Tenant), nil
	case drop:
		return append(dst, e.replacement...), nil
	case pseudonym, ip:
	}
	if s.Value < 0 {
		return append(dst, body[s.Start:s.End]...), nil // null stays null
	}
	value, _ := avroscan.ReadString(body, s.Value)
	if e.nullable {
		dst = avroscan.AppendLong(dst, e.valueIndex)
	}
	if e.action == pseudonym {
		return avroscan.AppendBytes(dst, m.pseudonym(f.Tenant, e.path, value)), nil
	}
	network, ok := appendNetwork(m.out[:0], value)
	m.out = network
	if !ok {
		return nil, &Error{Path: e.path, Reason: "is not the text of an IP address"}
	}
	return avroscan.AppendBytes(dst, network), nil
}

// pseudonym returns `<key id>.<base64url(HMAC-SHA256(key, tenant 0x00 path 0x00 value))>`, valid until the next call. The tenant and the field
// are bound in, so that pseudonyms of different tenants or fields cannot be joined.
func (m *Masker) pseudonym(tenant, path string, value []byte) []byte {
	m.text = append(m.text[:0], tenant...)
	m.text = append(m.text, 0)
	m.text = append(m.text, path...)
	m.text = append(m.text, 0)
	m.text = append(m.text, value...)
	m.mac.Reset()
	m.mac.Write(m.text)
	m.sum = m.mac.Sum(m.sum[:0])
	m.out = append(m.out[:0], m.id...)
	m.out = append(m.out, '.')
	m.out = base64.RawURLEncoding.AppendEncode(m.out, m.sum)
	return m.out
}

// appendNetwork appends the canonical text of an address's network.
func appendNetwork(dst, text []byte) ([]byte, bool) {
	addr, ok := parseIPv4(text)
	if !ok {
		var err error
		if addr, err = netip.ParseAddr(string(text)); err != nil {
			return dst, false
		}
		addr = addr.WithZone("").Unmap()
	}
	bits := ipv6Bits
	if addr.Is4() {
		bits = ipv4Bits
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return dst, false
	}
	return prefix.Addr().AppendTo(dst), true
}

// parseIPv4 reads dotted decimal as netip.ParseAddr does, which needs a string and so allocates.
func parseIPv4(text []byte) (netip.Addr, bool) {
	var octets [4]byte
	value, digits, n := 0, 0, 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && text[i] != '.' {
			c := text[i] - '0'
			if c > 9 || digits == 1 && value == 0 { // no leading zeros
				return netip.Addr{}, false
			}
			value = 10*value + int(c)
			if digits++; value > 255 {
				return netip.Addr{}, false
			}
			continue
		}
		if digits == 0 || n == 4 {
			return netip.Addr{}, false
		}
		octets[n] = byte(value)
		n++
		value, digits = 0, 0
	}
	return netip.AddrFrom4(octets), n == 4
}
