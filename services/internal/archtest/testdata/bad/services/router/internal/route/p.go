// Package route breaks rules.
package route

import (
	"os"
	"time"

	_ "github.com/IBM/sarama"
)

var read, now = os.ReadFile, time.Now
