package hudi

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/meta"
)

// A bulk insert makes a base file of each group's records and looks at no other. In an append-only table, which has no bucket index, every
// commit makes file groups of its own, and nothing is ever looked up; in a table with a bucket index it is for buckets that have no
// file group yet.

// maxBuckets is what the eight digits in file ids allow.
const maxBuckets = 99_999_999

// appendOnly reports whether the table has no bucket index.
func (w *Writer) appendOnly() bool { return w.config.Buckets == 0 }

// checkBuckets refuses a bucket index that cannot be; none at all makes an append-only table.
func (c TableConfig) checkBuckets() error {
	if c.Buckets == 0 && c.BucketField == "" {
		return nil
	}
	if c.Buckets < 1 || c.Buckets > maxBuckets {
		return fmt.Errorf("%w: %d buckets", ErrInvalid, c.Buckets)
	}
	for _, f := range bucketFields(c.BucketField) {
		if !slices.Contains(c.RecordKeyFields, f) {
			return fmt.Errorf("%w: bucket field %q is no record key field", ErrInvalid, f)
		}
	}
	return nil
}

// checkOperation refuses what the table's type and index do not allow.
func (w *Writer) checkOperation(req CommitRequest) error {
	switch op := req.Operation; {
	case op < Insert || op > BulkInsert:
		return fmt.Errorf("%w: operation %d", ErrInvalid, op)
	case op == InsertOverwrite && len(req.Groups) == 0:
		return fmt.Errorf("%w: no partition to overwrite", ErrInvalid)
	case op == Insert && w.table.Type() == MergeOnRead:
		return fmt.Errorf("%w: Insert leaves out keys that are there, and a merge-on-read table does not look them up; use Upsert", ErrInvalid)
	case (op == Insert || op == Upsert) && w.appendOnly() && len(req.Groups) > 0:
		return fmt.Errorf("%w: an append-only table does not find keys; use BulkInsert", ErrInvalid)
	case req.SortByKey && op != BulkInsert:
		return fmt.Errorf("%w: only the records of a BulkInsert can be sorted", ErrInvalid)
	default:
		return nil
	}
}

// checkBucket refuses a bucket that the table does not have. Groups of an append-only table are told apart by any number.
func (w *Writer) checkBucket(bucket int) error {
	limit := w.config.Buckets
	if w.appendOnly() {
		limit = maxBuckets + 1
	}
	if bucket < 0 || bucket >= limit {
		return fmt.Errorf("%w: bucket %d of %d", ErrInvalid, bucket, limit)
	}
	return nil
}

// planBulkInsert makes the attempt one that begins file groups and goes on from none.
func (a *attempt) planBulkInsert(ctx context.Context) (err error) {
	a.operation = meta.OperationBulkInsert
	if a.plans, a.newPartitions, err = a.w.planGroups(ctx, a.tl, a.req.Groups); err != nil {
		return err
	}
	for i := range a.plans {
		p := &a.plans[i]
		if p.slice.HasBase {
			return fmt.Errorf("%w: BulkInsert into file group %s of %q, which has rows; use Upsert", ErrInvalid, p.id, p.partition)
		}
		if a.req.SortByKey {
			p.records = slices.SortedStableFunc(slices.Values(p.records), func(a, b Record) int { return strings.Compare(a.Key, b.Key) })
		}
	}
	return nil
}

// nameGroups gives the attempt's file groups ids that no other attempt has.
func (a *attempt) nameGroups() {
	for i := range a.plans {
		a.plans[i].id = keys.AttemptFileID(a.id, i)
	}
}

// writeBulkFile builds a base file of the job's records as they are.
func writeBulkFile(job fileJob) (fileResult, error) {
	var out bytes.Buffer
	w, err := job.newWriter(&out)
	if err != nil {
		return fileResult{}, err
	}
	defer job.writers.put(w, false)
	for _, r := range job.records {
		if err := w.Append(basefile.Record{Key: r.Key, Writer: r.Writer, Payload: r.Payload}); err != nil {
			return fileResult{}, appendError(r.Key, err)
		}
	}
	footer, err := w.Close()
	if err != nil {
		return fileResult{}, fmt.Errorf("end base file: %w", err)
	}
	return fileResult{data: out.Bytes(), rows: footer.Rows, added: footer.Rows}, nil
}
