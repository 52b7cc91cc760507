// Package sessiontable is the Hudi table that holds the rows of package rollup: how it is created, which records a commit upserts into it, and how the
// states of its sessions are read back. What the rows mean is package rollup's; who owns the table and when it is committed to is for others.
package sessiontable

import (
	"context"
	"fmt"
	"iter"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/rollup"
)

// Config describes the table for hudi.Create. A partition of Kafka feeds one bucket, since the bucket's hash is that of the session.
func Config(database, name string, buckets int) hudi.TableConfig {
	return hudi.TableConfig{
		Database: database, Name: name, Type: hudi.MergeOnRead,
		RecordKeyFields: []string{rollup.ColumnSession, rollup.ColumnDate},
		PartitionFields: []string{rollup.ColumnDate, rollup.ColumnHour}, HiveStylePartitioning: true,
		OrderingField: rollup.ColumnEvents,
		Buckets:       buckets, BucketField: rollup.ColumnSession,
		Schema: rollup.TableSchema(),
	}
}

// Groups arranges the rows of a commit for a table of so many buckets. Their writer is the index of rollup.WriterSchema in the request. The rows
// must be in the order of Roll.
func Groups(rows []rollup.Row, buckets, writer int) []hudi.Group {
	var groups []hudi.Group
	for len(rows) > 0 {
		hour := rows[0].Hour
		partition := hour.Partition()
		ofBucket := make([][]hudi.Record, buckets)
		for len(rows) > 0 && rows[0].Hour == hour {
			row := rows[0]
			rows = rows[1:]
			b := keys.Bucket(buckets, row.Session)
			ofBucket[b] = append(ofBucket[b], hudi.Record{Key: hour.RecordKey(row.Session), Payload: row.Payload, Writer: writer})
		}
		for b, records := range ofBucket {
			if len(records) > 0 {
				groups = append(groups, hudi.Group{Partition: partition, Bucket: b, Records: records})
			}
		}
	}
	return groups
}

// Store reads sessions from the table as of its last commit.
type Store struct{ Table *hudi.Table }

var _ rollup.Store = Store{}

// Sessions implements rollup.Store.
func (s Store) Sessions(ctx context.Context, hour rollup.Hour, first, last string) iter.Seq2[rollup.Stored, error] {
	q := hudi.Query{
		Columns:    []string{rollup.ColumnSession, rollup.ColumnLife, rollup.ColumnState},
		Partitions: []string{hour.Partition() + "/"},
	}
	if last != "" {
		q.Where = []hudi.Bounds{{Column: rollup.ColumnSession, Min: first, Max: last}}
	}
	return func(yield func(rollup.Stored, error) bool) {
		for row, err := range s.Table.Scan(ctx, q) {
			if err != nil {
				yield(rollup.Stored{}, err)
				return
			}
			session, known := row.Values[0].(string)
			life, _ := row.Values[1].(string)
			state, held := row.Values[2].([]byte)
			if !known || !held {
				yield(rollup.Stored{}, fmt.Errorf("a session of %s has no id or no state", hour.Partition()))
				return
			}
			if !yield(rollup.Stored{Session: session, State: state, Closed: life == rollup.Closed}, nil) {
				return
			}
		}
	}
}
