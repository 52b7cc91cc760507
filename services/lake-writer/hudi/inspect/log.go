package inspect

import (
	"bytes"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/basefile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
)

// countRecords counts the records and deletions of a block whose content is loaded; blocks of other kinds have none.
func countRecords(b *logfile.Block) (n int64, err error) {
	switch b.Type {
	case logfile.AvroData:
		for _, err := range logfile.Records(b) {
			if err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	case logfile.Delete:
		deletes, err := logfile.Deletes(b)
		return int64(len(deletes)), err
	case logfile.ParquetData:
		file, err := basefile.OpenReader(bytes.NewReader(b.Content), int64(len(b.Content)))
		if err != nil {
			return 0, err
		}
		return file.NumRows(), nil
	default:
		return 0, nil
	}
}
