package meta

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/hamba/avro/v2"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// ErrArchive: bytes are no entry of an archived timeline, or cannot become one.
var ErrArchive = errors.New("malformed archived instant")

// ArchiveSchema is the Avro schema of what an archive of layout 1 holds (HoodieArchivedMetaEntry), as Hudi 1.2 embeds it in the archives of
// tables of version 6. Hudi 0.15 goes on from such an archive.
//
//go:embed archive_schema.avsc
var ArchiveSchema string

var archiveSchema = sync.OnceValues(func() (avro.Schema, error) { return parseSchema(ArchiveSchema) })

// ArchivedEntry is one state of an instant in the archive: every state is an entry of its own.
type ArchivedEntry struct {
	timeline.Entry
	// Transition is when the state was reached, in the form of an instant; "" in archives of old releases.
	Transition timeline.Instant
	// Metadata is what the state's file held, with Avro's field names, as nil, bool, int64, float64, string, []byte, []any and
	// map[string]any. It is nil for a state whose file says nothing.
	Metadata map[string]any
}

// archiveFields are the fields of HoodieArchivedMetaEntry that hold metadata.
var archiveFields = []string{
	"hoodieCommitMetadata", "hoodieCleanMetadata", "hoodieCompactionMetadata", "hoodieRollbackMetadata", "hoodieSavePointMetadata",
	"hoodieCompactionPlan", "hoodieCleanerPlan", "hoodieReplaceCommitMetadata", "hoodieRequestedReplaceMetadata",
	"HoodieInflightReplaceMetadata", "hoodieIndexCommitMetadata",
}

// archiveField is the field that holds the metadata of an action's state (MetadataConversionUtils.createMetaWrapper); "" for none. json is
// true when the state's file is JSON.
func archiveField(e timeline.Entry) (field string, isJSON bool) {
	switch e.Action {
	case timeline.Commit, timeline.DeltaCommit:
		return "hoodieCommitMetadata", true
	case timeline.ReplaceCommit:
		switch e.State {
		case timeline.Completed:
			return "hoodieReplaceCommitMetadata", true
		case timeline.Inflight:
			return "HoodieInflightReplaceMetadata", true
		default:
			return "hoodieRequestedReplaceMetadata", false
		}
	case timeline.Compaction, timeline.LogCompaction:
		if e.State == timeline.Requested {
			return "hoodieCompactionPlan", false
		}
	case timeline.Clean:
		if e.State == timeline.Completed {
			return "hoodieCleanMetadata", false
		}
		return "hoodieCleanerPlan", false
	case timeline.Rollback:
		if e.State == timeline.Completed {
			return "hoodieRollbackMetadata", false
		}
	}
	return "", false
}

// NewArchivedEntry makes the entry of an instant's state from the content of its file.
func NewArchivedEntry(e timeline.Entry, content []byte, transition timeline.Instant) (*ArchivedEntry, error) {
	entry := &ArchivedEntry{Entry: e, Transition: transition}
	field, isJSON := archiveField(e)
	if field == "" || len(content) == 0 {
		return entry, nil
	}
	var v any
	var err error
	if isJSON {
		dec := json.NewDecoder(bytes.NewReader(content))
		dec.UseNumber() // counters do not fit into a float
		err = dec.Decode(&v)
	} else {
		v, err = readContainer(content)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrArchive, e.FileName(), err)
	}
	record, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: %s holds no record", ErrArchive, e.FileName())
	}
	entry.Metadata = record
	return entry, nil
}

// Encode is the entry's Avro datum in ArchiveSchema.
func (e *ArchivedEntry) Encode() ([]byte, error) {
	schema, err := archiveSchema()
	if err != nil {
		return nil, err
	}
	record := map[string]any{
		"commitTime": string(e.Instant), "actionType": string(e.Action), "actionState": strings.ToUpper(string(e.State)),
	}
	if e.Transition != "" {
		record["stateTransitionTime"] = string(e.Transition)
	}
	if field, _ := archiveField(e.Entry); field != "" && e.Metadata != nil {
		record[field] = e.Metadata
	}
	datum, err := appendAvro(nil, schema, record)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrArchive, e.FileName(), err)
	}
	return datum, nil
}

// ArchiveDecoder reads the entries of blocks that share a schema.
type ArchiveDecoder struct{ schema avro.Schema }

// NewArchiveDecoder makes a decoder for a block's schema, which another release of Hudi may have written.
func NewArchiveDecoder(schema string) (*ArchiveDecoder, error) {
	parse := archiveSchema
	if schema != ArchiveSchema {
		parse = func() (avro.Schema, error) { return embeddedSchema(schema) }
	}
	s, err := parse()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return &ArchiveDecoder{s}, nil
}

// Decode reads one entry.
func (d *ArchiveDecoder) Decode(datum []byte) (*ArchivedEntry, error) {
	v, err := decodeAvro(d.schema, datum)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	record, _ := v.(map[string]any)
	instant, _ := record["commitTime"].(string)
	action, _ := record["actionType"].(string)
	state, _ := record["actionState"].(string)
	transition, _ := record["stateTransitionTime"].(string)
	at, err := timeline.ParseInstant(instant)
	if err != nil || action == "" {
		return nil, fmt.Errorf("%w: instant %q, action %q", ErrArchive, instant, action)
	}
	e := &ArchivedEntry{
		Entry:      timeline.Entry{Instant: at, Action: timeline.Action(action), State: timeline.State(strings.ToLower(state))},
		Transition: timeline.Instant(transition),
	}
	for _, field := range archiveFields {
		if metadata, ok := record[field].(map[string]any); ok {
			e.Metadata = metadata
		}
	}
	return e, nil
}
