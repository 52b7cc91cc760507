package interop

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// commit is a completed commit with the Kafka positions up to which the table then held everything.
type commit struct {
	instant string
	next    map[int32]int64
}

func (c commit) holds(p position) bool { return p.offset < c.next[p.partition] }

// readCommits reads instants and Hudi Streamer checkpoints from the table's timeline, oldest first.
func readCommits(t *testing.T, table string) []commit {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(table, ".hoodie", "*.commit"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	var commits []commit
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var body struct {
			Extra map[string]string `json:"extraMetadata"`
		}
		if err := json.Unmarshal(text, &body); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c := commit{instant: strings.TrimSuffix(filepath.Base(file), ".commit"), next: map[int32]int64{}}
		for _, item := range strings.Split(body.Extra["deltastreamer.checkpoint.key"], ",")[1:] {
			p, o, _ := strings.Cut(item, ":")
			partition, err1 := strconv.ParseInt(p, 10, 32)
			offset, err2 := strconv.ParseInt(o, 10, 64)
			if err1 != nil || err2 != nil {
				t.Fatalf("%s: checkpoint item %q", file, item)
			}
			c.next[int32(partition)] = offset
		}
		commits = append(commits, c)
	}
	return commits
}

// filter is a condition in SQL and what it means.
type filter struct {
	id, where string
	holds     func(e *load.Event) bool
}

// filters cover what file pruning goes wrong on: numbers, signed decimals, strings, keys, nested fields, nulls.
var filters = []filter{
	{"number", "bitrate_kbps > 20000", func(e *load.Event) bool { return e.BitrateKbps.Valid && e.BitrateKbps.Value > 20_000 }},
	{"decimal-negative", "price < 0", func(e *load.Event) bool { return e.Price.Valid && e.Price.Value < 0 }},
	{"decimal", "price >= 50.5", func(e *load.Event) bool { return e.Price.Valid && e.Price.Value >= 505_000 }},
	{"double", "playback_rate <= 0.25", func(e *load.Event) bool { return e.PlaybackRate.Valid && e.PlaybackRate.Value <= 0.25 }},
	{"string", "country = 'JP'", func(e *load.Event) bool { return e.Country.Valid && e.Country.Value == "JP" }},
	{"nested", "device.type = 'tv'", func(e *load.Event) bool { return e.Device.Type == "tv" }},
	{"nested-boolean", "error.fatal = true", func(e *load.Event) bool { return e.Error.Valid && e.Error.Value.Fatal }},
	{"null", "cdn_pop IS NOT NULL", func(e *load.Event) bool { return e.CDNPop.Valid }},
	{"partition", "event_hour >= '00' AND event_type = 'stop'", func(e *load.Event) bool { return e.EventType == "stop" }},
}

// judge asks one engine everything and compares its answers with the truth; without commits, what the table holds now.
func judge(ctx context.Context, t *testing.T, e engine, table string, want truth, commits []commit) {
	queries := []request{{ID: "snapshot", Path: table, Type: "snapshot"}}
	var first, middle commit
	if len(commits) > 0 {
		// commits[0] is the empty commit of a new table: the first one with rows is commits[1].
		first, middle = commits[1], commits[len(commits)/2]
		queries = append(queries,
			request{ID: "as-of", Path: table, Type: "snapshot", AsOf: middle.instant},
			request{ID: "incremental", Path: table, Type: "incremental", Begin: first.instant})
	}
	filtered := e.spark() && len(commits) > 0 // each reads all logs again, and TestMatrix filters merge-on-read tables
	if filtered {
		for _, f := range filters {
			queries = append(queries, request{ID: f.id, Path: table, Type: "snapshot", Where: f.where})
		}
	}
	answers := map[string][]string{}
	for _, q := range queries {
		lines, err := shared.of(t, e).query(ctx, t, q)
		if err != nil {
			t.Error(err)
		}
		answers[q.ID] = lines
	}

	all := parse(t, answers["snapshot"])
	at := make(map[string]position, len(all))
	for _, r := range all {
		at[r.id] = r.position
	}
	expect(t, "snapshot", all, want, func(*load.Event) bool { return true })
	if len(commits) > 0 {
		expect(t, "as-of", parse(t, answers["as-of"]), want, func(e *load.Event) bool { return middle.holds(at[e.EventID]) })
		expect(t, "incremental", parse(t, answers["incremental"]), want, func(e *load.Event) bool { return !first.holds(at[e.EventID]) })
	}
	if filtered {
		for _, f := range filters {
			expect(t, f.id, parse(t, answers[f.id]), want, f.holds)
		}
	}
}

func parse(t *testing.T, lines []string) []engineRow {
	t.Helper()
	rows := make([]engineRow, 0, len(lines))
	for _, line := range lines {
		rows = append(rows, parseRow(t, line))
	}
	return rows
}

// expect compares an answer with the events of the truth for which holds is true: as many rows, each event once, every column equal.
func expect(t *testing.T, name string, rows []engineRow, want truth, holds func(e *load.Event) bool) {
	t.Helper()
	seen := make(map[string]bool, len(rows))
	faults := 0
	for _, r := range rows {
		e := want[r.id]
		switch {
		case e == nil:
			t.Errorf("%s: row %q is of no event that was sent", name, r.id)
		case seen[r.id]:
			t.Errorf("%s: %s has two rows", name, r.id)
		case !holds(e):
			t.Errorf("%s: %s does not belong into the answer", name, r.id)
		default:
			for _, fault := range compare(r, e) {
				t.Errorf("%s: %s: %s", name, r.id, fault)
				faults++
			}
		}
		seen[r.id] = true
		if faults > 10 {
			t.Fatalf("%s: and more", name)
		}
	}
	expected := 0
	for id, e := range want {
		if holds(e) {
			expected++
			if !seen[id] && expected-len(seen) < 10 {
				t.Errorf("%s: %s is missing", name, id)
			}
		}
	}
	if expected == 0 {
		t.Errorf("%s: the truth has no row for it, so the comparison proves nothing", name)
	}
	t.Logf("%s: %d rows of %d", name, len(rows), expected)
}
