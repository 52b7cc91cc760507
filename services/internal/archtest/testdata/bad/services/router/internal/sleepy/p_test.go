package sleepy

import (
	"testing"
	"time"
)

func TestSleep(*testing.T) { time.Sleep(1) }
