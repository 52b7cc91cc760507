package basefile

import "github.com/playhead-pipeline/playhead/services/lake-writer/hudi/columnar"

// fallback yields the batches of a row group that has encodings which only parquet-go reads, without the first rows, which are out already.
func (b *batcher) fallback(group int, skip int64, yield func(*columnar.Batch, error) bool) bool {
	v, err := b.r.viewOf(b.to, b.names)
	if err != nil {
		return yield(nil, err) && false
	}
	var chosen []*layout
	for _, name := range v.inFile {
		chosen = append(chosen, b.r.layout.child(name))
	}
	out := &columnar.Batch{Names: b.names}
	for _, name := range b.names {
		out.Columns = append(out.Columns, columnar.New(columnType(b.to.child(name))))
	}
	whole := b.r.groupRows(group, v.inFile, chosen, func(row Row, err error) bool {
		if skip > 0 && err == nil {
			skip--
			return true
		}
		if err == nil {
			err = appendRow(out, v.show(row))
		}
		if err != nil {
			return yield(nil, err) && false
		}
		if out.Rows++; out.Rows == maxBatchRows/8 {
			if !yield(out, nil) {
				return false
			}
			out.Rows = 0
			for _, c := range out.Columns {
				c.Reset()
			}
		}
		return true
	})
	if whole && out.Rows > 0 {
		return yield(out, nil)
	}
	return whole
}

func appendRow(out *columnar.Batch, row Row) error {
	for i, value := range row.Values {
		if err := AppendValue(out.Columns[i], value); err != nil {
			return err
		}
	}
	return nil
}
