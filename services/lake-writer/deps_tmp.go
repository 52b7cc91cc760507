// Temporary: keeps the pinned requirements in go.mod until the code that uses them is here.

package lakewriter

import (
	_ "github.com/IBM/sarama"
	_ "github.com/hamba/avro/v2"
	_ "github.com/aws/aws-sdk-go-v2/service/s3"
	_ "github.com/aws/aws-sdk-go-v2/credentials"
	_ "github.com/aws/aws-sdk-go-v2/config"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "google.golang.org/grpc"
	_ "go.uber.org/goleak"
	_ "github.com/twmb/franz-go/pkg/kgo"
	_ "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
	_ "github.com/playhead-pipeline/playhead/schemas"
	_ "github.com/playhead-pipeline/playhead/services/internal"
	_ "github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)
