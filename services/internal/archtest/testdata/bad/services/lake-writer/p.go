// Package lakewriter breaks rules.
package lakewriter

import (
	_ "github.com/playhead-pipeline/playhead/services/e2e/stack"
)

const declared = true
