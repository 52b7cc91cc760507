// Package interop breaks rules.
package interop

import (
	_ "github.com/playhead-pipeline/playhead/services/ingest-gateway"
)

const declared = true
