// Temporary: keeps the pinned requirements in go.mod until the code that uses them is here.

package router

import (
	_ "github.com/IBM/sarama"
	_ "github.com/hamba/avro/v2"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "google.golang.org/grpc"
	_ "go.uber.org/goleak"
	_ "github.com/twmb/franz-go/pkg/kgo"
	_ "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	_ "github.com/playhead-pipeline/playhead/schemas"
	_ "github.com/playhead-pipeline/playhead/services/internal"
)
