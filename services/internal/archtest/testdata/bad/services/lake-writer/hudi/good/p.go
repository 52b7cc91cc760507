// Package good stays on the right side of the rules.
package good

import (
	_ "github.com/playhead-pipeline/playhead/services/lake-writer/hudi/keys"
)

const declared = true
