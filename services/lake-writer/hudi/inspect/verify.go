package inspect

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Options say what Verify cannot know from the table.
type Options struct {
	// Buckets and BucketField describe the bucket index of a table that another writer made; 0 when it has none, or to leave keys' buckets
	// unchecked. Tables of this library say it themselves.
	Buckets     int
	BucketField string // several with commas between; "" are all of the record key's fields, Hudi's default
	// Now is what instants are compared with; the zero time leaves that out.
	Now time.Time
}

// Verify judges a table by everything that its files say of one another: properties, timeline, commits, names, sizes, counts, rows, keys,
// footers, logs, partitions, markers, metadata table and HEAD. The codes tell them one by one. An error means that it could not look.
// A table that is written to meanwhile may be found to miss what was under way; the report then says so.
//
// It goes by partition and file group. It holds the listing and the active commits, the keys of one file group as hashes, and, where the
// table's buckets are not known, those of one partition.
func Verify(ctx context.Context, store storage.Store, o Options) (*Report, error) {
	v := &verifier{
		options: o, report: &Report{Format: ReportFormat, Findings: []Finding{}, NotChecked: []string{}},
		stats: make(map[string][]writtenStat), last: make(map[string]string), logs: make(map[string][]string),
		replaced: make(map[string][]string), plans: make(map[string]meta.CompactionOperation), deleted: make(map[string]bool), sizes: make(map[string]int64),
	}
	table, err := Open(ctx, store)
	switch {
	case errors.Is(err, meta.ErrProperties), errors.Is(err, timeline.ErrLayout):
		v.fault(CodeProperties, meta.PropertiesKey, "%v", err)
		v.report.NotChecked = append(v.report.NotChecked, "everything else: nothing can be read without "+meta.PropertiesKey)
		v.finish(v.report)
		return v.report, nil
	case err != nil:
		return nil, err
	}
	v.Table = table
	for _, step := range []func(context.Context) error{
		v.checkProperties, v.loadNote, v.checkTimeline, v.loadCommits, v.loadServices, v.checkSchemas, v.loadListing, v.checkNamed,
		v.checkPlacement, v.checkPartitions, v.checkMarkers, v.checkContents, v.checkCompactions, v.checkMetadataTable, v.checkHead,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	v.finish(v.report)
	return v.report, nil
}

// verifier is one run of Verify. Its steps go from what is cheap to what needs all data, each with what those before it gathered.
type verifier struct {
	*Table
	findings
	options Options
	report  *Report

	note    *meta.TableNote // nil when another writer made the table
	buckets buckets

	names    []string // of the timeline's files
	tl       *timeline.Timeline
	commits  []commit
	stats    map[string][]writtenStat            // by storage key: files that active commits brought
	last     map[string]string                   // by partition and file id: the base file that was named last
	logs     map[string][]string                 // by partition and file id: the log files named after it
	replaced map[string][]string                 // by partition: file ids that replacecommits took away
	plans    map[string]meta.CompactionOperation // by instant, partition and file id: what a compaction was to do
	deleted  map[string]bool                     // by storage key: what cleans and rollbacks say that they deleted
	restored bool                                // a restore is on the timeline: commits before it may name anything

	sizes map[string]int64 // by storage key: the listed data files
	view  fileslice.View
}

// commit is a completed write of the active timeline.
type commit struct {
	entry  timeline.Entry
	note   meta.CommitNote
	ours   bool // has a note
	schema string
}

// writtenStat is a write stat with the commit that holds it.
type writtenStat struct {
	meta.WriteStat
	entry     timeline.Entry
	partition string
	operation string
}

// checkProperties checks what engines refuse a table for, or read it wrong without a word.
func (v *verifier) checkProperties(context.Context) error {
	p := v.props
	v.report.Table = strings.TrimPrefix(p[meta.DatabaseName]+"."+p[meta.TableName], ".")
	v.report.Version, v.report.Type = p[meta.TableVersion], p[meta.TableType]
	if want := p.TableChecksum(); p[meta.Checksum] != "" && p[meta.Checksum] != want {
		v.fault(CodePropertiesChecksum, meta.PropertiesKey, "%s is %s, that of %s is %s", meta.Checksum, p[meta.Checksum], v.report.Table, want)
	}
	required := []string{meta.TableName, meta.TableType, meta.TimelineLayout}
	if v.layout == timeline.Layout1 {
		required = append(required, meta.TableVersion)
	}
	if v.layout == timeline.Layout2 && v.version() >= 9 {
		required = append(required, meta.MergeMode)
	}
	for _, key := range required {
		if p[key] == "" {
			v.fault(CodePropertiesRequired, meta.PropertiesKey, "no %s", key)
		}
	}
	return nil
}

// version is the table's version as a number, 0 when it has none.
func (t *Table) version() int {
	var n int
	if _, err := fmt.Sscanf(t.props[meta.TableVersion], "%d", &n); err != nil {
		return 0
	}
	return n
}

// loadNote reads what the table was created as; without a note the options say what its buckets are.
func (v *verifier) loadNote(ctx context.Context) error {
	v.buckets = buckets{count: v.options.Buckets, field: v.options.BucketField, keyFields: v.props.List(meta.RecordKeyFields)}
	data, _, err := v.store.Get(ctx, meta.TableNoteKey)
	if errors.Is(err, storage.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	note, err := meta.ParseTableNote(data)
	if err != nil {
		v.fault(CodeNote, meta.TableNoteKey, "%v", err)
		return nil
	}
	v.note = &note
	v.buckets.count, v.buckets.field = note.Buckets, note.BucketField
	return nil
}
