package basefile

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile/pages"
)

// AppendMerged adds a record as a log block has it: Avro binary with the five meta fields in front, each a union of null and text. The row
// goes on under the commit time, sequence number and key that it has, as with AppendKept; its partition and file become this file's. The
// datum is not kept. writer is as in KeptRecord, of a schema without the meta fields or with them. After a *RecordError nothing of the
// record is in the file, and the writer goes on.
func (w *Writer) AppendMerged(datum []byte, writer int) error {
	if err := w.usable(); err != nil {
		return err
	}
	if writer < 0 || writer >= len(w.programs) {
		return &RecordError{Reason: fmt.Sprintf("writer schema %d of %d", writer, len(w.programs))}
	}
	if len(datum) > maxPayloadBytes {
		return &RecordError{Reason: fmt.Sprintf("record of %d bytes, %d are allowed", len(datum), maxPayloadBytes)}
	}
	fields, head, err := metaSpans(datum)
	if err != nil {
		return err
	}
	b := &w.batch
	start := len(b.arena)
	b.arena = append(b.arena, datum...)
	if err := b.run(&w.programs[writer], b.arena, start+head); err != nil {
		b.arena = b.arena[:start]
		b.truncate(b.rows, w.leaves)
		return err
	}
	for leaf := leafCommitTime; leaf <= leafRecordKey; leaf++ {
		c, f := &b.columns[leaf], fields[leaf]
		c.Values = append(c.Values, pages.Span(start+f[0], f[1]))
		c.Defs = append(c.Defs, 1)
	}
	if key := fields[leafRecordKey]; !w.cfg.LogBlock {
		w.keys.addBytes(datum[key[0]:][:key[1]])
	}
	b.rows++
	return w.flushFull()
}

// metaSpans finds the texts of the meta fields that a kept row needs, as begin and length, and where the other fields begin.
func metaSpans(datum []byte) (spans [leafFileName + 1][2]int, head int, err error) {
	bad := func(leaf int, reason string) error {
		return &RecordError{Path: MetaColumns()[leaf], Offset: head, Reason: reason}
	}
	for leaf := range spans {
		if head >= len(datum) {
			return spans, 0, bad(leaf, "record is cut off")
		}
		branch := datum[head]
		if head++; branch != 0 && branch != 2 { // 1, in zigzag
			return spans, 0, bad(leaf, "no union of null and text")
		}
		if branch == 2 {
			n, size := binary.Varint(datum[head:])
			if head += max(size, 0); size <= 0 || n < 0 || n > int64(len(datum)-head) {
				return spans, 0, bad(leaf, "text is cut off")
			}
			spans[leaf] = [2]int{head, int(n)}
			head += int(n)
		}
		if s := spans[leaf]; leaf <= leafRecordKey && (s[1] == 0 || !utf8.Valid(datum[s[0]:][:s[1]])) {
			return spans, 0, bad(leaf, fmt.Sprintf("value %q", datum[s[0]:][:s[1]]))
		}
	}
	return spans, head, nil
}
