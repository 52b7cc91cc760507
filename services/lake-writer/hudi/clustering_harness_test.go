package hudi

import (
	"context"
	"encoding/json"
)

// protoCluster is a clusterWriter for files that are JSON lists. All outputs but the last are left empty, as they may be.
func protoCluster(ctx context.Context, table *Table, job clusterJob, put func(int, fileResult) error) error {
	var rows []protoRow
	for _, s := range job.sources {
		more, err := protoRows(ctx, table.store, s.Base.Key())
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	data, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	return put(len(job.outputs)-1, fileResult{data: data, rows: int64(len(rows)), added: int64(len(rows))})
}
