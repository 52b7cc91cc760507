package hudi

import (
	"context"
	"fmt"

	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/fileslice"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/logfile"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/storage"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi/timeline"
)

// logBlocks is what the blocks of a log file say about instants.
type logBlocks struct {
	file     fileslice.LogFile
	instants []timeline.Instant // of blocks with records or deletions
	commands []timeline.Instant // of command blocks
	targets  []timeline.Instant // that its commands roll back
}

// readLogBlocks reads the headers of a log file, whose name does not say whose it is.
func (t *Table) readLogBlocks(ctx context.Context, f fileslice.LogFile) (logBlocks, error) {
	blocks := logBlocks{file: f}
	file := storage.NewPieceReader(ctx, t.store, f.Key(), f.Size)
	for b, err := range logfile.Scan(file, f.Size, logfile.ScanOptions{HeadersOnly: true, SkipCorrupt: true}) {
		if err != nil {
			return blocks, fmt.Errorf("read log file %s: %w", f.Key(), err)
		}
		switch {
		case b.Type == logfile.Corrupt:
		case b.Type == logfile.Command:
			blocks.commands = append(blocks.commands, b.Instant())
			if target, ok := b.RollbackTarget(); ok {
				blocks.targets = append(blocks.targets, target)
			}
		default:
			blocks.instants = append(blocks.instants, b.Instant())
		}
	}
	return blocks, nil
}

// readLogInstants are the instants of all blocks of a log file.
func readLogInstants(ctx context.Context, t *Table, f fileslice.LogFile) ([]timeline.Instant, error) {
	blocks, err := t.readLogBlocks(ctx, f)
	return append(blocks.instants, blocks.commands...), err
}
