package interop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
)

// results is what the engines' answers were worth, for the table that users read. With PLAYHEAD_ENGINE_TABLE the stage writes it there.
type results struct {
	mu     sync.Mutex
	failed map[[2]string]bool // by row and engine; present once anything was tried
}

var outcome results

// note records one comparison.
func (r *results) note(row, engine string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = map[[2]string]bool{}
	}
	cell := [2]string{row, engine}
	r.failed[cell] = r.failed[cell] || err != nil
}

// section is a part of the table of engines.
type section struct {
	title, text string
	rows        []string
}

// sections are the rows that the tests note, in the order of the table.
func sections() []section {
	reading := section{"Reading", "Tables that this library wrote: row count, keys and every column of every row equal a model in memory. A cell stands for " +
		"all queries below that the engine and the type of table have.", nil}
	for _, version := range tableVersions {
		for _, kind := range tableTypes {
			for _, s := range matrixStages[kind] {
				reading.rows = append(reading.rows, stageRow(version, kind, s))
			}
		}
	}
	var writing []string
	for _, o := range turns() {
		writing = append(writing, o.row())
	}
	for _, o := range clusterTurns {
		writing = append(writing, clusterRow(o.version, o.kind))
	}
	for _, o := range metadataTurns {
		writing = append(writing, metadataRow(o.kind))
	}
	var onS3 []string
	for _, o := range s3Tables {
		onS3 = append(onS3, s3Row(o.version, o.kind))
	}
	return []section{
		reading,
		{"On S3", "The same, written through the S3 store of the lake-writer to a real S3 server, and read from there: by Spark through S3A.", onS3},
		{"Queries", "The same, by query. Of a merge-on-read table whose rows were replaced, incremental queries are not compared: Spark and hudi-rs answer " +
			"from the logs of the window alone and list records that lost.", []string{"snapshot", "as of", "incremental", "read optimised", "filters"}},
		{"Writing in turns", "The engine upserts, deletes, rolls a failed attempt of ours back, compacts and cleans; this library goes on after each; both and " +
			"hudi-rs read after each.", writing},
	}
}

// columnsOfTable are the engines in the order of the table.
var columnsOfTable = []struct{ name, title string }{
	{"spark-hudi-0.15.0", "Spark 3.5.7, Hudi 0.15.0"}, {"spark-hudi-1.1.1", "Hudi 1.1.1"}, {"spark-hudi-1.2.0", "Hudi 1.2.0"}, {"hudi-rs", "hudi-rs 0.5.0"},
}

// footnotes are defects of the engines, which no table of ours can repair. They were seen in experiments by hand.
const footnotes = `## Known defects of the engines

- **Hudi 0.15** compares the names of records and decimals below the root with Spark's own, and refuses to write to a table that has others.
- **Hudi 0.15** hides its own commit on a merge-on-read table, when the same write rolled a failed attempt back, until the next commit.
- **Hudi 0.15** lets a deletion that is older than a row remove it, where the row is in the base file alone.
- **Hudi 0.15**'s SQL procedure run_compaction merges by arrival unless hoodie.payload.ordering.field names the ordering field.
- **Hudi 0.15** knows table version 6 only. It reads columns of timestamp-millis wrongly: this library refuses them.
- **Hudi 1.0.2** fails (ClassCastException) to read a slice with an unconditional deletion and a later row of the same key.
- **Hudi 1.x** upgrades a version 6 table that it writes to, unless hoodie.write.auto.upgrade=false or hoodie.write.table.version=6.
- **Hudi 1.2.0** loops for ever, and 0.15 makes duplicates, where a key value of a bucketed table has a comma.
- **All of Spark's** make a second row of a key when hoodie.bucket.index.num.buckets or hoodie.bucket.index.hash.field are not the table's.
- **hudi-rs 0.5** does not see logs that are named after a pending compaction. This library compacts in one step.
- **hudi-rs 0.5** refuses a slice with log blocks of an older schema that differs below the root, until it is compacted.
`

// write writes the table, and beside it the results as JSON. Those of an earlier run that are there already count as long as nothing newer
// was tried: a run in parts makes the same table as a whole one.
func (r *results) write(path string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	failed := map[string]map[string]bool{}
	earlier, err := os.ReadFile(path + ".json")
	if err == nil {
		err = json.Unmarshal(earlier, &failed)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read earlier results: %w", err)
	}
	for cell, fails := range r.failed {
		if failed[cell[0]] == nil {
			failed[cell[0]] = map[string]bool{}
		}
		failed[cell[0]][cell[1]] = fails
	}
	text, err := json.MarshalIndent(failed, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".json", text, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(table(failed)), 0o600)
}

// table is the table of engines as text.
func table(failed map[string]map[string]bool) string {
	var b strings.Builder
	b.WriteString("# What works with which engine\n\nWritten by `scripts/test.sh interop` from its own results; do not edit.\n" +
		"An empty cell was not tried or is none of the engine's.\n\n")
	for _, s := range sections() {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n| |", s.title, s.text)
		for _, c := range columnsOfTable {
			fmt.Fprintf(&b, " %s |", c.title)
		}
		b.WriteString("\n|---" + strings.Repeat("|---", len(columnsOfTable)) + "|\n")
		for _, row := range s.rows {
			fmt.Fprintf(&b, "| %s |", row)
			for _, c := range columnsOfTable {
				fails, tried := failed[row][c.name]
				switch {
				case fails:
					b.WriteString(" **fails** |")
				case tried:
					b.WriteString(" ok |")
				default:
					b.WriteString(" |")
				}
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	b.WriteString(footnotes)
	return b.String()
}
