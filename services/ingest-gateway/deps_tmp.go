// Temporary: keeps the pinned requirements in go.mod until the code that uses them is here.

package gateway

import (
	_ "github.com/coder/websocket"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "google.golang.org/grpc"
	_ "go.uber.org/goleak"
	_ "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	_ "github.com/playhead-pipeline/playhead/services/internal"
)
