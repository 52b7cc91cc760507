// Package good stays on the right side of the rules.
package good

import (
	"log/slog"

	_ "github.com/playhead-pipeline/playhead/proto/x/v1"
	_ "github.com/playhead-pipeline/playhead/schemas"
)

// A comment may say os.Exit and time.Sleep.
func log(logger *slog.Logger) { logger.Info("time.Sleep") }
