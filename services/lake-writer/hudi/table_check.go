package hudi

import (
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/merge"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// A rule allows some values of a property. A missing property counts as "".
type rule struct {
	property string
	allowed  []string
	reason   string
}

// readRules are what reading relies on. What engines take for granted when a key is missing is taken for granted here.
var readRules = []rule{
	{meta.TableVersion, []string{"6", "8", "9"}, "only table versions 6, 8 and 9 are supported"},
	{meta.TimelinePath, []string{"", "timeline"}, "only the default place of the timeline is supported"},
	{meta.PartialUpdateMode, []string{""}, "partial updates are not supported"},
	{meta.TableType, []string{"COPY_ON_WRITE", "MERGE_ON_READ"}, "unknown table type"},
	{meta.TableFormat, []string{"", "native"}, "only Hudi's own format is supported"},
	{meta.BaseFileFormat, []string{"", "PARQUET"}, "only Parquet base files are supported"},
	{meta.BootstrapBasePath, []string{""}, "bootstrapped tables are not supported"},
	{meta.CDCEnabled, []string{"", "false"}, "change data capture is not supported"},
	{meta.PopulateMetaFields, []string{"", "true"}, "tables without meta columns are not supported"},
	{meta.DropPartitionColumns, []string{"", "false"}, "base files without partition columns are not supported"},
	{meta.MetafileBaseFormat, []string{"", "false"}, "partition metafiles in the base format are not supported"},
	{meta.HiveStyle, []string{"", "true", "false"}, "not a boolean"},
}

// writeRules are what writing relies on beyond them.
var writeRules = []rule{
	{meta.TableVersion, []string{"6", "9"}, "only table versions 6 and 9 can be written"},
	{meta.PayloadClass, []string{"", defaultPayload}, "only merging by the ordering field is supported"},
	{meta.MergeMode, []string{"", "EVENT_TIME_ORDERING"}, "only merging by the ordering field is supported"},
	{meta.URLEncode, []string{"", "true", "false"}, "not a boolean"},
	{meta.TimelineTimezone, []string{"", "UTC"}, "only UTC instants can be written"},
}

const defaultPayload = "org.apache.hudi.common.model.DefaultHoodieRecordPayload"

func checkReadable(p meta.Properties) error {
	if p[meta.TableName] == "" {
		return &UnsupportedError{meta.TableName, "", "the table has no name"}
	}
	if err := checkRules(p, readRules); err != nil {
		return err
	}
	layout := timeline.Layout2
	if p[meta.TableVersion] == "6" {
		layout = timeline.Layout1
	}
	if have := p[meta.TimelineLayout]; have != layout.String() {
		return &UnsupportedError{meta.TimelineLayout, have, "table version " + p[meta.TableVersion] + " has layout " + layout.String()}
	}
	return nil
}

func checkWritable(p meta.Properties) error {
	if err := checkReadable(p); err != nil {
		return err
	}
	if _, err := readGenerator(p); err != nil {
		return err
	}
	return checkRules(p, writeRules)
}

func checkRules(p meta.Properties, rules []rule) error {
	for _, r := range rules {
		value := p[r.property]
		if !slices.ContainsFunc(r.allowed, func(a string) bool { return strings.EqualFold(a, value) }) {
			return &UnsupportedError{r.property, value, r.reason}
		}
	}
	return nil
}

// mergeRule is how log records of a table are merged: by its ordering field, or by what was written last.
func mergeRule(p meta.Properties) (ordering string, mode merge.Mode, err error) {
	fields := p.List(meta.OrderingFields, meta.PrecombineField)
	if len(fields) > 1 {
		return "", 0, &UnsupportedError{meta.OrderingFields, p.First(meta.OrderingFields), "merging by several ordering fields is not supported"}
	}
	if len(fields) == 1 {
		ordering = fields[0]
	}
	switch m := p.First(meta.MergeMode); m {
	case "EVENT_TIME_ORDERING":
		return ordering, merge.EventTime, nil
	case "COMMIT_TIME_ORDERING":
		return ordering, merge.CommitTime, nil
	case "":
	default:
		return "", 0, &UnsupportedError{meta.MergeMode, m, "only merging by ordering field or commit time is supported"}
	}
	switch class := p[meta.PayloadClass]; class {
	case defaultPayload, "org.apache.hudi.common.model.EventTimeAvroPayload":
		return ordering, merge.EventTime, nil
	case "org.apache.hudi.common.model.OverwriteWithLatestAvroPayload":
		return ordering, merge.CommitTime, nil
	case "":
		if ordering == "" {
			return "", merge.CommitTime, nil
		}
		return ordering, merge.EventTime, nil
	default:
		return "", 0, &UnsupportedError{meta.PayloadClass, class, "only merging by ordering field or commit time is supported"}
	}
}
