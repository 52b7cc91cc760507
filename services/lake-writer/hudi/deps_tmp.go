// Temporary: keeps the pinned requirements in go.mod until the code that uses them is here.

package hudi

import (
	_ "github.com/parquet-go/parquet-go"
	_ "github.com/hamba/avro/v2"
	_ "github.com/klauspost/compress/zstd"
	_ "github.com/google/uuid"
)
