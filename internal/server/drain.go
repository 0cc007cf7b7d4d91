package server

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// lastWords is how long closing connections have to say goodbye when the drain is over.
const lastWords = 3 * time.Second

// drain lets every client go at a time of its own, then ends what is left. Before that it goes on as ever for a while, so that load balancers can see
// that the server is not ready, and nobody is sent here who is then sent away.
func (s *Server) drain() {
	cfg := &s.now.Load().Config
	if delay := cfg.DrainDelay.Duration(); delay > 0 {
		s.log.Info("not ready any more; draining after the delay", "delay", delay)
		time.Sleep(delay)
	}
	window := cfg.Drain.Duration()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.stopHTTP(window + lastWords)
	}()
	s.outbox.Drain()
	s.goaway(window)
	ctx, cancel := context.WithTimeout(context.Background(), window+lastWords)
	defer cancel()
	gone := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(gone)
	}()
	err := s.loops.Wait(ctx)
	select {
	case <-gone:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.log.Warn("some clients did not go in time")
	}
	<-stopped
}

// stopHTTP stops listening and waits for the requests that are under way.
func (s *Server) stopHTTP(patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("requests did not end in time", "error", err)
		_ = s.http.Close()
	}
}

// goaway asks every session to go at a random time within the window.
func (s *Server) goaway(window time.Duration) {
	why := hub.Errorf(hub.CodeGoaway, "the server is shutting down; connect again after the delay")
	s.hub.Refuse(why)
	s.hub.Sessions(func(c *hub.Session) {
		delay := time.Duration(0)
		if window > 0 {
			delay = rand.N(window)
		}
		c.Goaway(delay, why)
		time.AfterFunc(delay, func() { c.End(why) })
	})
}
