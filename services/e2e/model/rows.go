package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/playhead-pipeline/playhead/services/e2e/load"
)

// Columns whose values depend on the run and not on the event alone.
const (
	colReceivedAt  = "received_at"
	colSource      = "source"
	colTenant      = "tenant"
	colKafkaPart   = "_hoodie_kafka_source_partition"
	colKafkaOffset = "_hoodie_kafka_source_offset"
	colKafkaTime   = "_hoodie_kafka_source_timestamp"
	colCommitTime  = "_hoodie_commit_time"
	colCommitSeq   = "_hoodie_commit_seqno"
	colFileName    = "_hoodie_file_name"

	clockAllowance = time.Minute
	maxOffset      = 1<<32 - 2
)

// ownColumns are the columns that do not follow from the event.
var ownColumns = []string{
	colReceivedAt, colSource, colTenant, colKafkaPart, colKafkaOffset, colKafkaTime, colCommitTime, colCommitSeq, colFileName,
}

// rowChecker compares rows with the events that they should be.
type rowChecker struct {
	*checker
	table     *Snapshot
	want, got []byte
	event     load.Event
}

// place is where rows were found.
type place struct {
	slice   *FileSlice
	path    string // of the file, below the table
	instant string // of the base file; of the block when the rows lie in a log
	log     bool
}

// source returns what column _hoodie_file_name says in the place: the base file's name, or the file id of a log's group.
func (p place) source() string {
	if p.log {
		return p.slice.FileID
	}
	return p.path[strings.LastIndexByte(p.path, '/')+1:]
}

// knownColumns refuses a file with a column that nothing checks.
func knownColumns(names []string) error {
	for _, name := range names {
		if !slices.Contains(ownColumns, name) && !slices.ContainsFunc(expected, func(c column) bool { return c.name == name }) {
			return fmt.Errorf("column %s is not of the schema", name)
		}
	}
	return nil
}

// row books row i of a batch and compares all of its columns. A row that does not win has a better version of its key elsewhere in the
// slice: what it says is compared all the same, but it is not of the snapshot.
func (r *rowChecker) row(b batch, i int, at place, wins bool) {
	if wins {
		r.result.Rows++
	}
	if !at.log {
		r.result.BaseRows++
	}
	id, ok := load.ParseID(text(b, "event_id", i))
	if !ok {
		if wins {
			r.result.ForeignRows++
		}
		return
	}
	run, state := r.checker.event(id)
	switch {
	case run == nil:
		r.result.Phantom++
		r.problem("row of %s in %s, which nobody sent", id, at.path)
		return
	case !at.log && !state.based.Add(id.N), wins && !state.rows.Add(id.N):
		// Base files alone are what a read-optimised query shows; it may not see an event twice either.
		r.result.Duplicate++
		r.problem("row of %s in %s is not the first", id, at.path)
		return
	}
	if err := r.compare(b, i, at, id, wins); err != nil {
		r.result.Corrupt++
		r.problem("row of %s in %s: %v", id, at.path, err)
	}
}

// compare holds one row against the event that it should be.
func (r *rowChecker) compare(b batch, i int, at place, id load.ID, wins bool) error {
	run, state := r.checker.event(id)
	offset, err := number(b, colKafkaOffset, i)
	if err != nil {
		return err
	}
	if offset < 0 || offset > maxOffset {
		return fmt.Errorf("offset %d in Kafka", offset)
	}
	if wins {
		if missing := int(id.N) + 1 - len(state.offsets); missing > 0 {
			state.offsets = append(state.offsets, make([]uint32, missing)...)
		}
		state.offsets[id.N] = uint32(offset) + 1
	}
	run.gen.Fill(&r.event, id.Source, id.N)
	r.in.Masking.Apply(&r.event)
	for _, column := range expected {
		if err := r.cell(b, i, column); err != nil {
			return err
		}
	}
	if err := r.placement(b, i, at, offset); err != nil {
		return err
	}
	return r.times(b, i, run)
}

func (r *rowChecker) cell(b batch, i int, c column) error {
	r.want = c.put(r.want[:0], &r.event)
	got, found, err := b.put(r.got[:0], c.name, i)
	if err != nil {
		return fmt.Errorf("column %s: %w", c.name, err)
	}
	if !found {
		if len(r.want) == 1 && r.want[0] == kindNull {
			return nil // a file older than the column
		}
		return fmt.Errorf("column %s is missing", c.name)
	}
	r.got = got
	if !bytes.Equal(got, r.want) {
		return fmt.Errorf("column %s is canonical %q, want %q", c.name, got, r.want)
	}
	return nil
}

// placement checks whether the row lies where its key belongs, and what the pipeline says of where it came from.
func (r *rowChecker) placement(b batch, i int, at place, offset int64) error {
	if path := partitionPath(&r.event); path != at.slice.Partition {
		return fmt.Errorf("lies in partition %s, want %s", at.slice.Partition, path)
	}
	hash := bucketHash(r.event.SessionID)
	if r.table.buckets > 0 {
		if bucket := fmt.Sprintf("%08d-", hash%uint32(r.table.buckets)); !strings.HasPrefix(at.slice.FileID, bucket) {
			return fmt.Errorf("lies in file group %s, want bucket %s", at.slice.FileID, bucket)
		}
	}
	if name := text(b, colFileName, i); name != at.source() {
		return fmt.Errorf("column %s is %q, want %q", colFileName, name, at.source())
	}
	commit := text(b, colCommitTime, i)
	if commit == "" || commit > at.instant || at.log && commit != at.instant || !strings.HasPrefix(text(b, colCommitSeq, i), commit) {
		return fmt.Errorf("commit time %q and sequence number %q in a file of %s", commit, text(b, colCommitSeq, i), at.instant)
	}
	if source, tenant := text(b, colSource, i), text(b, colTenant, i); source == "" || tenant != r.in.Masking.Tenant {
		return fmt.Errorf("source %q and tenant %q are not what the gateway says", source, tenant)
	}
	partition, err := number(b, colKafkaPart, i)
	if err != nil {
		return err
	}
	if r.in.Partitions > 0 && partition != int64(hash%uint32(r.in.Partitions)) {
		return fmt.Errorf("comes from Kafka partition %d, where its session does not belong", partition)
	}
	if taken, known := r.table.taken[commit]; known {
		if o, ok := taken[int32(partition)]; !ok || offset < o.from || offset >= o.next {
			return fmt.Errorf("has offset %d of partition %d, of which commit %s took %d up to %d", offset, partition, commit, o.from, o.next)
		}
	}
	return nil
}

// times checks when the event was received.
func (r *rowChecker) times(b batch, i int, run *run) error {
	received, err := number(b, colReceivedAt, i)
	if err != nil {
		return err
	}
	kafka, err := number(b, colKafkaTime, i)
	if err != nil {
		return err
	}
	at := time.UnixMicro(received)
	if at.After(r.now.Add(clockAllowance)) || at.Before(time.UnixMicro(run.ledger.Params.BaseMicros).Add(-clockAllowance)) {
		return fmt.Errorf("received at %v, outside the run", at)
	}
	if delta := at.Sub(time.UnixMilli(kafka)); delta.Abs() > clockAllowance {
		return fmt.Errorf("received at %v but has Kafka time %v", at, time.UnixMilli(kafka))
	}
	return nil
}

// text returns a text cell, empty when it is missing, null or no text.
func text(b batch, name string, i int) string {
	var scratch [96]byte
	cell, found, err := b.put(scratch[:0], name, i)
	if err != nil || !found || cell[0] != kindText {
		return ""
	}
	_, n := binary.Uvarint(cell[1:])
	return string(cell[1+n:])
}

func number(b batch, name string, i int) (int64, error) {
	var scratch [16]byte
	cell, found, err := b.put(scratch[:0], name, i)
	if err != nil {
		return 0, fmt.Errorf("column %s: %w", name, err)
	}
	if !found || cell[0] != kindInt {
		return 0, fmt.Errorf("column %s is missing, null or no number", name)
	}
	v, _ := binary.Varint(cell[1:])
	return v, nil
}
