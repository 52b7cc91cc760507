// Temporary: keeps the pinned requirements in go.mod until the code that uses them is here.

package internal

import (
	_ "github.com/IBM/sarama"
	_ "github.com/twmb/franz-go/pkg/kfake"
	_ "github.com/riferrei/srclient"
	_ "github.com/hamba/avro/v2"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "google.golang.org/grpc"
	_ "go.yaml.in/yaml/v3"
	_ "go.uber.org/goleak"
	_ "golang.org/x/sync/errgroup"
	_ "github.com/playhead-pipeline/playhead/proto/control/v1"
)
