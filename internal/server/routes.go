package server

import (
	"net/http"
	"time"

	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/dashboard"
)

// devBackoff lets the tabs of a developer come back quickly: there is no crowd to spread.
const devBackoff = 100 * time.Millisecond

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.transports = s.newTransports()
	s.transports.routes(mux)
	s.pusher = s.newPusherDoor()
	s.pusher.routes(mux)
	mux.Handle("/v1/", api.New(api.Options{Hub: s.hub, Auth: s.auth, Outbox: s.outbox, Log: s.log, AllowOrigin: s.allowed}))
	s.healthRoutes(mux)
	if !s.cfg.Dev {
		return s.telemetry.HTTP(mux, lasting)
	}
	mux.Handle("/", dashboard.Handler(dashboard.Config{App: s.cfg.Apps[0].ID, Key: s.cfg.Apps[0].Keys[0].ID}))
	return loopbackHost(s.telemetry.HTTP(mux, lasting))
}
