// Temporary: keeps the pinned requirements in go.mod until the code that uses them is here.

package e2e

import (
	_ "github.com/twmb/franz-go/pkg/kgo"
	_ "github.com/twmb/franz-go/pkg/kadm"
	_ "github.com/twmb/franz-go/pkg/kfake"
	_ "github.com/versity/versitygw/embedgw"
	_ "github.com/versity/versitygw/backend/posix"
	_ "github.com/versity/versitygw/backend/meta"
	_ "github.com/apache/arrow-go/v18/parquet/file"
	_ "github.com/coder/websocket"
	_ "google.golang.org/grpc"
	_ "go.uber.org/goleak"
	_ "github.com/hamba/avro/v2"
	_ "github.com/playhead-pipeline/playhead/proto/ingest/v1"
	_ "github.com/playhead-pipeline/playhead/schemas"
	_ "github.com/playhead-pipeline/playhead/services/internal"
	_ "github.com/playhead-pipeline/playhead/services/ingest-gateway"
	_ "github.com/playhead-pipeline/playhead/services/router"
	_ "github.com/playhead-pipeline/playhead/services/lake-writer"
	_ "github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
)
