// Package rpcserver breaks rules.
package rpcserver

import (
	_ "github.com/playhead-pipeline/playhead/proto/x/v1"
	_ "github.com/playhead-pipeline/playhead/schemas"
)

const declared = true
