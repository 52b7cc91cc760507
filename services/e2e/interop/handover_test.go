package interop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// writerOptions are what a Spark writer needs to go on with a table of ours. All of it but the names can be read from the table; the bucket
// index cannot. The metadata table stays as Spark has it by default: on.
func (m *lakeTable) writerOptions(extra map[string]string) map[string]string {
	o := map[string]string{
		"hoodie.table.name": "matrix", "hoodie.database.name": "lake", "hoodie.datasource.write.table.type": string(m.kind),
		"hoodie.datasource.write.recordkey.field":         "session_id,event_id",
		"hoodie.datasource.write.partitionpath.field":     "day",
		"hoodie.datasource.write.precombine.field":        "event_time",
		"hoodie.datasource.write.keygenerator.class":      "org.apache.hudi.keygen.ComplexKeyGenerator",
		"hoodie.datasource.write.hive_style_partitioning": fmt.Sprint(m.hive),

		"hoodie.index.type": "BUCKET", "hoodie.index.bucket.engine": "SIMPLE",
		"hoodie.bucket.index.num.buckets": fmt.Sprint(matrixBuckets), "hoodie.bucket.index.hash.field": "session_id",
		"hoodie.write.table.version": fmt.Sprint(m.version), "hoodie.write.auto.upgrade": "false", "hoodie.table.timeline.timezone": "UTC",

		"hoodie.insert.shuffle.parallelism": "2", "hoodie.upsert.shuffle.parallelism": "2", "hoodie.delete.shuffle.parallelism": "2",
		"hoodie.embed.timeline.server": "false", "hoodie.archive.automatic": "false", "hoodie.clean.automatic": "false",
		"hoodie.compact.inline": "false",
	}
	if m.version == hudi.Version9 {
		o["hoodie.record.merge.mode"] = "EVENT_TIME_ORDERING"
	} else {
		o["hoodie.datasource.write.payload.class"] = "org.apache.hudi.common.model.DefaultHoodieRecordPayload"
	}
	if m.bulk { // keys are looked up in the files
		o["hoodie.index.type"] = "SIMPLE"
	}
	maps.Copy(o, extra)
	return o
}

// sparkWrites lets Spark write a change, as an upsert and then a delete, and follows it in the model.
func (m *lakeTable) sparkWrites(ctx context.Context, t *testing.T, s *session, c change, extra map[string]string) {
	t.Helper()
	for _, part := range []struct {
		operation string
		rows      []columns
		change    change
	}{{"upsert", c.upserts, change{upserts: c.upserts}}, {"delete", c.deletes, change{deletes: c.deletes}}} {
		if len(part.rows) == 0 {
			continue
		}
		s.write(ctx, t, request{
			ID: m.name + ", " + part.operation, Path: m.path, Operation: part.operation, Schema: matrixDDL, Options: m.writerOptions(extra),
		}, part.rows)
		m.apply(ctx, t, m.lastCommit(ctx, t), part.change)
	}
}

// lastCommit is the newest ordinary commit on the timeline.
func (m *lakeTable) lastCommit(ctx context.Context, t *testing.T) timeline.Instant {
	t.Helper()
	action := timeline.Commit
	if m.kind == hudi.MergeOnRead {
		action = timeline.DeltaCommit
	}
	last := timeline.Instant("")
	for _, e := range m.timeline(ctx, t).Commits() {
		if e.Action == action {
			last = e.Instant
		}
	}
	if last == "" || len(m.history) > 0 && last <= m.now().instant {
		t.Fatalf("the newest commit is %q, and nothing was committed after %s", last, m.now().instant)
	}
	return last
}

// hasInstant reports whether the timeline shows an instant of an action.
func (m *lakeTable) hasInstant(ctx context.Context, t *testing.T, action timeline.Action) bool {
	t.Helper()
	for _, e := range m.timeline(ctx, t).Entries() {
		if e.Action == action {
			return true
		}
	}
	return false
}

// agree lets this library and the engines read the table as it is now.
func (m *lakeTable) agree(ctx context.Context, t *testing.T, step string, readers ...*session) {
	t.Helper()
	all := m.history
	m.history = all[len(all)-1:] // older states may be cleaned away
	defer func() { m.history = all }()
	for _, q := range m.queries(true, false) {
		if q.feature == "as of" {
			continue
		}
		q.ID += ", after " + step
		if err := m.scan(ctx, t, q); err != nil {
			t.Error(err)
		}
		for _, reader := range readers {
			if q.Type != "snapshot" && !reader.engine.spark() {
				continue
			}
			if err := m.ask(ctx, t, reader, q); err != nil {
				t.Error(err)
			}
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// handOver lets Spark do everything to a table of ours that a Spark user does, and this library goes on after each.
func handOver(ctx context.Context, t *testing.T, m *lakeTable, spark, rust *session) {
	w := m.create(ctx, t)
	m.commit(ctx, t, w, m.fresh(matrixRows))
	m.commit(ctx, t, w, m.mixed())

	m.sparkWrites(ctx, t, spark, m.mixed(), nil)
	m.agree(ctx, t, "Spark's upsert and delete", spark, rust)
	m.commit(ctx, t, w, m.mixed())
	m.agree(ctx, t, "our commit on Spark's", spark, rust)

	m.crash(ctx, t)
	m.sparkWrites(ctx, t, spark, change{upserts: m.mixed().upserts}, nil)
	if !m.hasInstant(ctx, t, timeline.Rollback) {
		t.Error("Spark did not roll our failed attempt back")
	}
	// Hudi 0.15 takes its commit's instant before the rollback's and then reads logs no further than the rollback (until the next commit).
	if spark.engine.bundle == "0.15.0" && m.kind == hudi.MergeOnRead {
		m.agree(ctx, t, "Spark's rollback of ours", rust)
	} else {
		m.agree(ctx, t, "Spark's rollback of ours", spark, rust)
	}
	w = acquire(ctx, t, m.open(ctx, t, nil))
	m.commit(ctx, t, w, m.mixed())
	m.agree(ctx, t, "our commit on Spark's rollback", spark, rust)

	compaction := map[string]string{}
	if m.kind == hudi.MergeOnRead {
		compaction["hoodie.compact.inline"], compaction["hoodie.compact.inline.max.delta.commits"] = "true", "1"
	}
	m.sparkWrites(ctx, t, spark, change{upserts: m.mixed().upserts}, compaction)
	if m.kind == hudi.MergeOnRead {
		if !m.hasInstant(ctx, t, timeline.Commit) {
			t.Error("Spark did not compact")
		}
		m.base = m.now().rows
	}
	m.agree(ctx, t, "Spark's compaction", spark, rust)
	m.commit(ctx, t, w, m.mixed())
	if m.kind == hudi.MergeOnRead {
		m.compact(ctx, t, w)
	}
	m.agree(ctx, t, "our commit on Spark's compaction", spark, rust)

	m.sparkWrites(ctx, t, spark, m.mixed(), map[string]string{
		"hoodie.clean.automatic": "true", "hoodie.cleaner.policy": "KEEP_LATEST_FILE_VERSIONS", "hoodie.cleaner.fileversions.retained": "1",
	})
	if !m.hasInstant(ctx, t, timeline.Clean) {
		t.Error("Spark did not clean")
	}
	m.agree(ctx, t, "Spark's clean", spark, rust)
	if _, err := w.Clean(ctx, hudi.CleanOptions{Policy: hudi.CleanByVersions, Retain: 1}); err != nil {
		t.Fatal(err)
	}
	m.commit(ctx, t, w, m.mixed())
	m.agree(ctx, t, "our clean on Spark's", spark, rust)
}

// takeOver lets Spark create a table, and this library adopt it and go on, in turns with Spark.
func takeOver(ctx context.Context, t *testing.T, m *lakeTable, spark, rust *session) {
	create := m.fresh(matrixRows)
	spark.write(ctx, t, request{
		ID: m.name + ", create", Path: m.path, Operation: "upsert", Mode: "overwrite", Schema: matrixDDL, Options: m.writerOptions(nil),
	}, create.upserts)
	m.apply(ctx, t, m.lastCommit(ctx, t), create)
	m.sparkWrites(ctx, t, spark, m.mixed(), nil)
	m.agree(ctx, t, "Spark's creation", spark, rust)

	for _, wrong := range []hudi.BucketIndex{{Buckets: 2 * matrixBuckets, Field: "session_id"}, {Buckets: matrixBuckets, Field: "event_id"}} {
		if _, err := hudi.Adopt(ctx, m.store, wrong, m.baseURI()); err == nil {
			t.Fatalf("adopted with the wrong index %+v, which makes duplicates", wrong)
		}
	}
	table, err := hudi.Adopt(ctx, m.store, hudi.BucketIndex{Buckets: matrixBuckets, Field: "session_id"}, m.baseURI())
	if err != nil {
		t.Fatal(err)
	}
	w := acquire(ctx, t, table)
	m.commit(ctx, t, w, m.mixed())
	m.agree(ctx, t, "our first commit", spark, rust)
	if m.kind == hudi.MergeOnRead {
		m.compact(ctx, t, w)
	}
	m.sparkWrites(ctx, t, spark, m.mixed(), nil)
	m.agree(ctx, t, "Spark's commit on ours", spark, rust)
	m.crash(ctx, t)
	m.commit(ctx, t, acquire(ctx, t, m.open(ctx, t, nil)), m.mixed())
	m.agree(ctx, t, "our rollback", spark, rust)
}

// full reports whether the long form is wanted: both styles of partition paths in every cell, and every cell with every engine.
func full() bool { return os.Getenv("PLAYHEAD_INTEROP") == "full" }

// turn is a way of writing a table in turns with an engine.
type turn struct {
	whose   string
	version int
	kind    hudi.TableType
	run     func(ctx context.Context, t *testing.T, m *lakeTable, spark, rust *session)
}

func (o turn) row() string {
	return fmt.Sprintf("version %d, %s, %s", o.version, typeName(o.kind), o.whose)
}

// shortTurns are the cells of the short form: each with one engine, so that every engine has some of both directions.
var shortTurns = map[string]string{
	"version 6, copy-on-write, created by this library": "spark-hudi-1.2.0",
	"version 6, copy-on-write, created by the engine":   "spark-hudi-0.15.0",
	"version 6, merge-on-read, created by this library": "spark-hudi-0.15.0",
	"version 6, merge-on-read, created by the engine":   "spark-hudi-1.1.1",
	"version 9, copy-on-write, created by this library": "spark-hudi-1.1.1",
	"version 9, copy-on-write, created by the engine":   "spark-hudi-1.2.0",
	"version 9, merge-on-read, created by this library": "spark-hudi-1.2.0",
	"version 9, merge-on-read, created by the engine":   "spark-hudi-1.1.1",
}

func turns() []turn {
	var list []turn
	for _, version := range tableVersions {
		for _, kind := range tableTypes {
			list = append(list, turn{"created by this library", version, kind, handOver}, turn{"created by the engine", version, kind, takeOver})
		}
	}
	return list
}

// TestHandOver lets each Spark write tables in turns with this library: tables of ours, and tables that Spark created.
func TestHandOver(t *testing.T) {
	install := peersDir(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	all := engines(t, install)
	for _, e := range all[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			for _, o := range turns() {
				if !full() && shortTurns[o.row()] != e.name {
					continue
				}
				for _, hive := range []bool{true, false} {
					if !e.knows(o.version) || !full() && hive != (o.kind == hudi.MergeOnRead) {
						continue
					}
					name := fmt.Sprintf("%s, hive %t", o.row(), hive)
					t.Run(name, func(t *testing.T) {
						t.Cleanup(func() { outcome.note(o.row(), e.name, failure(t)) })
						o.run(ctx, t, newTable(t, e.name+", "+name, o.version, o.kind, hive), shared.of(t, e), shared.of(t, all[0]))
					})
				}
			}
		})
	}
}

// failure is an error when the test has failed.
func failure(t *testing.T) error {
	if t.Failed() {
		return errors.New("the test failed")
	}
	return nil
}
