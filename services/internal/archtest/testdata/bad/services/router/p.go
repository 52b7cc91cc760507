// Package router breaks rules.
package router

import (
	_ "github.com/playhead-pipeline/playhead/services/ingest-gateway"
)

const declared = true
