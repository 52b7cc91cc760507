// Temporary: keeps the pinned requirements in go.mod until the code that uses them is here.

package schemas

import (
	_ "github.com/hamba/avro/v2"
)
