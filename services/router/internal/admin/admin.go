// Package admin serves playhead.router.v1: what the router's parts say of themselves, in one answer. It owns no state.
package admin

import (
	"context"

	routerv1 "github.com/playhead-pipeline/playhead/proto/router/v1"
	"github.com/playhead-pipeline/playhead/services/router/internal/catalog"
	"github.com/playhead-pipeline/playhead/services/router/internal/intake"
	"github.com/playhead-pipeline/playhead/services/router/internal/publish"
)

// Sources are the functions that the answers come from.
type Sources struct {
	Totals     func() intake.Totals
	Schemas    func() []catalog.Status
	Partitions func() []publish.PartitionStatus
}

type server struct {
	routerv1.UnimplementedRouterAdminServiceServer

	sources Sources
}

// New returns the service.
func New(s Sources) routerv1.RouterAdminServiceServer { return &server{sources: s} }

func (s *server) GetStatus(context.Context, *routerv1.GetStatusRequest) (*routerv1.GetStatusResponse, error) {
	totals := s.sources.Totals()
	resp := &routerv1.GetStatusResponse{
		Streams:            uint32(totals.Streams),
		EventsReceived:     totals.Received,
		EventsProduced:     totals.Produced,
		EventsDeadLettered: totals.DeadLettered,
	}
	for _, schema := range s.sources.Schemas() {
		resp.Schemas = append(resp.Schemas, &routerv1.Schema{
			Id: schema.ID, Subject: schema.Subject, Version: int32(schema.Version), RefusedReason: schema.Refused,
		})
	}
	for _, p := range s.sources.Partitions() {
		resp.Partitions = append(resp.Partitions, &routerv1.Partition{
			Topic: p.Topic, Partition: p.Partition, QueuedBatches: uint32(p.Queued), NextOffset: p.NextOffset, StalledReason: p.Trouble,
		})
	}
	return resp, nil
}
