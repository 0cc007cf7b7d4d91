package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// storm is one time at which all connections are cut and come back.
type storm struct {
	opened  time.Duration  // when they were let back
	targets []hub.Position // what was acknowledged by then, by channel
}

// returns is where a subscriber is in a storm. It is written by the client's reading goroutine.
type returns struct {
	returned *storm                // the newest storm after which it was back
	caughtUp atomic.Pointer[storm] // and had all that was published before that one's end
}

// back notes that the subscription goes on.
func (s *subscriber) back() {
	if st := s.r.storm.Load(); st != nil && s.returned != st {
		s.returned = st
		now := s.r.now()
		s.r.meters["back"].add(s.number, now, now-st.opened)
	}
}

// reads notes where the subscriber is, when everything up to there has been counted.
func (s *subscriber) reads(at hub.Position) {
	s.mu.Lock()
	s.at = at
	s.mu.Unlock()
	st := s.returned
	if st == nil || s.caughtUp.Load() == st || !reached(at, st.targets[s.channel]) {
		return
	}
	s.caughtUp.Store(st)
	now := s.r.now()
	s.r.meters["caught_up"].add(s.number, now, now-st.opened)
}

// resume publishes all the time, and cuts all subscribers at once.
func (r *runner) resume(ctx context.Context) {
	subs := r.subscribers(ctx)
	all := r.publishers(ctx, r.o.Publishers, 0, &meter{})
	stopped, stop := context.WithCancel(ctx)
	var publishing sync.WaitGroup
	r.gauge.begin()
	publishing.Go(func() { r.publishing(stopped, all, 24*time.Hour) })
	for range r.o.Storms {
		if !pause(ctx, r.o.Duration) {
			break
		}
		r.blow(ctx, subs)
	}
	pause(ctx, r.o.Duration)
	stop()
	publishing.Wait()
	r.drain(ctx, subs)
	r.gauge.end()
	r.judge(len(subs))
}

// blow cuts every subscriber's connection, keeps them away, and waits until all have caught up.
func (r *runner) blow(ctx context.Context, subs []*subscriber) {
	r.gate.close()
	for _, s := range subs {
		s.cut = s.client.State() == client.StateConnected
		s.client.Drop()
	}
	pause(ctx, r.o.Away)
	r.mu.Lock()
	st := &storm{opened: r.now(), targets: append([]hub.Position(nil), r.heads...)}
	r.mu.Unlock()
	r.meters["back"].begin(st.opened)
	r.meters["caught_up"].begin(st.opened)
	r.storm.Store(st)
	r.gate.open()
	timed, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	missing := subs
	until(timed, func() bool {
		var still []*subscriber
		for _, s := range missing {
			if !s.there(st) {
				still = append(still, s)
			}
		}
		missing = still
		return len(missing) == 0
	})
	for range missing {
		r.left(ctx, "subscribers did not catch up in time after they were cut", errors.New("see the errors"))
	}
}

// there says whether the subscriber has come through the storm, or never will. One that was just connecting when all others were cut was not cut.
func (s *subscriber) there(st *storm) bool {
	select {
	case <-s.client.Done():
		return true // it was counted when it ended
	default:
	}
	return s.caughtUp.Load() == st || !s.cut && s.client.State() == client.StateConnected && reached(s.position(), st.targets[s.channel])
}
