package inspect

import (
	"bytes"
	"encoding/json"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/internal/goldentest"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/txn"
)

// broken are deliberately broken writers: what each of them does to a table that is right, and what catches it.
var broken = []struct {
	name  string
	table func(t *testing.T) storage.Store
	spoil func(v victim)
	code  Code
	// also are codes that the same defect must bring: the more the engines trip over, the better.
	also []Code
}{
	{"wrong bucket hash", cow, func(v victim) {
		o := ownTableIn(v.T, v.Store, ownConfig(hudi.CopyOnWrite, hudi.Version6))
		o.next, o.bucketOf = 3, func(session string) int { return int(session[len(session)-1]) % 2 }
		o.commit(v.T)
	}, CodeKeyBucket, nil},
	{"no partition metafile", cow, func(v victim) { v.remove("day=2026-11-20/" + fileslice.PartitionMetafile) }, CodePartitionMetafile, nil},
	{"wrong checksum", cow, func(v victim) {
		v.edit(meta.PropertiesKey, meta.TableName+"=t", meta.TableName+"=u")
	}, CodePropertiesChecksum, nil},
	{"unsigned decimal statistics", cow, unsignedDecimals, CodeDecimalStatistics, nil},
	{"APPEND markers in version 9", own9, func(v victim) {
		log := v.last("day=", ".*.log.*")
		l, err := fileslice.ParseLogKey(log)
		if err != nil {
			v.Fatal(err)
		}
		v.put(meta.MarkerTypeKey(l.Instant), []byte(meta.MarkerType))
		v.put(meta.MarkerListKey(l.Instant), meta.EncodeMarkers([]meta.Marker{{File: log, Kind: meta.MarkerAppend}}))
	}, CodeMarkerAppend, []Code{CodeMarkerLeftover}},
	{"APPEND marker of its own", v9, func(v victim) {
		const instant = "20261123050626285"
		v.put(meta.MarkerFolder(instant)+v.last("dt=2026-01-01/hr=01/", ".*_"+instant+".log.*")+".marker.APPEND", nil)
	}, CodeMarkerAppend, nil},
	{"instants out of order", cow, func(v victim) {
		commits := v.keys(timeline.Prefix, "*.commit")
		first, _ := timeline.ParseFileName(path.Base(commits[1]))
		last, _ := timeline.ParseFileName(path.Base(commits[3]))
		at, err := first.Instant.Time()
		if err != nil {
			v.Fatal(err)
		}
		v.rename(last.Instant, timeline.Next(at, first.Instant))
	}, CodeTimelineOrder, []Code{CodeFileName, CodeHeadLast}},
	{"completed before the one before it", own9, func(v victim) {
		completed := v.keys(timeline.Layout2.Prefix(), "*.deltacommit")
		e, _ := timeline.Layout2.ParseFileName(path.Base(completed[1]))
		at, err := e.Completion.Time()
		if err != nil {
			v.Fatal(err)
		}
		late := e
		late.Completion = timeline.At(at.Add(time.Hour))
		v.put(late.Key(), v.get(e.Key()))
		v.remove(e.Key())
	}, CodeTimelineOrder, nil},
	{"log of another commit", own9, func(v victim) {
		v.recommit(func(c *meta.Commit) { // its logs are those of the commit before, as they are named in version 6
			earlier := v.keys("day=", ".*.log.*")[0]
			for _, stats := range c.PartitionToWriteStats {
				stats[0].Path = &earlier
			}
		})
	}, CodeFileName, nil},
	{"completed before it began", v9, func(v victim) {
		const from, to = "20261123050626285_20261123050630613", "20261123050626285_20261123050626280"
		v.put(".hoodie/timeline/"+to+".deltacommit", v.get(".hoodie/timeline/"+from+".deltacommit"))
		v.remove(".hoodie/timeline/" + from + ".deltacommit")
	}, CodeTimelineCompletion, nil},
	{"stale metadata table", withMetadata, func(v victim) {
		v.remove(".hoodie/metadata/.hoodie/20261123045816899.deltacommit") // of the last commit
	}, CodeMetadataStale, nil},
	{"no metadata table", withMetadata, func(v victim) {
		for _, key := range v.keys(".hoodie/metadata/", "*") {
			v.remove(key)
		}
	}, CodeMetadataStale, nil},
	{"wrong numWrites", cow, func(v victim) { v.restat(func(s *meta.WriteStat) { s.NumWrites-- }) }, CodeCountWrites, nil},
	{"wrong numWrites of a log", mor, func(v victim) { v.restat(func(s *meta.WriteStat) { s.NumWrites++ }) }, CodeCountWrites, nil},
	{"wrong numWrites of an older commit", cow, func(v victim) {
		key := v.keys(timeline.Prefix, "*.commit")[1]
		v.edit(key, `"numWrites": 1`, `"numWrites": 2`)
	}, CodeCountWrites, nil},
	{"wrong numInserts", cow, func(v victim) { v.restat(func(s *meta.WriteStat) { s.NumInserts++ }) }, CodeCountInserts, nil},
	{"wrong numInserts of a log", mor, func(v victim) { v.restat(func(s *meta.WriteStat) { s.NumInserts-- }) }, CodeCountInserts, nil},
	{"wrong numDeletes of a log", mor, func(v victim) { v.restat(func(s *meta.WriteStat) { s.NumDeletes++ }) }, CodeCountDeletes, nil},
	{"wrong totalLogRecords", compacted, func(v victim) { v.restat(func(s *meta.WriteStat) { s.TotalLogRecords++ }) }, CodeCountCompacted, nil},
	{"wrong totalLogSizeCompacted", compacted, func(v victim) { v.restat(func(s *meta.WriteStat) { s.TotalLogSizeCompacted++ }) }, CodeCountCompacted, nil},
	{"wrong totalLogFilesCompacted", compacted, func(v victim) { v.restat(func(s *meta.WriteStat) { s.TotalLogFilesCompacted++ }) }, CodeCountCompacted, nil},
	{"wrong file size", cow, func(v victim) { v.restat(func(s *meta.WriteStat) { s.FileSizeInBytes++ }) }, CodeFileSize, nil},
	{"wrong file size of a log", mor, func(v victim) { v.restat(func(s *meta.WriteStat) { s.FileSizeInBytes = 0 }) }, CodeFileSize, nil},
	{"duplicate keys", cow, func(v victim) { v.addRow("", "", "2026-11-20") }, CodeKeyDuplicate, nil},
	{"key of other columns", cow, func(v victim) { v.addRow("other", "e-x", "2026-11-20") }, CodeRowDerived, nil},
	{"row of another partition", cow, func(v victim) { v.addRow("other", "other", "2026-11-21") }, CodeRowDerived, nil},
	{"missing file", cow, func(v victim) { v.remove(v.restat(func(*meta.WriteStat) {})) }, CodeFileMissing, []Code{CodeFileOlder}},
	{"missing log", mor, func(v victim) { v.remove(v.restat(func(*meta.WriteStat) {})) }, CodeFileMissing, nil},
	{"truncated log", mor, func(v victim) {
		log := v.restat(func(*meta.WriteStat) {})
		data := v.get(log)
		v.put(log, data[:len(data)-3])
	}, CodeLogDamaged, []Code{CodeFileSize}},
	{"truncated base file", cow, func(v victim) {
		file := v.restat(func(*meta.WriteStat) {})
		data := v.get(file)
		v.put(file, data[:len(data)-3])
	}, CodeFileDamaged, []Code{CodeFileSize}},
	{"file that no commit names, shown", cow, func(v victim) {
		v.recommit(func(c *meta.Commit) {
			for partition := range c.PartitionToWriteStats {
				delete(c.PartitionToWriteStats, partition)
				return
			}
		})
	}, CodeFileUnnamed, nil},
	{"log that no commit names, shown", mor, func(v victim) {
		v.recommit(func(c *meta.Commit) { clear(c.PartitionToWriteStats) })
	}, CodeFileUnnamed, nil},
	{"file of nobody", cow, func(v victim) {
		f, _ := fileslice.ParseKey(v.restat(func(*meta.WriteStat) {}))
		data := v.get(f.Key())
		f.Instant = "20991231235959999"
		v.put(f.Key(), data)
	}, CodeFileOrphan, nil},
	{"log of nobody", mor, func(v victim) {
		e, _ := timeline.ParseFileName(path.Base(v.last(timeline.Prefix, "*.deltacommit")))
		for _, key := range v.keys(timeline.Prefix, string(e.Instant)+".*") {
			v.remove(key)
		}
	}, CodeFileOrphan, []Code{CodeHeadLast}},
	{"superseded file gone without a clean", cow, func(v victim) { v.remove(v.keys("day=", "*.parquet")[0]) }, CodeFileGone, nil},
	{"file of two sizes", cow, func(v victim) {
		v.recommit(func(c *meta.Commit) {
			for p, stats := range c.PartitionToWriteStats {
				again := stats[0]
				again.FileSizeInBytes--
				c.PartitionToWriteStats[p] = append([]meta.WriteStat{again}, stats...)
			}
		})
	}, CodeFileNamedTwice, nil},
	{"file of another group", cow, func(v victim) { v.restat(func(s *meta.WriteStat) { s.FileID = "00000009-" + s.FileID[9:] }) }, CodeFileName, nil},
	{"Parquet file of no name", cow, func(v victim) { v.put("day=2026-11-20/part-0.parquet", nil) }, CodeFileName, nil},
	{"stat without path", cow, func(v victim) { v.restat(func(s *meta.WriteStat) { s.Path = nil }) }, CodeCommitPath, nil},
	{"log version of another", mor, func(v victim) { v.restat(func(s *meta.WriteStat) { s.LogVersion++ }) }, CodeFileName, nil},
	{"logs swapped", mor, func(v victim) {
		logs := v.keys("day=2026-11-20", ".00000000*.log.*")
		a, b := v.get(logs[0]), v.get(logs[1])
		v.put(logs[0], b)
		v.put(logs[1], a)
	}, CodeLogOrder, nil},
	{"logs without a base file", mor, func(v victim) { v.remove(v.last("day=", "*.parquet")) }, CodeLogAlone, []Code{CodeFileMissing}},
	{"block of HFiles", mor, func(v victim) {
		log := v.restat(func(*meta.WriteStat) {})
		e, _ := timeline.ParseFileName(path.Base(v.last(timeline.Prefix, "*.deltacommit")))
		block := logfile.Block{Type: logfile.HFileData, Header: map[logfile.HeaderKey]string{logfile.InstantTime: string(e.Instant)}}
		v.put(log, logfile.AppendBlock(v.get(log), block))
	}, CodeLogUnsupported, nil},
	{"decimals in an INT64", cow, longDecimals, CodeDecimalStorage, nil},
	{"metadata table cut off", withMetadata, func(v victim) {
		file := v.last(".hoodie/metadata/files/", "*.hfile")
		v.put(file, v.get(file)[:1000])
	}, CodeMetadataDamaged, nil},
	{"commit that began before its rollback", mor, func(v victim) {
		log := v.restat(func(*meta.WriteStat) {})
		rollback := logfile.RollbackBlock("20991231235959000", "20261124000000000")
		v.put(log, append(logfile.AppendBlock(nil, rollback), v.get(log)...))
	}, CodeLogOrder, nil},
	{"log on copy-on-write", cow, func(v victim) {
		f, _ := fileslice.ParseKey(v.restat(func(*meta.WriteStat) {}))
		v.put(fileslice.LogFile{Partition: f.Partition, FileID: f.FileID, Instant: f.Instant, Version: 1}.Key(), nil)
	}, CodeLogOnCow, nil},
	{"rows of another partition", cow, func(v victim) {
		files := v.keys("day=", "*.parquet")
		v.put(files[len(files)-1], v.get(files[0]))
	}, CodeRowMeta, []Code{CodeFileSize}},
	{"a column is gone", cow, func(v victim) {
		v.recommit(func(c *meta.Commit) {
			c.ExtraMetadata[meta.SchemaKey] = strings.Replace(c.ExtraMetadata[meta.SchemaKey], `"name":"event_time"`, `"name":"event_hour"`, 1)
		})
	}, CodeSchemaEvolution, nil},
	{"a long became an int", cow, func(v victim) {
		v.recommit(func(c *meta.Commit) {
			c.ExtraMetadata[meta.SchemaKey] = strings.Replace(c.ExtraMetadata[meta.SchemaKey], `{"type":"long","logicalType":"timestamp-micros"}`, `"int"`, 1)
		})
	}, CodeSchemaEvolution, nil},
	{"milliseconds", cow, func(v victim) {
		v.recommit(func(c *meta.Commit) {
			c.ExtraMetadata[meta.SchemaKey] = strings.Replace(c.ExtraMetadata[meta.SchemaKey], "timestamp-micros", "timestamp-millis", 1)
		})
	}, CodeSchemaType, nil},
	{"no schema", cow, func(v victim) { v.recommit(func(c *meta.Commit) { delete(c.ExtraMetadata, meta.SchemaKey) }) }, CodeSchemaMissing, nil},
	{"malformed schema", cow, func(v victim) { v.recommit(func(c *meta.Commit) { c.ExtraMetadata[meta.SchemaKey] = "{" }) }, CodeSchemaMalformed, nil},
	{"unknown operation", cow, func(v victim) { v.recommit(func(c *meta.Commit) { c.OperationType = "REPLACE" }) }, CodeCommitOperation, nil},
	{"empty operation", cow, func(v victim) {
		v.edit(v.last(timeline.Prefix, "*.commit"), `"operationType": "UPSERT"`, `"operationType": ""`)
	}, CodeCommitOperation, nil},
	{"malformed commit", cow, func(v victim) { v.put(v.keys(timeline.Prefix, "*.commit")[1], []byte("{")) }, CodeInstantMalformed, nil},
	{"empty commit", cow, func(v victim) { v.put(v.keys(timeline.Prefix, "*.commit")[0], nil) }, CodeCommitEmpty, nil},
	{"malformed clean", cleaned, func(v victim) { v.put(v.last(timeline.Prefix, "*.clean"), []byte("Obj\x01")) }, CodeInstantMalformed, nil},
	{"no requested file", cow, func(v victim) { v.remove(v.last(timeline.Prefix, "*.commit.requested")) }, CodeTimelineRequest, nil},
	{"two actions of one instant", cow, func(v victim) {
		v.put(strings.TrimSuffix(v.last(timeline.Prefix, "*.commit"), "commit")+"clean.requested", nil)
	}, CodeTimelineShared, []Code{CodeTimelinePending}},
	{"instant of the future", cow, func(v victim) { v.put(".hoodie/29990101000000000.commit.requested", nil) }, CodeTimelineFuture, nil},
	{"left behind", cow, func(v victim) { v.put(".hoodie/20261123050626285.commit.requested", nil) }, CodeTimelinePending, nil},
	{"wrong depth", cow, func(v victim) {
		v.edit("day=2026-11-20/"+fileslice.PartitionMetafile, "partitionDepth=1", "partitionDepth=2")
	}, CodePartitionDepth, nil},
	{"no bloom filter", cow, func(v victim) {
		v.edit(v.last("day=", "*.parquet"), "org.apache.hudi.bloomfilter", "org.apache.hudi.bloomfiltex")
	}, CodeBloomMissing, nil},
	{"bloom filter of other keys", cow, func(v victim) {
		file := v.restat(func(*meta.WriteStat) {})
		filter := v.footer(file, "org.apache.hudi.bloomfilter")
		v.edit(file, filter, filter[:80]+strings.Repeat("A", len(filter)-88)+filter[len(filter)-8:]) // no bit is set
	}, CodeBloomKey, nil},
	{"least key too great", cow, func(v victim) {
		file := v.restat(func(*meta.WriteStat) {})
		least := v.footer(file, "hoodie_min_record_key")
		data := v.get(file)
		at := bytes.LastIndex(data, []byte("hoodie_min_record_key"))
		v.put(file, append(data[:at:at], bytes.Replace(data[at:], []byte(least), []byte(strings.Replace(least, "s-", "t-", 1)), 1)...))
	}, CodeKeyRange, nil},
	{"no table type", cow, func(v victim) { v.edit(meta.PropertiesKey, meta.TableType+"=COPY_ON_WRITE", "") }, CodePropertiesRequired, nil},
	{"no properties", cow, func(v victim) { v.edit(meta.PropertiesKey, meta.TimelineLayout+"=1", meta.TimelineLayout+"=7") }, CodeProperties, nil},
	{"metadata table that is not named", cow, func(v victim) { v.put(".hoodie/metadata/.hoodie/hoodie.properties", nil) }, CodeMetadataUnused, nil},
	{"marker of no kind", cow, func(v victim) {
		v.put(meta.MarkerTypeKey("20261123050626285"), []byte(meta.MarkerType))
		v.put(meta.MarkerListKey("20261123050626285"), []byte("day=2026-11-20/x.parquet.marker.CREATE\n"))
	}, CodeMarkerMalformed, nil},
	{"markers without type", cow, func(v victim) { v.put(meta.MarkerListKey("20261123050626285"), nil) }, CodeMarkerMalformed, nil},
	{"malformed HEAD", cow, func(v victim) { v.put(txn.Key, []byte("{")) }, CodeHead, nil},
	{"HEAD of another commit", cow, func(v victim) { v.edit(txn.Key, `"instant":"20`, `"instant":"21`) }, CodeHeadLast, nil},
	{"HEAD of other offsets", cow, func(v victim) { v.edit(txn.Key, `"offsets":{"topic":{"0":150}}`, `"offsets":{"topic":{"0":151}}`) }, CodeHeadNote, nil},
	{"malformed note", cow, func(v victim) { v.put(meta.TableNoteKey, []byte("{")) }, CodeNote, nil},
	{"two groups of a bucket", cow, func(v victim) {
		f, _ := fileslice.ParseKey(v.restat(func(*meta.WriteStat) {}))
		data := v.get(f.Key())
		f.FileID = f.FileID[:9] + "1111" + f.FileID[13:]
		v.put(f.Key(), data)
	}, CodeBucketShared, []Code{CodeFileUnnamed}},
}

func cow(t *testing.T) storage.Store { return newOwnTable(t, hudi.CopyOnWrite).commits(t, 3).Store }

func mor(t *testing.T) storage.Store { return newOwnTable(t, hudi.MergeOnRead).commits(t, 3).Store }

func v9(t *testing.T) storage.Store { return goldentest.Table(t, "../testdata/v9-mor-12.zip") }

func withMetadata(t *testing.T) storage.Store {
	return goldentest.Table(t, "testdata/v6-cow-015-meta.zip")
}

func own9(t *testing.T) storage.Store {
	return ownTableIn(t, storage.NewMem(), ownConfig(hudi.MergeOnRead, hudi.Version9)).commits(t, 3).Store
}

func compacted(t *testing.T) storage.Store {
	table := newOwnTable(t, hudi.MergeOnRead).commits(t, 3)
	if _, err := table.writer.Compact(t.Context(), hudi.CompactOptions{}); err != nil {
		t.Fatal(err)
	}
	return table.Store
}

func cleaned(t *testing.T) storage.Store {
	table := newOwnTable(t, hudi.CopyOnWrite).commits(t, 3)
	if _, err := table.writer.Clean(t.Context(), hudi.CleanOptions{Retain: 1}); err != nil {
		t.Fatal(err)
	}
	return table.Store
}

// instantsNow is what the tables' instants are compared with.
var instantsNow = time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)

// TestUnbroken: the tables that the broken writers get have no finding before.
func TestUnbroken(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]func(*testing.T) storage.Store{
		"copy-on-write": cow, "merge-on-read": mor, "version 9": own9, "Spark's version 9": v9, "metadata table": withMetadata,
		"compacted": compacted, "cleaned": cleaned,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := verify(t, table(t), Options{Now: instantsNow}); len(r.Findings) > 0 {
				t.Errorf("findings %v", r.Findings)
			}
		})
	}
}

// TestBrokenWriters: what a broken writer does is caught by its code.
func TestBrokenWriters(t *testing.T) {
	t.Parallel()
	for _, tc := range broken {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			store := tc.table(t)
			tc.spoil(victim{t, store})
			r := verify(t, store, Options{Now: instantsNow})
			for _, code := range append(tc.also, tc.code) {
				if !r.Has(code) {
					t.Errorf("no %s among %v", code, r.Findings)
				}
			}
			if r.Errors+r.Warnings != len(r.Findings) {
				t.Errorf("%d errors and %d warnings in %d findings", r.Errors, r.Warnings, len(r.Findings))
			}
		})
	}
}

// TestEveryCodeIsShown: each code of the package is brought about by some broken writer.
func TestEveryCodeIsShown(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("finding.go")
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, tc := range broken {
		for _, code := range append(tc.also, tc.code) {
			shown[string(code)] = true
		}
	}
	codes := regexp.MustCompile(`Code = "([a-z-]+)"`).FindAllSubmatch(source, -1)
	if len(codes) < 40 {
		t.Fatalf("%d codes found in the source", len(codes))
	}
	for _, code := range codes {
		if !shown[string(code[1])] {
			t.Errorf("no broken writer for %s", code[1])
		}
	}
}

// TestReportIsStable: the report's JSON has the documented fields, and a second look gives the same one.
func TestReportIsStable(t *testing.T) {
	t.Parallel()
	store := mor(t)
	v := victim{t, store}
	v.remove(v.restat(func(s *meta.WriteStat) { s.NumWrites++ }))
	var texts []string
	for range 3 {
		data, err := json.Marshal(verify(t, store, Options{}))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(data))
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("differ:\n%s\n%s\n%s", texts[0], texts[1], texts[2])
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(texts[0]), &fields); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bytes", "errors", "files", "findings", "format", "instant", "logs", "not_checked", "partitions", "rows", "table", "type", "version", "warnings",
	}
	if have := sortedKeys(fields); !slices.Equal(have, want) {
		t.Errorf("fields %q", have)
	}
	if first := fields["findings"].([]any)[0].(map[string]any); !slices.Equal(sortedKeys(first), []string{"code", "key", "severity", "text"}) {
		t.Errorf("finding %v", first)
	}
}
