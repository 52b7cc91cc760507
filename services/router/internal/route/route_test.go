package route

import (
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// The hashes of the strings are those of Java's String.hashCode, as its documentation defines them.
func TestBucketHash(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		key  string
		hash int32 // of the string alone
	}{
		{"", 0},
		{"a", 97},
		{"hello", 99162322},
		{"order-42", 1234255197},
		{"hello world", 1794106052},
		{"polygenelubricants", -2147483648},
		{"\u00e9", 233},
		{"\u20ac", 8364},
		{"\U0001F600", 0xd83d*31 + 0xde00},
	} {
		if got, want := BucketHash([]byte(tc.key)), (31+tc.hash)&0x7fffffff; got != want {
			t.Errorf("BucketHash(%q) = %d, want %d", tc.key, got, want)
		}
	}
}

func FuzzBucketHash(f *testing.F) {
	for _, s := range []string{"", "session-1", "Zoë", "日本", "\U0001F600\u0000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			t.Skip("keys are UTF-8 before they are hashed")
		}
		var h int32
		for _, unit := range utf16.Encode([]rune(s)) {
			h = 31*h + int32(unit)
		}
		got := BucketHash([]byte(s))
		if want := (31 + h) & 0x7fffffff; got != want {
			t.Errorf("BucketHash(%q) = %d, want %d", s, got, want)
		}
		if p := Partition([]byte(s), 12); p%4 != got%4 {
			t.Errorf("partition %d of 12 is not of bucket %d of 4", p, got%4)
		}
	})
}

func TestTable(t *testing.T) {
	t.Parallel()
	table, err := NewTable([]Route{
		{Schema: "a", Subject: "a-value", Topic: "t", DeadLetterTopic: "t.dlq"},
		{Schema: "b", Subject: "b-value", Topic: "t"},
	}, "dlq")
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := table.BySubject("b-value"); !ok || r.DeadLetterTopic != "dlq" {
		t.Errorf("a route without a dead-letter topic gets the default one, got %+v", r)
	}
	if r, ok := table.BySchema("a"); !ok || r.Subject != "a-value" {
		t.Errorf("BySchema(a) = %+v, %t", r, ok)
	}
	if got := table.DataTopics(); len(got) != 1 || got[0] != "t" {
		t.Errorf("DataTopics() = %v", got)
	}
	if got := table.DeadLetterTopics(); len(got) != 2 {
		t.Errorf("DeadLetterTopics() = %v", got)
	}
	for _, dup := range [][]Route{{{Schema: "a", Subject: "x"}, {Schema: "a", Subject: "y"}}, {{Schema: "a", Subject: "x"}, {Schema: "b", Subject: "x"}}} {
		if _, err := NewTable(dup, "dlq"); err == nil {
			t.Errorf("NewTable(%v) took a duplicate", dup)
		}
	}
}
