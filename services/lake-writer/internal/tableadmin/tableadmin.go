// Package tableadmin serves table/v1: what an operator asks of a table and its services. It translates, remembers which requests were
// answered, and writes the audit log; what a service does is package tableservice's.
package tableadmin

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	tablev1 "github.com/playhead-pipeline/playhead/proto/table/v1"
	"github.com/playhead-pipeline/playhead/services/lake-writer/hudi"
	"github.com/playhead-pipeline/playhead/services/lake-writer/internal/tableservice"
)

// Services run what keeps a table healthy.
type Services interface {
	Status() []tableservice.Status
	Do(ctx context.Context, kind tableservice.Kind, dryRun bool) (tableservice.Report, error)
	Pause(kind tableservice.Kind)
	Resume(kind tableservice.Kind)
}

// Table is what the server needs of one table.
type Table struct {
	Services Services
	// Open opens the table for reading.
	Open func(ctx context.Context) (*hudi.Table, error)
}

// maxRequestID bounds a request id, in bytes.
const maxRequestID = 128

// Server implements tablev1.TableServiceServer.
type Server struct {
	tablev1.UnimplementedTableServiceServer
	tables  map[string]Table
	answers *answers
	logger  *slog.Logger
}

var _ tablev1.TableServiceServer = (*Server)(nil)

// New returns a Server for tables by their names, database.table.
func New(tables map[string]Table, logger *slog.Logger) *Server {
	return &Server{tables: tables, answers: newAnswers(), logger: logger}
}

var kinds = map[tablev1.Service]tableservice.Kind{
	tablev1.Service_SERVICE_COMPACTION: tableservice.Compaction,
	tablev1.Service_SERVICE_CLEAN:      tableservice.Clean,
	tablev1.Service_SERVICE_ARCHIVE:    tableservice.Archive,
}

func serviceOf(kind tableservice.Kind) tablev1.Service {
	for service, k := range kinds {
		if k == kind {
			return service
		}
	}
	return tablev1.Service_SERVICE_UNSPECIFIED
}

// find returns the table and the service that a request names.
func (s *Server) find(table string, service tablev1.Service) (Table, tableservice.Kind, error) {
	t, ok := s.tables[table]
	if !ok {
		return Table{}, "", status.Errorf(codes.NotFound, "no table %q in the configuration", table)
	}
	kind, ok := kinds[service]
	if !ok {
		return Table{}, "", status.Errorf(codes.InvalidArgument, "no table service %v", service)
	}
	return t, kind, nil
}

// audit notes what an operator did.
func (s *Server) audit(ctx context.Context, method, table, reason string, attrs ...any) {
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	s.logger.With("audit", method, "table", table, "reason", reason, "peer", from).Info("admin call", attrs...)
}

// ListServices implements table/v1.
func (s *Server) ListServices(_ context.Context, r *tablev1.ListServicesRequest) (*tablev1.ListServicesResponse, error) {
	t, ok := s.tables[r.GetTable()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "no table %q in the configuration", r.GetTable())
	}
	out := &tablev1.ListServicesResponse{}
	for _, v := range t.Services.Status() {
		out.Services = append(out.Services, &tablev1.ServiceStatus{
			Service: serviceOf(v.Kind), Paused: v.Paused, Running: v.Running, LastAtMicros: micros(v.Last), DueAtMicros: micros(v.Due), LastError: v.LastError,
		})
	}
	return out, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// RunService implements table/v1.
func (s *Server) RunService(ctx context.Context, r *tablev1.RunServiceRequest) (*tablev1.RunServiceResponse, error) {
	t, kind, err := s.find(r.GetTable(), r.GetService())
	if err != nil {
		return nil, err
	}
	if n := len(r.GetRequestId()); n == 0 || n > maxRequestID {
		return nil, status.Errorf(codes.InvalidArgument, "request id of %d bytes, want 1 to %d", n, maxRequestID)
	}
	return s.answers.once(ctx, r.GetTable()+"\x00"+r.GetRequestId(), func() (*tablev1.RunServiceResponse, error) {
		report, err := t.Services.Do(ctx, kind, r.GetDryRun())
		s.audit(ctx, "RunService", r.GetTable(), r.GetReason(), "service", kind, "dry_run", r.GetDryRun(), "request_id", r.GetRequestId(),
			"instant", report.Instant, "error", err)
		if err != nil {
			return nil, refusal(ctx, err)
		}
		return &tablev1.RunServiceResponse{
			Instant: string(report.Instant), Pieces: int64(report.Pieces), Groups: int64(report.Groups), LogFiles: int64(report.LogFiles), Bytes: report.Bytes,
			DeletedFiles: int64(report.Deleted), DeletedBytes: report.DeletedBytes, Archived: int64(report.Archived), Held: report.Held,
			TookMicros: report.Took.Microseconds(),
		}, nil
	})
}

// refusal is the status of an error.
func refusal(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, tableservice.ErrIdle), errors.Is(err, hudi.ErrFenced):
		return status.Error(codes.FailedPrecondition, "this instance does not write the table: ask the one that does")
	case errors.Is(err, hudi.ErrInvalid):
		return status.Error(codes.InvalidArgument, err.Error())
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	default:
		return status.Error(codes.Unavailable, err.Error())
	}
}

// PauseService implements table/v1.
func (s *Server) PauseService(ctx context.Context, r *tablev1.PauseServiceRequest) (*tablev1.PauseServiceResponse, error) {
	t, kind, err := s.find(r.GetTable(), r.GetService())
	if err != nil {
		return nil, err
	}
	t.Services.Pause(kind)
	s.audit(ctx, "PauseService", r.GetTable(), r.GetReason(), "service", kind)
	return &tablev1.PauseServiceResponse{}, nil
}

// ResumeService implements table/v1.
func (s *Server) ResumeService(ctx context.Context, r *tablev1.ResumeServiceRequest) (*tablev1.ResumeServiceResponse, error) {
	t, kind, err := s.find(r.GetTable(), r.GetService())
	if err != nil {
		return nil, err
	}
	t.Services.Resume(kind)
	s.audit(ctx, "ResumeService", r.GetTable(), r.GetReason(), "service", kind)
	return &tablev1.ResumeServiceResponse{}, nil
}
