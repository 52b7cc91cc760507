package tableadmin

import (
	"context"
	"sync"

	"google.golang.org/grpc/status"

	tablev1 "github.com/playhead-pipeline/playhead/proto/table/v1"
)

// maxAnswers bounds the answers that are remembered; the oldest is forgotten first.
const maxAnswers = 256

// answers remembers what requests were answered, so that one which is repeated runs once. A request that failed may be repeated.
type answers struct {
	mu    sync.Mutex
	known map[string]*answer
	order []string
}

type answer struct {
	done     chan struct{}
	response *tablev1.RunServiceResponse
	err      error
}

func newAnswers() *answers { return &answers{known: make(map[string]*answer)} }

// once runs a request, or waits for the run under way, or returns the answer that it had.
func (a *answers) once(ctx context.Context, id string, run func() (*tablev1.RunServiceResponse, error)) (*tablev1.RunServiceResponse, error) {
	a.mu.Lock()
	if known := a.known[id]; known != nil {
		a.mu.Unlock()
		select {
		case <-known.done:
			return known.response, known.err
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	own := &answer{done: make(chan struct{})}
	a.known[id] = own
	a.order = append(a.order, id)
	if len(a.order) > maxAnswers {
		delete(a.known, a.order[0])
		a.order = a.order[1:]
	}
	a.mu.Unlock()
	own.response, own.err = run()
	close(own.done)
	if own.err != nil {
		a.forget(id, own)
	}
	return own.response, own.err
}

func (a *answers) forget(id string, own *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[id] == own {
		delete(a.known, id)
	}
}
