// Package keys owns the texts and numbers that Hudi derives from a record: the record key, the partition path, the bucket and the
// file group's id. It reads no record; callers pass the fields' texts.
package keys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Placeholders of KeyGenUtils and of Hive for what has no text.
const (
	NullKey          = "__null__"
	EmptyKey         = "__empty__"
	DefaultPartition = "__HIVE_DEFAULT_PARTITION__"
)

// Field is a named text; Null stands for an absent value.
type Field struct {
	Name, Value string
	Null        bool
}

var (
	// ErrEmptyKey: every key field is null or empty, which Hudi refuses.
	ErrEmptyKey = errors.New("every record key field is null or empty")
	// ErrComma: a value holds a comma. Spark takes the hash field out of the key's text by searching for it: Hudi 0.15 makes
	// duplicates of such keys and 1.2 loops for ever.
	ErrComma = errors.New("a record key value holds a comma")
	// ErrColon: the value of a single key field holds a colon. Hudi 0.15's bucket index takes such a key for a complex one, later releases
	// do not: each finds other buckets.
	ErrColon = errors.New("the value of a single record key field holds a colon")
	// ErrPartition: a text is no partition path of the table.
	ErrPartition = errors.New("not a partition path")
)

// ComplexKey is the record key text of the complex key generator: f1:v1,f2:v2 in the table's order.
func ComplexKey(fields ...Field) (string, error) {
	var b strings.Builder
	some := false
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f.Name)
		b.WriteByte(':')
		switch {
		case f.Null:
			b.WriteString(NullKey)
		case f.Value == "":
			b.WriteString(EmptyKey)
		case strings.Contains(f.Value, ","):
			return "", fmt.Errorf("record key field %s: %w", f.Name, ErrComma)
		default:
			some = true
			b.WriteString(f.Value)
		}
	}
	if !some {
		return "", ErrEmptyKey
	}
	return b.String(), nil
}

// SimpleKey is the record key text of a single key field: its value (KeyGenUtils.getRecordKey).
func SimpleKey(f Field) (string, error) {
	switch {
	case f.Null || f.Value == "":
		return "", fmt.Errorf("record key field %s: %w", f.Name, ErrEmptyKey)
	case strings.Contains(f.Value, ":"):
		return "", fmt.Errorf("record key field %s: %w", f.Name, ErrColon)
	default:
		return f.Value, nil
	}
}

// PartitionPath is the path of a record's partition, hive style (a=1/b=2) or plain (1/2), of a table that does not encode values. A null
// or empty value becomes Hive's placeholder; a value that would change the depth or leave the table is refused.
func PartitionPath(hiveStyle bool, fields ...Field) (string, error) {
	g := Generator{Kind: Complex, HiveStyle: hiveStyle}
	for _, f := range fields {
		g.PartitionFields = append(g.PartitionFields, f.Name)
	}
	return g.PartitionPath(fields...)
}

// CheckPartitionPath refuses what is not a path of depth elements below the table's base path.
func CheckPartitionPath(path string, depth int) error {
	if path == "" && depth == 0 {
		return nil
	}
	elements := strings.Split(path, "/")
	if len(elements) != depth {
		return fmt.Errorf("%q has %d elements, want %d: %w", path, len(elements), depth, ErrPartition)
	}
	for _, e := range elements {
		// An element with a leading dot would hide the partition, or hit .hoodie itself.
		if e == "" || e[0] == '.' || !utf8.ValidString(e) || strings.ContainsFunc(e, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }) {
			return fmt.Errorf("%q: %w", path, ErrPartition)
		}
	}
	return nil
}

// javaHash continues Java's String.hashCode over the UTF-16 units of s.
func javaHash(s string) int32 {
	var h int32
	for _, r := range s {
		if r >= 0x10000 {
			high, low := utf16.EncodeRune(r)
			h = 31*h + high
			h = 31*h + low
			continue
		}
		h = 31*h + r
	}
	return h
}

// BucketHash is the non-negative hash of the bucket index: Java's List.hashCode of the hash fields' texts
// (org.apache.hudi.index.bucket.BucketIdentifier). For one value it is (31 + hash(value)) & 0x7fffffff.
func BucketHash(values ...string) int32 {
	h := int32(1)
	for _, v := range values {
		h = 31*h + javaHash(v)
	}
	return h & 0x7fffffff
}

// Bucket is the bucket of the hash fields' texts among n.
func Bucket(n int, values ...string) int { return int(BucketHash(values...)) % n }

// fileIDSpace names our version 5 UUIDs.
var fileIDSpace = uuid.MustParse("6a5f62a7-2f0d-5b0e-9c1b-0f5d1a7c9e43")

// FileID is the id of the file group that a (partition, bucket) gets when it has none: the bucket's eight digits in place of a UUID's
// first eight, and "-0". Hudi draws the UUID at random; here it derives from the partition, so that two attempts name one group.
func FileID(partition string, bucket int) string {
	id := uuid.NewHash(sha256.New(), fileIDSpace, fmt.Appendf(nil, "%s\x00%d", partition, bucket), 8)
	return fmt.Sprintf("%08d%s-0", bucket, id.String()[8:])
}

// AttemptFileID is the id of the n-th file group that an attempt makes in a table without a bucket index. It derives from the attempt's
// id, which no other attempt has.
func AttemptFileID(attempt string, n int) string {
	return uuid.NewHash(sha256.New(), fileIDSpace, fmt.Appendf(nil, "attempt\x00%s\x00%d", attempt, n), 8).String() + "-0"
}

// BucketOf is the bucket that a file id is prefixed with; ok is false for file ids of tables without a bucket index.
func BucketOf(fileID string) (bucket int, ok bool) {
	if len(fileID) < 9 || fileID[8] != '-' {
		return 0, false
	}
	for _, c := range []byte(fileID[:8]) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	bucket, err := strconv.Atoi(fileID[:8])
	return bucket, err == nil
}
