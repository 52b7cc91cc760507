package keys_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
)

// TestBucketAgainstHudi compares with Hudi's own answers (testdata/README.md), for keys whose fields can be told apart.
func TestBucketAgainstHudi(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/bucket-vectors-0.15.0.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors [][4]any
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, v := range vectors {
		key, fields, n, want := v[0].(string), v[1].(string), int(v[2].(float64)), int(v[3].(float64))
		values, ok := hashValues(key, fields)
		if !ok {
			continue
		}
		compared++
		if got := keys.Bucket(n, values...); got != want {
			t.Errorf("bucket of %s of %q among %d = %d, want %d", fields, key, n, got, want)
		}
	}
	if compared < 60 {
		t.Errorf("only %d vectors compared", compared)
	}
}

// hashValues takes the hash fields out of an unambiguous key text.
func hashValues(key, fields string) (values []string, ok bool) {
	if !strings.Contains(key, ":") {
		return []string{key}, true
	}
	all := make(map[string]string)
	for pair := range strings.SplitSeq(key, ",") {
		name, value, found := strings.Cut(pair, ":")
		if !found || value == "" || strings.Contains(value, ":") || value == keys.NullKey || value == keys.EmptyKey {
			return nil, false // how Hudi reads these differs by release
		}
		all[name] = value
	}
	for name := range strings.SplitSeq(fields, ",") {
		values = append(values, all[name])
	}
	return values, true
}

func TestBucketHash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []string
		n      int
		want   int
	}{
		{[]string{"order-42"}, 256, 124},
		{[]string{"order-42"}, 64, 60},
		{[]string{"eu", "order-42"}, 256, 110},
		{[]string{"polygenelubricants"}, 256, 31}, // its hash is the smallest int
	} {
		if got := keys.Bucket(c.n, c.values...); got != c.want {
			t.Errorf("Bucket(%d, %q) = %d, want %d", c.n, c.values, got, c.want)
		}
	}
}

func TestComplexKey(t *testing.T) {
	t.Parallel()
	f := func(name, value string) keys.Field { return keys.Field{Name: name, Value: value} }
	for _, c := range []struct {
		fields []keys.Field
		want   string
		err    error
	}{
		{[]keys.Field{f("session_id", "s-1"), f("event_id", "e-2")}, "session_id:s-1,event_id:e-2", nil},
		{[]keys.Field{f("a", "x:y/%"), {Name: "b", Null: true}, f("c", "")}, "a:x:y/%,b:__null__,c:__empty__", nil},
		{[]keys.Field{f("a", ""), {Name: "b", Null: true}}, "", keys.ErrEmptyKey},
		{[]keys.Field{f("a", "x,y")}, "", keys.ErrComma},
		{nil, "", keys.ErrEmptyKey},
	} {
		got, err := keys.ComplexKey(c.fields...)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("ComplexKey(%v) = %q, %v; want %q, %v", c.fields, got, err, c.want, c.err)
		}
	}
}

func TestPartitionPath(t *testing.T) {
	t.Parallel()
	date, hour := keys.Field{Name: "event_date", Value: "2026-11-22"}, keys.Field{Name: "event_hour", Value: "08"}
	for _, c := range []struct {
		hive   bool
		fields []keys.Field
		want   string
		err    error
	}{
		{true, []keys.Field{date, hour}, "event_date=2026-11-22/event_hour=08", nil},
		{false, []keys.Field{date, hour}, "2026-11-22/08", nil},
		{true, []keys.Field{date, {Name: "h", Null: true}}, "event_date=2026-11-22/h=__HIVE_DEFAULT_PARTITION__", nil},
		{false, nil, "", nil},
		{true, []keys.Field{{Name: "d", Value: "a/b"}}, "", keys.ErrPartition},
	} {
		got, err := keys.PartitionPath(c.hive, c.fields...)
		if err == nil && got != c.want || !errors.Is(err, c.err) {
			t.Errorf("PartitionPath(%v, %v) = %q, %v; want %q, %v", c.hive, c.fields, got, err, c.want, c.err)
		}
	}
	for _, bad := range []string{"", "a", "a/", "/a", "../b", "a/..", ".hoodie/x", "a/b/c", "a/b\n", "a\\c/b"} {
		if err := keys.CheckPartitionPath(bad, 2); !errors.Is(err, keys.ErrPartition) {
			t.Errorf("CheckPartitionPath(%q) = %v", bad, err)
		}
	}
}

func TestFileID(t *testing.T) {
	t.Parallel()
	a, b := keys.FileID("event_date=2026-11-22/event_hour=08", 7), keys.FileID("event_date=2026-11-22/event_hour=09", 7)
	if a == b || a != keys.FileID("event_date=2026-11-22/event_hour=08", 7) {
		t.Errorf("file ids %s, %s", a, b)
	}
	if len(a) != 38 || !strings.HasPrefix(a, "00000007-") || !strings.HasSuffix(a, "-0") {
		t.Errorf("file id %s", a)
	}
	if bucket, ok := keys.BucketOf(a); !ok || bucket != 7 {
		t.Errorf("BucketOf(%s) = %d, %v", a, bucket, ok)
	}
	for _, id := range []string{"", "00000007", "219a09ef-4366-4566-846a-d3f9e8d81519-0", "0000000700"} {
		if bucket, ok := keys.BucketOf(id); ok {
			t.Errorf("BucketOf(%q) = %d", id, bucket)
		}
	}
}
