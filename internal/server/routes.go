package server

import (
	"fmt"
	"net/http"
	"time"

	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/dashboard"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/problem"
	"github.com/snoserver/sno/internal/protocol/native"
	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/websocket"
)

// devBackoff lets the tabs of a developer come back quickly: there is no crowd to spread.
const devBackoff = 100 * time.Millisecond

func (s *Server) routes() http.Handler {
	protocol := &native.Protocol{Hub: s.hub, Credentials: s.auth, Logger: s.log}
	if s.cfg.Dev {
		protocol.Backoff = devBackoff
	}
	endpoint := websocket.New(websocket.Options{
		Subprotocol: "sno.v1", MessageBytes: protocol.FrameBytes(), TooLargeCode: int(hub.CodeFrameTooLarge),
		AllowOrigin: originCheck(s.cfg.Origins, s.cfg.Dev),
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ws", func(w http.ResponseWriter, r *http.Request) { s.serveWebSocket(w, r, endpoint, protocol) })
	mux.Handle("/v1/", api.New(s.hub, s.auth, s.log))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	if !s.cfg.Dev {
		return mux
	}
	mux.Handle("/", dashboard.Handler(dashboard.Config{App: s.cfg.Apps[0].ID, Key: s.cfg.Apps[0].Keys[0].ID}))
	return loopbackHost(mux)
}

func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request, endpoint *websocket.Endpoint, protocol *native.Protocol) {
	s.conns.Add(1)
	defer s.conns.Done()
	var grant *hub.Grant
	if r.Header.Get("Authorization") != "" {
		g, err := s.auth.Request(r)
		if err != nil {
			shown, _ := hub.Show(err)
			problem.Write(w, r, shown, nil)
			return
		}
		grant = g
	}
	err := endpoint.Serve(w, r, func(c wire.Conn) wire.Handler { return protocol.Handler(c, grant) })
	if err != nil {
		s.log.Debug("refused a WebSocket", "remote", r.RemoteAddr, "error", err)
	}
}
