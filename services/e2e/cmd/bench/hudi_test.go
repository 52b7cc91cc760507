package main

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/playhead-pipeline/playhead/services/internal/lifecycle"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

func TestHudiFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                       "file log compact commit snapshot",
		"archive":                "archive",
		"log -rounds 2":          "log",
		"-rows 5000 commit file": "commit file",
	} {
		_, wanted, err := parseHudi(strings.Fields(args), io.Discard)
		var names []string
		for _, m := range wanted {
			names = append(names, m.name)
		}
		if have := strings.Join(names, " "); err != nil || have != want {
			t.Errorf("%q: %s, %v", args, have, err)
		}
	}
	for _, args := range []string{"nothing", "-rounds 0", "-rows 10", "-rounds 1 nothing", "-no-such-flag"} {
		_, _, err := parseHudi(strings.Fields(args), io.Discard)
		var usage lifecycle.UsageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: error %v", args, err)
		}
	}
}

func TestMedians(t *testing.T) {
	t.Parallel()
	if m := median([]float64{9, 1, 5}); m != 5 {
		t.Errorf("median of three is %v", m)
	}
	if m := median([]float64{4, 1, 3, 2}); m != 2.5 {
		t.Errorf("median of four is %v", m)
	}
	if r := ratio([]float64{2, 30, 8}, []float64{1, 10, 2}); math.Abs(r-3) > 1e-9 {
		t.Errorf("ratio is %v", r)
	}
}

// Every measure that needs no peer passes its own checks; those of peers say that they were not measured.
func TestHudiMeasures(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := &library{rounds: 1, rows: 1000, dir: t.TempDir(), out: &out, stderr: io.Discard, youngAge: 25}
	for _, m := range measures {
		if m.name == "file" { // builds and runs another package's benchmark, of a size of its own
			continue
		}
		if err := m.run(l, t.Context()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
	for _, want := range []string{"as with Spark, Avro data", "updates, Parquet data", "new rows, Avro data", "the file alone", "MERGE_ON_READ", "hudi-rs                      not measured", "        50  "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, &out)
		}
	}
}

// A compaction whose counts are not as expected is an error, and no rate.
func TestCompactionIsChecked(t *testing.T) {
	t.Parallel()
	c, err := newCompaction("short", true, 100, []logContent{{50, 100, 1}}, logfile.AvroData)
	if err != nil {
		t.Fatal(err)
	}
	if c.records != 100 || c.rows != 150 || c.inserted != 50 || len(c.winners) != 100 {
		t.Errorf("%d records, %d rows, %d inserted, %d winners", c.records, c.rows, c.inserted, len(c.winners))
	}
	w, err := basefile.NewWriter(io.Discard, c.table)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.run(t.Context(), w); err != nil {
		t.Error(err)
	}
	c.records++
	if err := c.run(t.Context(), w); err == nil {
		t.Error("a log record that is not there was counted")
	}
}
