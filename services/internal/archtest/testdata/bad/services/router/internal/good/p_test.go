package good

import (
	"testing"
	_ "testing/synctest"
	"time"
)

func TestSleep(*testing.T) { time.Sleep(1) }
