// Package admin serves lakewriter/v1: the state of tables and partitions, and commits on demand. It
// shows and asks, and decides nothing.
package admin

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lakewriterv1 "github.com/playhead-pipeline/playhead/proto/lakewriter/v1"
)

// ErrStandby is returned by a Flusher that does not own its table.
var ErrStandby = errors.New("this instance stands by")

// State is what the service knows of itself.
type State interface {
	// Snapshot returns the state now, without order.
	Snapshot() *lakewriterv1.GetStatusResponse
	// Flush commits what is buffered for every table and returns the newest instant, or ErrStandby when
	// no table is this instance's.
	Flush(ctx context.Context) (string, error)
}

// Server implements lakewriterv1.LakeWriterAdminServiceServer.
type Server struct {
	lakewriterv1.UnimplementedLakeWriterAdminServiceServer
	state State
}

var _ lakewriterv1.LakeWriterAdminServiceServer = (*Server)(nil)

// New returns a Server that shows state.
func New(state State) *Server {
	return &Server{state: state}
}

// GetStatus implements lakewriter/v1.
func (s *Server) GetStatus(context.Context, *lakewriterv1.GetStatusRequest) (*lakewriterv1.GetStatusResponse, error) {
	out := s.state.Snapshot()
	slices.SortFunc(out.Tables, func(a, b *lakewriterv1.Table) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Partitions, func(a, b *lakewriterv1.Partition) int {
		if c := strings.Compare(a.Topic, b.Topic); c != 0 {
			return c
		}
		return int(a.Partition - b.Partition)
	})
	return out, nil
}

// Flush implements lakewriter/v1.
func (s *Server) Flush(ctx context.Context, _ *lakewriterv1.FlushRequest) (*lakewriterv1.FlushResponse, error) {
	instant, err := s.state.Flush(ctx)
	switch {
	case errors.Is(err, ErrStandby):
		return nil, status.Error(codes.FailedPrecondition, "this instance stands by: ask the one that writes the table")
	case ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case err != nil:
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return &lakewriterv1.FlushResponse{Instant: instant}, nil
}
