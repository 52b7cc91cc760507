// Package load breaks rules.
package load

import (
	_ "github.com/playhead-pipeline/playhead/services/ingest-gateway"
)

const declared = true
