package inspect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Severity says what a finding means for the table's users.
type Severity string

// The severities.
const (
	Error   Severity = "error"   // rows are wrong or missing for some engine, or some engine refuses the table
	Warning Severity = "warning" // harmless as it is; it costs space, or becomes an error under further conditions
)

// Code names a kind of finding. Codes are stable: programs may decide by them.
type Code string

// The codes, by what they are about. Those marked W are warnings.
const (
	// hoodie.properties.
	CodeProperties         Code = "properties-malformed"
	CodePropertiesChecksum Code = "properties-checksum"
	CodePropertiesRequired Code = "properties-required" // a key without which engines fail or see nothing

	// The timeline.
	CodeTimelineOrder      Code = "timeline-order"      // commits do not follow one another in the order of their instants
	CodeTimelineCompletion Code = "timeline-completion" // layout 2: completed before it began
	CodeTimelineShared     Code = "timeline-shared"     // two actions have one instant
	CodeTimelineRequest    Code = "timeline-request"    // W: an instant without its requested file
	CodeTimelineFuture     Code = "timeline-future"     // W: an instant later than now
	CodeTimelinePending    Code = "timeline-pending"    // W: under way, or left behind
	CodeInstantMalformed   Code = "instant-malformed"   // an instant's file cannot be read
	CodeCommitOperation    Code = "commit-operation"    // an operation that Hudi does not know
	CodeCommitEmpty        Code = "commit-empty"        // W: a completed file without content: hudi-rs refuses the table
	CodeCommitPath         Code = "commit-path"         // a write stat whose path is missing or is no data file's

	// Schemas.
	CodeSchemaMissing   Code = "schema-missing" // W
	CodeSchemaMalformed Code = "schema-malformed"
	CodeSchemaEvolution Code = "schema-evolution" // a column went away, or changed its type otherwise than int to long
	CodeSchemaType      Code = "schema-type"      // W: a type that some engines read wrong or refuse

	// Data files as such.
	CodeFileMissing    Code = "file-missing"
	CodeFileGone       Code = "file-gone" // W: a superseded file is not there, and no clean says that it deleted it
	CodeFileSize       Code = "file-size"
	CodeFileNamedTwice Code = "file-named-twice" // by two commits, with different sizes
	CodeFileName       Code = "file-name"        // group, instant, partition or token do not agree with the commit
	CodeFileOlder      Code = "file-older"       // readers take an older file than the last commit of its group named
	CodeFileUnnamed    Code = "file-unnamed"     // readers show a file that its commit does not name
	CodeFileOrphan     Code = "file-orphan"      // W: no commit names it
	CodeFileDamaged    Code = "file-damaged"

	// Counts of a commit against what is in the files.
	CodeCountWrites    Code = "count-writes"    // numWrites
	CodeCountInserts   Code = "count-inserts"   // numInserts and numUpdateWrites
	CodeCountDeletes   Code = "count-deletes"   // numDeletes of a log
	CodeCountCompacted Code = "count-compacted" // the logs of a compaction

	// Rows and keys.
	CodeKeyDuplicate Code = "key-duplicate" // in a file, or in a partition after merging
	CodeKeyBucket    Code = "key-bucket"
	CodeBucketShared Code = "bucket-shared" // two file groups of a partition have one bucket
	CodeRowMeta      Code = "row-meta"      // a row's meta columns are missing, or are not those of its file
	CodeRowDerived   Code = "row-derived"   // a row's key or partition is not the one that its columns give

	// Footers of base files.
	CodeBloomMissing      Code = "bloom-missing" // W: an upsert of Spark by the bloom index breaks on it
	CodeBloomKey          Code = "bloom-key"
	CodeKeyRange          Code = "key-range" // the footer's least and greatest key are not those of the rows
	CodeDecimalStatistics Code = "decimal-statistics"
	CodeDecimalStorage    Code = "decimal-storage" // W: a decimal that is no fixed: Spark rewrites it with another value

	// Log files.
	CodeLogDamaged     Code = "log-damaged"
	CodeLogOrder       Code = "log-order"       // instants fall where log versions rise, or blocks follow a rollback of the future
	CodeLogOnCow       Code = "log-on-cow"      // of a copy-on-write table
	CodeLogAlone       Code = "log-alone"       // W: no base file: hudi-rs does not read it
	CodeLogUnsupported Code = "log-unsupported" // W: blocks that this library does not read

	// Partitions.
	CodePartitionMetafile Code = "partition-metafile" // missing or malformed: Hudi's readers leave the partition out
	CodePartitionDepth    Code = "partition-depth"

	// Markers.
	CodeMarkerAppend    Code = "marker-append" // from version 8 on: every later write of Spark fails
	CodeMarkerMalformed Code = "marker-malformed"
	CodeMarkerLeftover  Code = "marker-leftover" // W: of an instant that completed, or is on no timeline

	// The metadata table.
	CodeMetadataStale   Code = "mdt-stale" // engines that trust it see other files than there are
	CodeMetadataDamaged Code = "mdt-damaged"
	CodeMetadataUnused  Code = "mdt-unused" // W: it is there, and hoodie.properties does not name it

	// HEAD, of tables of this library.
	CodeHead     Code = "head-malformed"
	CodeHeadLast Code = "head-behind" // HEAD and the timeline do not have the same last commit
	CodeHeadNote Code = "head-note"   // HEAD's id, epoch or offsets are not those of its commit
	CodeNote     Code = "note-malformed"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Key      string   `json:"key"` // storage key of what it is about
	Text     string   `json:"text"`
}

// String is the finding as one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s %s: %s: %s", f.Severity, f.Code, f.Key, f.Text)
}

// ReportFormat is the format of a report's JSON. It rises when a field changes its meaning; new fields and codes do not raise it.
const ReportFormat = 1

// Report is what Verify found.
type Report struct {
	Format     int              `json:"format"` // ReportFormat
	Table      string           `json:"table"`
	Version    string           `json:"version"` // of the table, as in hoodie.properties
	Type       string           `json:"type"`
	Instant    timeline.Instant `json:"instant"` // the newest commit
	Partitions int              `json:"partitions"`
	Files      int              `json:"files"` // newest base file of each group
	Logs       int              `json:"logs"`  // log files on top of them
	Rows       int64            `json:"rows"`  // of the snapshot
	Bytes      int64            `json:"bytes"` // of files and logs
	Errors     int              `json:"errors"`
	Warnings   int              `json:"warnings"`
	Findings   []Finding        `json:"findings"` // by key, code and text
	// NotChecked says what Verify could not look at though it should, and why.
	NotChecked []string `json:"not_checked"`
}

// Has reports whether there is a finding of the code.
func (r *Report) Has(code Code) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Code == code })
}

// maxFindings keeps a file that is wrong throughout from filling the report.
const maxFindings = 10

// findings gathers what the checks say, so many of each key and code.
type findings struct {
	list   []Finding
	counts map[[2]string]int
}

func (f *findings) add(code Code, severity Severity, key, format string, args ...any) {
	if f.counts == nil {
		f.counts = make(map[[2]string]int)
	}
	id := [2]string{string(code), key}
	if f.counts[id]++; f.counts[id] <= maxFindings {
		f.list = append(f.list, Finding{code, severity, key, fmt.Sprintf(format, args...)})
	}
}

func (f *findings) fault(code Code, key, format string, args ...any) {
	f.add(code, Error, key, format, args...)
}

func (f *findings) warn(code Code, key, format string, args ...any) {
	f.add(code, Warning, key, format, args...)
}

// finish puts the findings into the report, in their order.
func (f *findings) finish(r *Report) {
	for i, found := range f.list {
		id := [2]string{string(found.Code), found.Key}
		if n := f.counts[id]; n > maxFindings {
			f.list = append(f.list, Finding{found.Code, f.list[i].Severity, found.Key, fmt.Sprintf("and %d more of this kind", n-maxFindings)})
			f.counts[id] = 0
		}
	}
	slices.SortStableFunc(f.list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text))
	})
	r.Findings = append(r.Findings, f.list...)
	for _, found := range r.Findings {
		if found.Severity == Error {
			r.Errors++
		} else {
			r.Warnings++
		}
	}
}
