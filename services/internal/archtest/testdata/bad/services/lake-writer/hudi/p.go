// Package hudi breaks rules.
package hudi

import (
	_ "log/slog"

	_ "github.com/aws/aws-sdk-go-v2/aws"
	_ "github.com/playhead-pipeline/playhead/services/internal/rpcserver"
)

const declared = true
