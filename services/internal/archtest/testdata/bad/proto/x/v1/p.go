// Package xv1 breaks rules.
package xv1

import (
	_ "github.com/playhead-pipeline/playhead/schemas"
	_ "github.com/playhead-pipeline/playhead/services/router"
)

const declared = true
