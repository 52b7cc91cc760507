package inspect

import (
	"context"
	"errors"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// maxFaultsPerFile keeps a file that is wrong throughout from filling the report.
const maxFaultsPerFile = 10

// files reads the newest file of each group.
func (v *verifier) files(ctx context.Context) error {
	partition := ""
	seen := make(map[string]string) // keys of one partition, and the file of each
	for _, s := range v.view.Slices {
		if !s.HasBase {
			continue
		}
		if s.Base.Partition != partition {
			partition = s.Base.Partition
			clear(seen)
		}
		v.report.Files++
		v.report.Bytes += s.Base.Size
		file, err := v.table.OpenFile(ctx, s.Base)
		if err == nil {
			err = v.rows(s.Base, file, seen)
		}
		if _, damaged := errors.AsType[*basefile.FileError](err); damaged || errors.Is(err, storage.ErrNotExist) {
			v.fault(s.Base.Key(), "%v", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rows checks each row's meta columns.
func (v *verifier) rows(f fileslice.BaseFile, file *basefile.Reader, seen map[string]string) error {
	key := f.Key()
	v.report.Rows += file.NumRows()
	if stat, ok := v.stats[key]; ok && stat.NumWrites != file.NumRows() {
		v.fault(key, "%d rows, commit %s says %d", file.NumRows(), stat.commit, stat.NumWrites)
	}
	filter, err := file.Bloom()
	if err != nil {
		return err
	}
	if filter == nil {
		v.fault(key, "no bloom filter: an upsert of Spark by the bloom index breaks on it")
	}
	c := rowCheck{v: v, file: f, key: key, footer: file.Footer(), filter: filter, seen: seen}
	for row, err := range file.Rows(basefile.MetaColumns()) {
		if err != nil {
			return err
		}
		c.row(row)
	}
	if c.faults > maxFaultsPerFile {
		v.fault(key, "%d further faults of rows", c.faults-maxFaultsPerFile)
	}
	return nil
}

// rowCheck checks the rows of one file.
type rowCheck struct {
	v      *verifier
	file   fileslice.BaseFile
	key    string
	footer basefile.Footer
	filter *bloom.Filter
	seen   map[string]string
	faults int
}

func (c *rowCheck) fault(format string, args ...any) {
	if c.faults++; c.faults <= maxFaultsPerFile {
		c.v.fault(c.key, format, args...)
	}
}

func (c *rowCheck) row(row basefile.Row) {
	values := make([]string, len(row.Values))
	for i, value := range row.Values {
		text, ok := value.(string)
		if !ok {
			c.fault("a row without %s", row.Columns[i])
			return
		}
		values[i] = text
	}
	commit, recordKey, partition, name := values[0], values[2], values[3], values[4]
	if other, twice := c.seen[recordKey]; twice {
		c.fault("key %s is in %s too", recordKey, other)
	}
	c.seen[recordKey] = c.key
	if partition != c.file.Partition {
		c.fault("key %s is of partition %s", recordKey, partition)
	}
	if name != c.file.Name() {
		c.fault("key %s names file %s", recordKey, name)
	}
	if i := timeline.Instant(commit); i > c.file.Instant || !c.v.view.Timeline.Committed(i) {
		c.fault("key %s is of commit %s", recordKey, commit)
	}
	if recordKey < c.footer.MinKey || recordKey > c.footer.MaxKey {
		c.fault("key %s is outside of the footer's %s to %s", recordKey, c.footer.MinKey, c.footer.MaxKey)
	}
	if c.filter != nil && !c.filter.Contains([]byte(recordKey)) {
		c.fault("key %s is not in the bloom filter", recordKey)
	}
	if note := c.v.note; note != nil {
		c.bucket(note, recordKey)
	}
}

// bucket checks that the key hashes to the file's bucket.
func (c *rowCheck) bucket(note *meta.TableNote, recordKey string) {
	value, ok := keyField(recordKey, note.BucketField)
	if !ok {
		c.fault("key %s has no field %s", recordKey, note.BucketField)
		return
	}
	want := keys.Bucket(note.Buckets, value)
	if have, ok := keys.BucketOf(c.file.FileID); !ok || have != want {
		c.fault("key %s belongs into bucket %d", recordKey, want)
	}
}

// keyField takes a field's value out of a complex key, whose values have no comma.
func keyField(recordKey, field string) (value string, ok bool) {
	for part := range strings.SplitSeq(recordKey, ",") {
		if value, ok = strings.CutPrefix(part, field+":"); ok {
			return value, true
		}
	}
	return "", false
}
