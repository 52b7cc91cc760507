package meta_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// archivedOf reads an archive file: its entries and their datums.
func archivedOf(tb testing.TB, data []byte) (entries []*meta.ArchivedEntry, datums [][]byte, schema string) {
	tb.Helper()
	for block, err := range logfile.Scan(bytes.NewReader(data), int64(len(data)), logfile.ScanOptions{}) {
		if err != nil {
			tb.Fatal(err)
		}
		schema = block.Header[logfile.Schema]
		dec, err := meta.NewArchiveDecoder(schema)
		if err != nil {
			tb.Fatal(err)
		}
		for datum, err := range logfile.Records(block) {
			if err != nil {
				tb.Fatal(err)
			}
			e, err := dec.Decode(datum)
			if err != nil {
				tb.Fatal(err)
			}
			entries, datums = append(entries, e), append(datums, datum)
		}
	}
	return entries, datums, schema
}

// TestArchivesOfHudi reads archives of both releases. What Hudi 1.2 wrote in our schema becomes datums of the same length and content:
// only the order of map entries is free.
func TestArchivesOfHudi(t *testing.T) {
	t.Parallel()
	entries, datums, schema := archivedOf(t, golden(t, "v6-cow-12.archive"))
	if schema != meta.ArchiveSchema {
		t.Error("the schema is not Hudi 1.2's")
	}
	if len(entries) < 15 || entries[0].Instant != "20261123050321947" || entries[0].Action != timeline.Commit ||
		entries[0].State != timeline.Requested || entries[2].State != timeline.Completed || entries[2].Transition == "" {
		t.Errorf("%d entries, from %+v", len(entries), entries[0])
	}
	dec, err := meta.NewArchiveDecoder(schema)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		datum, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := dec.Decode(datum)
		if err != nil || !reflect.DeepEqual(again, e) || len(datum) != len(datums[i]) {
			t.Errorf("%s became %+v of %d bytes, was %d: %v", e.FileName(), again, len(datum), len(datums[i]), err)
		}
	}
	old, _, _ := archivedOf(t, golden(t, "v6-mor-015.archive"))
	if len(old) != 12 || old[0].Action != timeline.DeltaCommit || old[2].Metadata["operationType"] != "UPSERT" {
		t.Errorf("%d entries of 0.15, from %+v", len(old), old[0])
	}
}

// TestNewArchivedEntry: every kind of file on a timeline becomes an entry that holds its content.
func TestNewArchivedEntry(t *testing.T) {
	t.Parallel()
	dec, err := meta.NewArchiveDecoder(meta.ArchiveSchema)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		action timeline.Action
		state  timeline.State
		field  string // one that the metadata must have
		want   any
	}{
		"v6-cow-015.commit":             {timeline.Commit, timeline.Completed, "operationType", "UPSERT"},
		"v6-cow-015.inflight":           {timeline.Commit, timeline.Inflight, "operationType", "UPSERT"},
		"v6-cow-015.replacecommit":      {timeline.ReplaceCommit, timeline.Completed, "operationType", "INSERT_OVERWRITE"},
		"v6-cow-015.rollback":           {timeline.Rollback, timeline.Completed, "totalFilesDeleted", int64(4)},
		"v6-cow-015.rollback.requested": {timeline.Rollback, timeline.Requested, "", nil},
		"v6-cow-015.clean":              {timeline.Clean, timeline.Completed, "totalFilesDeleted", int64(6)},
		"v6-cow-015.clean.requested":    {timeline.Clean, timeline.Requested, "policy", "KEEP_LATEST_COMMITS"},
		"v6-cow-015.clean.inflight":     {timeline.Clean, timeline.Inflight, "policy", "KEEP_LATEST_COMMITS"},
		"v6-cow-12.clean":               {timeline.Clean, timeline.Completed, "totalFilesDeleted", int64(8)},
	} {
		e := timeline.Entry{Instant: "20261123045604961", Action: tc.action, State: tc.state}
		entry, err := meta.NewArchivedEntry(e, golden(t, name), "20261123045605000")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		datum, err := entry.Encode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := dec.Decode(datum)
		if err != nil || got.Entry != e || got.Transition != entry.Transition || got.Metadata[tc.field] != tc.want || (got.Metadata == nil) != (tc.field == "") {
			t.Errorf("%s became %+v, %v", name, got, err)
		}
	}
	empty, err := meta.NewArchivedEntry(timeline.Entry{Instant: "20261123045604961", Action: timeline.Commit, State: timeline.Requested}, nil, "")
	if err != nil || empty.Metadata != nil {
		t.Errorf("an empty file: %+v, %v", empty, err)
	}
	for _, action := range []timeline.Action{timeline.Commit, timeline.Clean} {
		e := timeline.Entry{Instant: "20261123045604961", Action: action, State: timeline.Completed}
		for _, bad := range []string{"x", "[]", "Obj\x01"} {
			if _, err := meta.NewArchivedEntry(e, []byte(bad), ""); !errors.Is(err, meta.ErrArchive) {
				t.Errorf("%s of %q: %v", action, bad, err)
			}
		}
	}
	wrong, err := meta.NewArchivedEntry(timeline.Entry{Instant: "20261123045604961", Action: timeline.Commit, State: timeline.Completed}, []byte(`{"compacted":"x"}`), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Encode(); !errors.Is(err, meta.ErrArchive) {
		t.Errorf("a text for a boolean: %v", err)
	}
}

// FuzzArchivedEntry: outside bytes give an error or an entry, never a panic.
func FuzzArchivedEntry(f *testing.F) {
	_, datums, _ := archivedOf(f, golden(f, "v6-cow-12.archive"))
	f.Add(datums[0])
	f.Add(datums[1])
	dec, err := meta.NewArchiveDecoder(meta.ArchiveSchema)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := dec.Decode(data)
		if err != nil {
			return
		}
		_, _ = e.Encode() // an action of the entry may not fit its metadata
	})
}

// FuzzNewArchivedEntry: a timeline file's content gives an error or an entry that can be encoded or is refused, never a panic.
func FuzzNewArchivedEntry(f *testing.F) {
	f.Add(golden(f, "v6-cow-015.clean"))
	f.Add(golden(f, "v6-cow-015.commit"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, action := range []timeline.Action{timeline.Commit, timeline.Clean} {
			e, err := meta.NewArchivedEntry(timeline.Entry{Instant: "20261123045604961", Action: action, State: timeline.Completed}, data, "")
			if err == nil {
				_, _ = e.Encode()
			}
		}
	})
}

// TestArchiveRefusesEndlessSchemas: a schema whose record holds itself would be read without end, and that ends the process.
func TestArchiveRefusesEndlessSchemas(t *testing.T) {
	t.Parallel()
	const endless = `{"type":"record","name":"r","fields":[{"name":"r","type":"r"}]}`
	if _, err := meta.NewArchiveDecoder(endless); !errors.Is(err, meta.ErrArchive) {
		t.Errorf("decoder: %v", err)
	}
	file := append([]byte("Obj\x01"), 2)
	file = append(append(file, byte(2*len("avro.schema"))), "avro.schema"...)
	file = append(binary.AppendVarint(file, int64(len(endless))), endless...)
	file = append(file, 0)
	file = append(file, make([]byte, 16)...)
	file = append(file, 2, 0) // one record of no bytes
	file = append(file, make([]byte, 16)...)
	e := timeline.Entry{Instant: "20260101000000000", Action: timeline.Clean, State: timeline.Completed}
	if _, err := meta.NewArchivedEntry(e, file, ""); !errors.Is(err, meta.ErrArchive) {
		t.Errorf("entry: %v", err)
	}
}
