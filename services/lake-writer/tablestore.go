package lakewriter

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/storemeter"
)

// TableStore opens the store of one table of the lake, for programs that look after tables beside the service. uri is the table's base path
// as other engines know it. It sends no request.
func (c LakeConfig) TableStore(database, name string) (store storage.Store, uri string, err error) {
	l, err := openLake(c, storemeter.New(prometheus.NewRegistry()), nil)
	if err != nil {
		return nil, "", err
	}
	store, err = l.store(database, name)
	return store, l.uri + "/" + database + "/" + name, err
}
