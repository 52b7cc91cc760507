// Package admin serves the gateway's own admin API. What it shows is gathered by its caller; it changes nothing.
package admin

import (
	"context"

	gatewayv1 "github.com/playhead-pipeline/playhead/proto/gateway/v1"
)

type server struct {
	gatewayv1.UnimplementedGatewayAdminServiceServer
	snapshot func() *gatewayv1.GetStatusResponse
}

// New returns the API over snapshot, which is called for every request and must not block.
func New(snapshot func() *gatewayv1.GetStatusResponse) gatewayv1.GatewayAdminServiceServer {
	return &server{snapshot: snapshot}
}

// GetStatus implements the service.
func (s *server) GetStatus(context.Context, *gatewayv1.GetStatusRequest) (*gatewayv1.GetStatusResponse, error) {
	return s.snapshot(), nil
}
