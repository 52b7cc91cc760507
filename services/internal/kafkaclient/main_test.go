package kafkaclient_test

import (
	"testing"

	"go.uber.org/goleak"
)

// sarama keeps one meter per fetched topic in the default registry of go-metrics, whose ticker never ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/rcrowley/go-metrics.(*meterArbiter).tick"))
}
