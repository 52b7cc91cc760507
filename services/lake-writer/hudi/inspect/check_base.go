package inspect

import (
	"context"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/bloom"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// checkBase checks the rows and the footer of a group's base file.
func (p *partitionCheck) checkBase(ctx context.Context, s fileslice.Slice) error {
	v, key := p.v, s.Base.Key()
	o := open(ctx, v.store, key, s.Base.Size)
	file, err := basefile.OpenReader(o, s.Base.Size)
	if err == nil {
		err = p.checkRows(s, file)
	}
	if err == nil {
		err = v.checkDecimals(o, key, file)
	}
	return v.damaged(o, key, err)
}

func (p *partitionCheck) checkRows(s fileslice.Slice, file *basefile.Reader) error {
	v, key := p.v, s.Base.Key()
	c := rowCheck{
		p: p, file: s.Base, key: key, live: len(s.Logs) == 0, number: int32(len(p.names) - 1), own: newKeySet(),
		committed: make(map[string]bool), fields: v.derivedFields(s.Partition, file.Columns()),
	}
	filter, err := file.Bloom()
	c.filter = filter
	switch {
	case err != nil:
		v.fault(CodeBloomKey, key, "%v", err)
	case filter == nil:
		v.warn(CodeBloomMissing, key, "no bloom filter: an upsert of Spark by the bloom index breaks on it")
	}
	for row, err := range file.Rows(append(basefile.MetaColumns(), c.fields.columns...)) {
		if err != nil {
			return err
		}
		c.row(row)
	}
	if c.live {
		v.report.Rows += file.NumRows()
	}
	c.checkKeyRange(file.Footer())
	if stats := v.stats[key]; len(stats) > 0 {
		c.checkCounts(stats[len(stats)-1], file.NumRows())
	}
	return nil
}

// rowCheck checks the rows of one file.
type rowCheck struct {
	p      *partitionCheck
	file   fileslice.BaseFile
	key    string
	live   bool // no log changes its rows
	number int32
	filter *bloom.Filter
	own    *keySet // of the file
	fields derivedFields
	// committed remembers which commit times are those of commits: looking one up takes longer than a row.
	committed map[string]bool

	least, greatest string
	rows, fresh     int64 // fresh are of the file's own instant
}

func (c *rowCheck) row(row basefile.Row) {
	v := c.p.v
	var texts [5]string
	for i, value := range row.Values[:len(texts)] {
		text, ok := value.(string)
		if !ok {
			v.fault(CodeRowMeta, c.key, "a row without %s", row.Columns[i])
			return
		}
		texts[i] = text
	}
	commit, recordKey, partition, name := texts[0], texts[2], texts[3], texts[4]
	if _, twice := c.own.put(recordKey, 0); twice {
		v.fault(CodeKeyDuplicate, c.key, "key %s is in it twice", recordKey)
	}
	if c.live {
		c.p.seen(c.key, recordKey, c.number)
	}
	if partition != c.file.Partition {
		v.fault(CodeRowMeta, c.key, "key %s is of partition %s", recordKey, partition)
	}
	if name != c.file.Name() {
		v.fault(CodeRowMeta, c.key, "key %s names file %s", recordKey, name)
	}
	if !c.ofCommit(commit) {
		v.fault(CodeRowMeta, c.key, "key %s is of commit %s", recordKey, commit)
	}
	if reason := c.fields.disagree(recordKey, row.Values[len(texts):]); reason != "" {
		v.fault(CodeRowDerived, c.key, "key %s: %s", recordKey, reason)
	}
	if c.rows++; commit == string(c.file.Instant) {
		c.fresh++
	}
	if c.rows == 1 || recordKey < c.least {
		c.least = recordKey
	}
	if recordKey > c.greatest {
		c.greatest = recordKey
	}
	if c.filter != nil && !c.filter.Contains([]byte(recordKey)) {
		v.fault(CodeBloomKey, c.key, "key %s is not in the bloom filter", recordKey)
	}
	v.checkBucket(c.key, c.file.FileID, recordKey)
}

// ofCommit reports whether a row can be of a commit time: a committed one that is not later than the file's.
func (c *rowCheck) ofCommit(commit string) bool {
	ok, known := c.committed[commit]
	if !known {
		i := timeline.Instant(commit)
		ok = i <= c.file.Instant && c.p.v.tl.Committed(i)
		c.committed[commit] = ok
	}
	return ok
}

// checkBucket checks that a key hashes to its file group's bucket.
func (v *verifier) checkBucket(where, fileID, recordKey string) {
	if !v.buckets.known() {
		return
	}
	want, ok := v.buckets.of(recordKey)
	if !ok {
		v.fault(CodeKeyBucket, where, "key %s has no field %s", recordKey, v.buckets.field)
		return
	}
	if have, ok := keys.BucketOf(fileID); !ok || have != want {
		v.fault(CodeKeyBucket, where, "key %s belongs into bucket %d", recordKey, want)
	}
}

// checkKeyRange compares the footer's least and greatest key with the rows'. A file may have none.
func (c *rowCheck) checkKeyRange(f basefile.Footer) {
	if f.MinKey == "" && f.MaxKey == "" || c.rows == 0 {
		return
	}
	if c.least < f.MinKey || c.greatest > f.MaxKey {
		c.p.v.fault(CodeKeyRange, c.key, "keys %s to %s, the footer says %s to %s", c.least, c.greatest, f.MinKey, f.MaxKey)
	}
}

// checkCounts compares a write stat with the rows. Rows that a commit wrote carry its instant, unless it only moved them.
func (c *rowCheck) checkCounts(s writtenStat, rows int64) {
	v := c.p.v
	if s.NumWrites != rows {
		v.fault(CodeCountWrites, c.key, "%d rows, commit %s says %d", rows, s.entry.Instant, s.NumWrites)
	}
	said := s.NumInserts + s.NumUpdateWrites
	switch {
	case s.movesRows() || s.entry.Instant != c.file.Instant:
	case said != c.fresh:
		v.fault(CodeCountInserts, c.key, "%d rows of its commit %s, which says %d inserts and %d updates", c.fresh, s.entry.Instant, s.NumInserts, s.NumUpdateWrites)
	case strings.EqualFold(s.PrevCommit, meta.NoPreviousCommit) && s.NumInserts != rows:
		v.fault(CodeCountInserts, c.key, "%d rows in a new file, commit %s says %d inserts", rows, s.entry.Instant, s.NumInserts)
	}
}
