package model

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"unicode/utf16"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// Masking is what the checker knows of the router's masking: written anew from the contract, not taken from the router.
type Masking struct {
	KeyID  string
	Key    []byte
	Tenant string
}

// pseudonym is `<key id>.<base64url of HMAC-SHA256(key, tenant 0x00 field 0x00 value)>`.
func (m Masking) pseudonym(field, value string) string {
	mac := hmac.New(sha256.New, m.Key)
	mac.Write([]byte(m.Tenant + "\x00" + field + "\x00" + value))
	return m.KeyID + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// cutIP keeps the first 24 bits of an IPv4 address and the first 48 of an IPv6 address.
func cutIP(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "unparsable address " + text // never equal to what a table holds
	}
	bits := 48
	if addr.Unmap().Is4() {
		addr, bits = addr.Unmap(), 24
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return "unparsable address " + text
	}
	return prefix.Addr().String()
}

// Apply masks e as the published schemas ask for.
func (m Masking) Apply(e *load.Event) {
	e.AccountID = m.pseudonym("account_id", e.AccountID)
	if e.ProfileID.Valid {
		e.ProfileID.Value = m.pseudonym("profile_id", e.ProfileID.Value)
	}
	e.DeviceID = m.pseudonym("device_id", e.DeviceID)
	if e.IP.Valid {
		e.IP.Value = cutIP(e.IP.Value)
	}
	e.Error.Value.Message = load.Nullable[string]{}
	e.Email = load.Nullable[string]{}
}

// bucketHash is Hudi's hash of a record key with one hash field: (31 + Java's String.hashCode) & 0x7fffffff, over UTF-16 code units
// (Hudi class BucketIdentifier). Kafka partitions follow it as well.
func bucketHash(key string) uint32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(key)) {
		h = 31*h + int32(unit)
	}
	return uint32(31+h) & 0x7fffffff
}
