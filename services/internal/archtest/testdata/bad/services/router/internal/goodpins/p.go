package goodpins

import (
	_ "fmt"
)
