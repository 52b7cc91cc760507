package inspect

import (
	"context"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
)

// object is a stored object that a check reads piece by piece.
type object struct {
	*storage.PieceReader
	ctx context.Context // of the check
}

func open(ctx context.Context, store storage.Store, key string, size int64) *object {
	return &object{storage.NewPieceReader(ctx, store, key, size), ctx}
}
