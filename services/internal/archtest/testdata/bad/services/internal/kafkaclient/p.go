// Package kafkaclient breaks rules.
package kafkaclient

import (
	_ "github.com/playhead-pipeline/playhead/proto/x/v1"
)

const declared = true
