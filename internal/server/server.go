package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/snoserver/sno/internal/admission"
	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/certificate"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/outbox"
	"github.com/snoserver/sno/internal/store/local"
	"github.com/snoserver/sno/internal/telemetry"
	"github.com/snoserver/sno/internal/wire/liveness"
	"github.com/snoserver/sno/internal/wire/loop"
)

// Server is one process of Snö.
type Server struct {
	cfg        config.Config // as it was at the start: for what only a restart changes
	log        *slog.Logger
	hub        *hub.Hub
	outbox     *outbox.Outbox
	store      *local.Log
	auth       *auth.Authenticator
	transports *transports
	pusher     *pusherDoor
	telemetry  *telemetry.Telemetry
	phase      atomic.Int32   // a phase; see health.go
	conns      sync.WaitGroup // connections that net/http does not count, and no loop either
	loops      *loop.Group

	budget    budget
	gate      *admission.Gate
	public    []net.Listener
	http      *http.Server
	certs     certificate.Source // nil: no TLS
	redirect  net.Listener       // nil: there is none, as for admin
	admin     net.Listener
	adminHTTP *http.Server

	reloading sync.Mutex // held by Reload
	now       atomic.Pointer[settings]
}

// New listens and opens the log. Nothing is served until Run.
func New(cfg config.Config, log *slog.Logger) (_ *Server, err error) {
	s := &Server{cfg: cfg, log: log, telemetry: telemetry.New(cfg.Version), outbox: outbox.New()}
	s.now.Store(newSettings(cfg))
	if s.auth, err = auth.New(cfg.AuthApps()); err != nil {
		return nil, err
	}
	s.auth.Log, s.auth.Peer = log, s.peer
	defer func() {
		if err != nil {
			s.closeListeners()
		}
	}()
	fds, err := fileDescriptors()
	if err != nil {
		return nil, err
	}
	s.budget = budgetOf(fds)
	s.gate = s.newGate()
	s.telemetry.Sockets(s.gate.Open)
	if err := s.listen(); err != nil {
		return nil, err
	}
	if err := s.openCertificates(); err != nil {
		return nil, err
	}
	if s.hub, err = hub.New(hub.Options{Open: s.openLog, Limits: cfg.HubLimits(), Grace: cfg.Presence.Grace.Duration(), Logger: log, Meter: s.telemetry, Observer: s.outbox}); err != nil {
		return nil, err
	}
	s.telemetry.Hub(s.hub.Stats)
	s.hub.SetApps(cfg.HubApps())
	s.openOutbox(&cfg)
	if s.loops, err = loop.NewGroup(loop.Options{Loops: runtime.GOMAXPROCS(0), NoRing: cfg.Wire.IOURing == "off"}); err != nil {
		s.outbox.Close()
		return nil, errors.Join(err, s.hub.Close())
	}
	s.http = s.newHTTP(s.gate.Handler(bodiesInTime(s.known(s.routes()))))
	s.http.ConnContext = func(ctx context.Context, nc net.Conn) context.Context {
		return s.gate.ConnContext(liveness.With(ctx, nc), nc) // a stream asks the kernel whether its peer is still there
	}
	s.adminHTTP = s.newHTTP(s.adminRoutes())
	return s, nil
}

var syncModes = map[string]local.Sync{"always": local.SyncAlways, "interval": local.SyncInterval, "never": local.SyncNever}

func (s *Server) openLog(sink hub.Sink) (hub.Log, error) {
	log, err := local.Open(local.Options{
		Dir: s.cfg.Data, Sink: sink, Logger: s.log, Committed: s.telemetry.Committed, OpenFiles: s.budget.store,
		Sync: syncModes[s.cfg.Store.Sync], Interval: s.cfg.Store.Interval.Duration(),
	})
	if err != nil {
		return nil, err
	}
	s.telemetry.Store(log.Stats)
	s.store = log
	return log, nil
}

// openOutbox has webhooks begin where they have got to.
func (s *Server) openOutbox(cfg *config.Config) {
	s.outbox.Start(outbox.Options{Log: s.store, Observe: s.hub.Observe, Logger: s.log, Meter: s.telemetry})
	s.outbox.SetApps(cfg.OutboxApps())
	s.telemetry.Outbox(func() []outbox.Status {
		all, err := s.outbox.Status(context.Background(), "")
		if err != nil {
			s.log.Error("the state of the webhooks", "error", err)
		}
		return all
	})
}

// Run serves until ctx ends, then drains and closes everything.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, len(s.public)+2)
	stop := s.serve(failed)
	s.phase.Store(int32(serving))
	select {
	case err := <-failed:
		_ = s.http.Close()
		stop()
		return errors.Join(err, s.close())
	case <-ctx.Done():
	}
	s.phase.Store(int32(draining))
	s.drain()
	stop()
	return s.close()
}

// close ends every session and the connections that are left, after they have been told, and closes the log.
func (s *Server) close() error {
	s.outbox.Close()     // before the log
	s.pusher.xhr.Close() // what has no connection is not waited for
	err := s.hub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = s.loops.Wait(ctx) // who does not go is ended
	s.loops.Close()
	return err
}

// serve starts to answer at all listeners. Stop ends what is beside the public ones, which the drain ends.
func (s *Server) serve(failed chan<- error) (stop func()) {
	for _, l := range s.public {
		go func() { failed <- s.http.Serve(s.secured(l)) }()
	}
	beside := map[*http.Server]net.Listener{}
	if s.admin != nil {
		beside[s.adminHTTP] = s.admin
	}
	if s.redirect != nil {
		beside[s.newHTTP(s.certs.Challenges(http.HandlerFunc(s.redirectHTTPS)))] = s.redirect
	}
	for h, l := range beside {
		go func() { failed <- h.Serve(l) }()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if s.certs != nil {
		running.Go(func() { s.certs.Run(ctx) })
	}
	running.Go(func() { tidy(ctx, s.gate.Open, collectOften(), debug.FreeOSMemory) })
	return func() {
		cancel()
		running.Wait()
		for h := range beside {
			_ = h.Close()
		}
	}
}
