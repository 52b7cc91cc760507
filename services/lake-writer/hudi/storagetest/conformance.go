package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// Conformance checks the promises of storage.Store; open returns an empty store for each part.
func Conformance(t *testing.T, open func(t *testing.T) storage.Store) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, storage.Store){
		"objects":             checkObjects,
		"missing":             checkMissing,
		"ranges":              checkRanges,
		"conditions":          checkConditions,
		"listing":             checkListing,
		"keys":                checkKeys,
		"canceled":            checkCanceled,
		"race for absence":    raceIfAbsent,
		"race for a match":    raceIfMatch,
		"values are not lent": checkNotLent,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, open(t))
		})
	}
}

func checkObjects(t *testing.T, s storage.Store) {
	big := slices.Repeat([]byte("0123456789abcdef"), 1<<14)
	for _, data := range [][]byte{{}, []byte("one"), big} {
		put := mustPut(t, s, "a/b.txt", data, storage.Condition{})
		got, info, err := s.Get(t.Context(), "a/b.txt")
		if err != nil || !slices.Equal(got, data) {
			t.Fatalf("get: %d bytes, %v; want %d", len(got), err, len(data))
		}
		if info.ETag == "" || info.ETag != put.ETag || info.Size != int64(len(data)) || info.Key != "a/b.txt" {
			t.Errorf("get info %+v, put info %+v", info, put)
		}
		stat, err := s.Stat(t.Context(), "a/b.txt")
		if err != nil || stat.Size != int64(len(data)) || stat.Key != "a/b.txt" || stat.ModTime.IsZero() {
			t.Errorf("stat %+v, %v", stat, err)
		}
	}
	mustDelete(t, s, "a/b.txt")
	if _, _, err := s.Get(t.Context(), "a/b.txt"); !errors.Is(err, storage.ErrNotExist) {
		t.Errorf("get after delete: %v", err)
	}
	mustDelete(t, s, "a/b.txt")
}

func checkMissing(t *testing.T, s storage.Store) {
	mustPut(t, s, "folder/file", []byte("x"), storage.Condition{})
	for _, key := range []string{"none", "folder", "folder/file/below"} {
		if _, _, err := s.Get(t.Context(), key); storage.Classify(err) != storage.NotExist {
			t.Errorf("get %s: %v", key, err)
		}
		if _, err := s.GetRange(t.Context(), key, 0, 1); storage.Classify(err) != storage.NotExist {
			t.Errorf("get range of %s: %v", key, err)
		}
		if _, err := s.Stat(t.Context(), key); storage.Classify(err) != storage.NotExist {
			t.Errorf("stat %s: %v", key, err)
		}
		if _, err := s.Put(t.Context(), key, nil, storage.Condition{IfMatch: `"0"`}); storage.Classify(err) != storage.Precondition {
			t.Errorf("put %s if match: %v", key, err)
		}
		mustDelete(t, s, key)
	}
	if _, _, err := s.Get(t.Context(), "folder/file"); err != nil {
		t.Errorf("the object is gone: %v", err)
	}
}

func checkRanges(t *testing.T, s storage.Store) {
	mustPut(t, s, "k", []byte("0123456789"), storage.Condition{})
	for _, c := range []struct {
		off, length int64
		want        string
	}{{0, 4, "0123"}, {3, 3, "345"}, {8, 100, "89"}, {9, 1, "9"}, {0, 10, "0123456789"}} {
		got, err := s.GetRange(t.Context(), "k", c.off, c.length)
		if err != nil || string(got) != c.want {
			t.Errorf("range %d+%d: %q, %v; want %q", c.off, c.length, got, err, c.want)
		}
	}
	for _, c := range [][2]int64{{10, 1}, {11, 1}, {-1, 2}, {0, 0}, {0, -1}} {
		if got, err := s.GetRange(t.Context(), "k", c[0], c[1]); !errors.Is(err, storage.ErrRange) {
			t.Errorf("range %d+%d: %q, %v; want ErrRange", c[0], c[1], got, err)
		}
	}
}

func checkConditions(t *testing.T, s storage.Store) {
	first := mustPut(t, s, "k", []byte("1"), storage.Condition{IfAbsent: true})
	refuse := func(what string, cond storage.Condition) {
		t.Helper()
		before, _, _ := s.Get(t.Context(), "k")
		if _, err := s.Put(t.Context(), "k", []byte("wrong"), cond); !errors.Is(err, storage.ErrPrecondition) {
			t.Errorf("%s: %v; want ErrPrecondition", what, err)
		}
		if after, _, _ := s.Get(t.Context(), "k"); string(after) != string(before) {
			t.Errorf("%s: wrote %q", what, after)
		}
	}
	refuse("absent, but there", storage.Condition{IfAbsent: true})
	refuse("foreign tag", storage.Condition{IfMatch: `"no such tag"`})
	second := mustPut(t, s, "k", []byte("2"), storage.Condition{IfMatch: first.ETag})
	if second.ETag == first.ETag {
		t.Errorf("two contents, one tag %s", second.ETag)
	}
	refuse("old tag", storage.Condition{IfMatch: first.ETag})
	mustDelete(t, s, "k")
	if _, err := s.Put(t.Context(), "k", nil, storage.Condition{IfMatch: second.ETag}); !errors.Is(err, storage.ErrPrecondition) {
		t.Errorf("match on a deleted object: %v", err)
	}
	mustPut(t, s, "k", []byte("3"), storage.Condition{IfAbsent: true})
	if _, err := s.Put(t.Context(), "k", nil, storage.Condition{IfAbsent: true, IfMatch: "x"}); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("both conditions: %v; want ErrInvalid", err)
	}
}

func checkListing(t *testing.T, s storage.Store) {
	// Bytes below and above the slash: a folder must sort by its name with the slash.
	keys := []string{
		".hoodie/20260101000000000.commit", ".hoodie/hoodie.properties", "a!b", "a-b/c", "a.b", "a/b/c", "a/b/d",
		"a/c", "a0", "ab/x", "dt=2026-01-01/hr=00/.hoodie_partition_metadata", "dt=2026-01-01/hr=00/x y.parquet", "ü/é",
	}
	for _, i := range []int{3, 0, 7, 1, 5, 2, 12, 4, 6, 11, 8, 10, 9} {
		mustPut(t, s, keys[i], []byte(keys[i]), storage.Condition{})
	}
	for _, prefix := range []string{"", "a/", "a/b", "a/b/", "a0", "dt=", ".hoodie/2", "zzz", "a-b/c"} {
		var want []string
		for _, k := range slices.Sorted(slices.Values(keys)) {
			if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
				want = append(want, k)
			}
		}
		if got := ListKeys(t, s, prefix); !slices.Equal(got, want) {
			t.Errorf("list %q:\n got %q\nwant %q", prefix, got, want)
		}
	}
	for info, err := range s.List(t.Context(), "a0") {
		if err != nil || info.Size != 2 || info.ModTime.IsZero() {
			t.Errorf("list info %+v, %v", info, err)
		}
	}
	for range s.List(t.Context(), "") { // the caller may stop
		break
	}
}

func checkKeys(t *testing.T, s storage.Store) {
	for _, key := range []string{"", "/a", "a/", "a//b", "..", "a/../b", "../a", "./a", "a/.", "a\\b", "a\nb", "a\x00b", "\xff"} {
		if _, err := s.Put(t.Context(), key, []byte("x"), storage.Condition{}); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("put %q: %v; want ErrInvalid", key, err)
		}
		if _, _, err := s.Get(t.Context(), key); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("get %q: %v; want ErrInvalid", key, err)
		}
		if err := s.Delete(t.Context(), key); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("delete %q: %v; want ErrInvalid", key, err)
		}
	}
	for _, key := range []string{"a..b/c", "...", "dt=2026-01-01/hr=0%2F", "a b", "é/ü"} {
		mustPut(t, s, key, []byte("x"), storage.Condition{})
	}
}

func checkCanceled(t *testing.T, s storage.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "k", nil, storage.Condition{}); err == nil {
		t.Error("put with an ended context worked")
	}
	if _, _, err := s.Get(ctx, "k"); err == nil || errors.Is(err, storage.ErrNotExist) {
		t.Errorf("get with an ended context: %v", err)
	}
	for _, err := range s.List(ctx, "") {
		if err == nil {
			t.Error("list with an ended context yields objects")
		}
	}
}

func checkNotLent(t *testing.T, s storage.Store) {
	data := []byte("abc")
	mustPut(t, s, "k", data, storage.Condition{})
	data[0] = 'X'
	got, _, _ := s.Get(t.Context(), "k")
	if string(got) != "abc" {
		t.Fatalf("the store kept the caller's slice: %q", got)
	}
	got[0] = 'Y'
	if again, _, _ := s.Get(t.Context(), "k"); string(again) != "abc" {
		t.Fatalf("the store lent its own slice: %q", again)
	}
}

const racers, rounds = 16, 20

func raceIfAbsent(t *testing.T, s storage.Store) {
	for round := range rounds {
		race(t, s, fmt.Sprintf("race/%d", round), round, storage.Condition{IfAbsent: true})
	}
}

func raceIfMatch(t *testing.T, s storage.Store) {
	info := mustPut(t, s, "race", []byte("start"), storage.Condition{})
	for round := range rounds {
		info = race(t, s, "race", round, storage.Condition{IfMatch: info.ETag})
	}
}

// race lets 16 writers try one conditional put: one wins, the others are told so, and the winner's content stays.
func race(t *testing.T, s storage.Store, key string, round int, cond storage.Condition) storage.Info {
	t.Helper()
	infos, errs := make([]storage.Info, racers), make([]error, racers)
	content := func(i int) []byte { return fmt.Appendf(nil, "round %d writer %d", round, i) }
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			<-start
			infos[i], errs[i] = s.Put(t.Context(), key, content(i), cond)
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Fatalf("round %d: writers %d and %d both won", round, winner, i)
		case !errors.Is(err, storage.ErrPrecondition):
			t.Fatalf("round %d: loser %d got %v", round, i, err)
		}
	}
	if winner < 0 {
		t.Fatalf("round %d: nobody won", round)
	}
	got, info, err := s.Get(t.Context(), key)
	if err != nil || string(got) != string(content(winner)) || info.ETag != infos[winner].ETag {
		t.Fatalf("round %d: winner %d, object %q, %v", round, winner, got, err)
	}
	return info
}

// ListKeys returns the keys that a listing yields.
func ListKeys(t testing.TB, s storage.Store, prefix string) []string {
	t.Helper()
	var keys []string
	for info, err := range s.List(t.Context(), prefix) {
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func mustPut(t *testing.T, s storage.Store, key string, data []byte, cond storage.Condition) storage.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, data, cond)
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return info
}

func mustDelete(t *testing.T, s storage.Store, key string) {
	t.Helper()
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatalf("delete %s: %v", key, err)
	}
}
