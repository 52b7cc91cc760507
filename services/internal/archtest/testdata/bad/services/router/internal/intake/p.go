// Package intake breaks rules.
package intake

import (
	_ "github.com/playhead-pipeline/playhead/services/router"
)

const declared = true
