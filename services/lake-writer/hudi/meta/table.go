package meta

import (
	"encoding/json"
	"errors"
	"fmt"
)

// TableNoteKey is where the library keeps what hoodie.properties has no keys for.
const TableNoteKey = ".hoodie/playhead/table.json"

// TableNoteFormat is the newest format of the note that this package knows.
const TableNoteFormat = 1

// TableNote is the table as it was created. The bucket index is described nowhere else: a writer with another count or field would make
// duplicates and not notice.
type TableNote struct {
	Format          int      `json:"format"`
	Database        string   `json:"database"`
	Name            string   `json:"name"`
	RecordKeyFields []string `json:"record_key_fields"`
	PartitionFields []string `json:"partition_fields"`
	OrderingField   string   `json:"ordering_field"`
	HiveStyle       bool     `json:"hive_style_partitioning"`
	Buckets         int      `json:"buckets"`
	BucketField     string   `json:"bucket_field"`
	Schema          string   `json:"schema"`            // of the creation
	Type            string   `json:"type,omitempty"`    // as in hoodie.properties; empty is COPY_ON_WRITE
	Version         int      `json:"version,omitempty"` // of the table; zero is 6
	// Of partition paths: whether their values are escaped, and unit and format of one that is made from a time.
	URLEncode           bool   `json:"partition_url_encode,omitempty"`
	PartitionTimeUnit   string `json:"partition_time_unit,omitempty"`
	PartitionTimeFormat string `json:"partition_time_format,omitempty"`
}

// ErrTableNote: bytes are no table note.
var ErrTableNote = errors.New("malformed table note")

// Encode is the note's bytes.
func (n TableNote) Encode() ([]byte, error) {
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode table note: %w", err)
	}
	return data, nil
}

// ParseTableNote reads a note. A newer format is refused.
func ParseTableNote(data []byte) (TableNote, error) {
	var n TableNote
	if err := json.Unmarshal(data, &n); err != nil {
		return TableNote{}, fmt.Errorf("%w: %w", ErrTableNote, err)
	}
	if n.Format < 1 || n.Format > TableNoteFormat {
		return TableNote{}, fmt.Errorf("format %d, this program knows up to %d: %w", n.Format, TableNoteFormat, ErrTableNote)
	}
	if n.Buckets < 0 || (n.Buckets == 0) != (n.BucketField == "") { // neither: an append-only table
		return TableNote{}, fmt.Errorf("bucket index of %d buckets by field %q: %w", n.Buckets, n.BucketField, ErrTableNote)
	}
	return n, nil
}

// Reservation claims an instant for an attempt before the timeline shows it, and says who is at it: whoever finds it can tell whether the
// attempt may still be alive.
type Reservation struct {
	CommitID string `json:"commit_id"`
	Epoch    int64  `json:"epoch"`
	Owner    string `json:"owner"`
}

// ReservationName is the file's name in the instant's marker folder; Hudi's readers look for names that begin with MARKERS only.
const ReservationName = "playhead.json"

// Encode is the reservation's bytes.
func (r Reservation) Encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode reservation: %w", err)
	}
	return data, nil
}

// ParseReservation reads a reservation.
func ParseReservation(data []byte) (Reservation, error) {
	var r Reservation
	if err := json.Unmarshal(data, &r); err != nil {
		return Reservation{}, fmt.Errorf("reservation: %w: %w", ErrMarker, err)
	}
	return r, nil
}
