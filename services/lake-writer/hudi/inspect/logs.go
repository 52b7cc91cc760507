package inspect

import (
	"context"
	"path"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
)

// noteLog keeps what a commit says of a log file; ok is false for other files.
func (v *verifier) noteLog(group, key string) (ok bool) {
	if _, err := fileslice.ParseLogKey(key); err != nil {
		return false
	}
	v.logs[group] = append(v.logs[group], key)
	return true
}

// slice checks a file group's log files against what the commits named.
func (v *verifier) slice(s fileslice.Slice) {
	if len(s.Logs) > 0 && v.table.Type() != hudi.MergeOnRead {
		v.fault(s.Base.Key(), "%d log files on a copy-on-write file group", len(s.Logs))
	}
	there := make(map[string]bool, len(s.Logs))
	for _, l := range s.Logs {
		there[l.Key()] = true
		if stat, ok := v.stats[l.Key()]; ok && stat.FileSizeInBytes != l.Size {
			v.fault(l.Key(), "%d bytes, commit %s says %d", l.Size, stat.commit, stat.FileSizeInBytes)
		}
		v.report.Logs++
		v.report.Bytes += l.Size
	}
	for _, key := range v.logs[path.Join(s.Partition, s.FileID)] {
		if !there[key] {
			v.fault(key, "is missing: commit %s named it", v.stats[key].commit)
		}
	}
}

// merged reads every slice that has logs as a reader of the snapshot does, and counts the rows of the table anew.
func (v *verifier) merged(ctx context.Context) error {
	if v.report.Logs == 0 {
		return nil
	}
	var rows int64
	for row, err := range v.table.Scan(ctx, hudi.Query{Columns: []string{basefile.RecordKeyColumn}}) {
		if err != nil {
			v.fault("", "merging log files: %v", err)
			return ctx.Err()
		}
		if key, _ := row.Values[0].(string); key == "" {
			v.fault("", "merging log files: a row without %s", basefile.RecordKeyColumn)
		}
		rows++
	}
	v.report.Rows = rows
	return nil
}
