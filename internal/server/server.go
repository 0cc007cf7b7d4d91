package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
	"github.com/snoserver/sno/internal/wire/peer"
)

// lastWords is how long closing connections have to say goodbye when the drain is over.
const lastWords = 3 * time.Second

// Server is one process of Snö.
type Server struct {
	cfg      config.Config
	log      *slog.Logger
	listener net.Listener
	hub      *hub.Hub
	auth     *auth.Authenticator
	http     *http.Server
	conns    sync.WaitGroup // WebSocket connections, which net/http does not count
}

// New listens and opens the log. Nothing is served until Run.
func New(cfg config.Config, log *slog.Logger) (*Server, error) {
	s := &Server{cfg: cfg, log: log}
	var err error
	if s.auth, err = auth.New(cfg.AuthApps()); err != nil {
		return nil, err
	}
	if s.listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", cfg.Listen[0]); err != nil {
		return nil, fmt.Errorf("listen on %s: %w; is another server running there? choose another address with --listen", cfg.Listen, err)
	}
	if s.hub, err = hub.New(hub.Options{Open: s.openLog, Limits: cfg.HubLimits(), Grace: cfg.Presence.Grace.Duration(), Logger: log}); err != nil {
		_ = s.listener.Close()
		return nil, err
	}
	s.hub.SetApps(cfg.HubApps())
	s.http = &http.Server{Handler: s.routes(), ConnContext: peer.With, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	return s, nil
}

var syncModes = map[string]local.Sync{"always": local.SyncAlways, "interval": local.SyncInterval, "never": local.SyncNever}

func (s *Server) openLog(sink hub.Sink) (hub.Log, error) {
	return local.Open(local.Options{
		Dir: s.cfg.Data, Sink: sink, Logger: s.log,
		Sync: syncModes[s.cfg.Store.Sync], Interval: s.cfg.Store.Interval.Duration(),
	})
}

// URL is where the server listens.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Run serves until ctx ends, then drains and closes everything.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return errors.Join(err, s.hub.Close())
	case <-ctx.Done():
	}
	s.drain()
	return s.hub.Close()
}

// drain lets every client go at a time of its own, then ends what is left.
func (s *Server) drain() {
	window := s.cfg.Drain.Duration()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), window+lastWords)
		defer cancel()
		if err := s.http.Shutdown(ctx); err != nil {
			s.log.Warn("requests did not end in time", "error", err)
			_ = s.http.Close()
		}
	}()
	goaway := hub.Errorf(hub.CodeGoaway, "the server is shutting down; connect again after the delay")
	s.hub.Refuse(goaway)
	s.hub.Sessions(func(c *hub.Session) {
		delay := time.Duration(0)
		if window > 0 {
			delay = rand.N(window)
		}
		c.Goaway(delay, goaway)
		time.AfterFunc(delay, func() { c.End(goaway) })
	})
	gone := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(window + lastWords):
		s.log.Warn("some clients did not go in time")
	}
	<-stopped
}
