package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/snoserver/sno/internal/peer"
	"github.com/snoserver/sno/internal/wire"
)

// Bounds that keep a client which sends slowly, or nothing, from holding on to a connection.
const (
	headerPatience = 10 * time.Second // for the header of a request, and a TLS handshake
	idlePatience   = 2 * time.Minute  // between two requests
	maxHeaderBytes = 64 << 10
)

// listen opens all sockets.
func (s *Server) listen() error {
	for _, addr := range s.cfg.Listen {
		l, err := s.listenPublic(addr, "listen")
		if err != nil {
			return err
		}
		s.public = append(s.public, l)
	}
	for _, addr := range s.cfg.ListenProxy {
		l, err := s.listenPublic(addr, "listen_proxy")
		if err != nil {
			return err
		}
		s.public = append(s.public, &peer.Listener{Listener: l, Trusted: s.trusted, Logger: s.log})
	}
	var err error
	if addr := s.cfg.TLS.RedirectListen; addr != "" {
		if s.redirect, err = listenOn(addr, "tls.redirect_listen"); err != nil {
			return err
		}
	}
	if addr := s.cfg.Admin.Listen; addr != "" {
		s.admin, err = listenOn(addr, "admin.listen")
	}
	return err
}

// trusted says whether an address is a trusted proxy's.
func (s *Server) trusted(a netip.Addr) bool { return s.now.Load().proxies.Contain(a) }

// listenPublic opens a socket whose connections are counted.
func (s *Server) listenPublic(addr, setting string) (net.Listener, error) {
	l, err := listenOn(addr, setting)
	if err != nil {
		return nil, err
	}
	return s.gate.Listener(l, s.cfg.TLS.On()), nil
}

func listenOn(addr, setting string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; is another server running there? choose another address with --%s", addr, err, setting)
	}
	return l, nil
}

func (s *Server) closeListeners() {
	for _, l := range append(s.public[:len(s.public):len(s.public)], s.redirect, s.admin) {
		if l != nil {
			_ = l.Close()
		}
	}
}

// newHTTP serves HTTP/1.1 and HTTP/2, the latter also without TLS to proxies that begin with it.
func (s *Server) newHTTP(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: protocols,
		ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience, MaxHeaderBytes: maxHeaderBytes,
		HTTP2: &http.HTTP2Config{
			// A proxy may carry all its clients' streams over one connection.
			MaxConcurrentStreams: 1000,
			// Streams are long and silent: a peer that has vanished shows by pings only.
			SendPingTimeout: wire.Heartbeat, PingTimeout: wire.Patience,
		},
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// URL is where the server listens first.
func (s *Server) URL() string { return s.URLs()[0] }

// URLs are where the server listens.
func (s *Server) URLs() []string {
	scheme := "http://"
	if s.certs != nil {
		scheme = "https://"
	}
	all := make([]string, len(s.public))
	for i, l := range s.public {
		all[i] = scheme + l.Addr().String()
	}
	return all
}

// AdminURL is where those who run the server find its state, or empty.
func (s *Server) AdminURL() string {
	if s.admin == nil {
		return ""
	}
	return "http://" + s.admin.Addr().String()
}
