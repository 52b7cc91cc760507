package merge

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// Mode says which of two records of a key wins (hoodie.record.merge.mode).
type Mode int

const (
	// EventTime: the one with the greater ordering value, the later one among equals.
	EventTime Mode = iota
	// CommitTime: the later one.
	CommitTime
)

// Config describes the table and the reader.
type Config struct {
	TableSchema string // Avro record without meta columns
	Ordering    string // name of a root field; "" merges by commit time
	Mode        Mode
	// Accept tells whether the blocks of an instant count for this reader; nil: all do.
	Accept      func(timeline.Instant) bool
	MemoryBytes int64  // log records held in memory, with their index; 0 means 64 MiB
	SpillDir    string // folder of temporary files; "" is the system's
	Logs        LogOptions
}

// LogOptions say how log files are read.
type LogOptions struct {
	SkipCorrupt   bool  // pass over damaged blocks and count them, see logfile.ScanOptions
	MaxBlockBytes int64 // see logfile.ScanOptions
}

// Source is a log file. Open is called once; what it returns is closed when it is an io.Closer.
type Source struct {
	Name string
	Open func(ctx context.Context) (io.ReaderAt, int64, error)
}

// Stats count what a compaction did.
type Stats struct {
	Rows       int64 // in the new base file
	LogRecords int64 // records of the data blocks that count; Hudi (AbstractHoodieLogRecordReader) leaves those of delete blocks out
	LogBlocks  int64 // data and delete blocks that count
	Corrupt    int64 // damaged blocks passed over
	Rollbacks  int64 // rollback commands
	Deleted    int64 // rows of the base file that a delete took away
	Updated    int64 // rows of the base file that a log record replaced
	Inserted   int64 // log records without a row in the base file
}

const defaultMemoryBytes = 64 << 20

// merger is one run over a slice.
type merger struct {
	cfg       Config
	table     *schema // the table's, with meta fields
	ordering  *node   // the ordering field's type in the table; nil merges by commit time
	schemas   map[string]*schema
	columnsOf *basefile.Table // the table's, for files; parsed when it is asked for first
	winners   *winners
	stats     Stats
}

// newMerger compiles the table's schema.
func newMerger(cfg Config) (*merger, error) {
	cfg.MemoryBytes = cmp.Or(max(cfg.MemoryBytes, 0), defaultMemoryBytes)
	m := &merger{cfg: cfg, schemas: make(map[string]*schema)}
	text, err := basefile.WithMetaFields(cfg.TableSchema)
	if err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	if m.table, err = parseSchema(text); err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	if cfg.Mode == EventTime && cfg.Ordering != "" {
		f := m.table.payload.field(cfg.Ordering)
		if f == nil {
			return nil, &basefile.SchemaError{Path: cfg.Ordering, Reason: "the ordering field is not in the table schema"}
		}
		if orderingKind(f) == 0 {
			return nil, &basefile.SchemaError{Path: cfg.Ordering, Reason: fmt.Sprintf("a %s cannot order records", f)}
		}
		m.ordering = f
	}
	if err := m.table.resolve(m.table, m.cfg.Ordering, m.ordering); err != nil {
		return nil, fmt.Errorf("table schema: %w", err)
	}
	m.schemas[text] = m.table
	m.winners = newWinners(cfg)
	return m, nil
}

// schema is a block's, compiled once for each text.
func (m *merger) schema(text string) (*schema, error) {
	if s, ok := m.schemas[text]; ok {
		return s, nil
	}
	s, err := parseSchema(text)
	if err != nil {
		return nil, err
	}
	if err := s.resolve(m.table, m.cfg.Ordering, m.ordering); err != nil {
		return nil, err
	}
	m.schemas[text] = s
	return s, nil
}
