// Package gateway breaks rules.
package gateway

import (
	_ "github.com/playhead-pipeline/playhead/services/router"
)

const declared = true
