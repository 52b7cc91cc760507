package defect

import (
	"bytes"
	"sync"

	ingestv1 "github.com/playhead-pipeline/playhead/proto/ingest/v1"

	"github.com/playhead-pipeline/playhead/services/e2e/model"
)

func wrongVerdicts(r *model.Result) uint64 { return r.WrongVerdicts }
func phantom(r *model.Result) uint64       { return r.Phantom }
func outOfOrder(r *model.Result) uint64    { return r.OutOfOrder }

// verdictsDropped acks refused events as if they had been accepted.
func verdictsDropped() RouterFault {
	return RouterFault{Response: func(r *ingestv1.IngestResponse) { r.Verdicts = nil }}
}

// valuesChanged changes one letter of each batch.
func valuesChanged() RouterFault {
	return RouterFault{Request: func(b *ingestv1.Batch) []*ingestv1.Batch {
		b.Events = bytes.Replace(b.GetEvents(), []byte("title-"), []byte("tItle-"), 1)
		return []*ingestv1.Batch{b}
	}}
}

// eventsInvented adds one batch whose events have numbers that no client has reached.
func eventsInvented() RouterFault {
	var once sync.Once
	return RouterFault{Request: func(b *ingestv1.Batch) []*ingestv1.Batch {
		out := []*ingestv1.Batch{b}
		once.Do(func() {
			out = append(out, &ingestv1.Batch{
				Tenant: b.GetTenant(), Source: b.GetSource(), Encoding: b.GetEncoding(), Schema: b.GetSchema(), Count: b.GetCount(),
				ReceivedAtMicros: b.GetReceivedAtMicros(), Events: bytes.ReplaceAll(b.GetEvents(), []byte("-00000"), []byte("-0ff00")),
			})
		})
		return out
	}}
}

// batchesSwapped keeps every third batch of an encoding back until the next one has passed, and acks both at once: the router's own order
// is kept, but it is not the client's. What is kept back last is lost.
func batchesSwapped() RouterFault {
	kept, batches := map[ingestv1.Encoding]*ingestv1.Batch{}, 0
	return RouterFault{
		AckAtOnce: true,
		Request: func(b *ingestv1.Batch) []*ingestv1.Batch {
			if old := kept[b.GetEncoding()]; old != nil {
				delete(kept, b.GetEncoding())
				return []*ingestv1.Batch{b, old}
			}
			if batches++; batches%3 == 0 {
				kept[b.GetEncoding()] = b
				return nil
			}
			return []*ingestv1.Batch{b}
		},
	}
}
