package xhr

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/wire"
)

// session is one client.
type session struct {
	e       *Endpoint
	key     string
	handler wire.Handler
	made    chan struct{} // closed when there is a handler
	waking  chan struct{}

	// The response's that holds writing.
	greeted  bool   // the client knows that the session has begun
	answered string // the name of the last request that something was written to

	// Each of these two holds something while it is taken. Who waits for a channel gets it in turn, as nobody does who waits for a sync.Mutex.
	writing   chan struct{} // by the response that pulls
	receiving chan struct{} // by the request whose messages are handed over
	posts     atomic.Int32  // requests that wait for receiving, or have it

	// The request's that holds receiving: the names of the newest, a ring.
	said     [remembered]string
	nextSaid int

	mu      sync.Mutex
	has     *response   // nil: none
	idle    *time.Timer // ends a session that has none
	heard   time.Time
	over    bool
	closing *closing
}

// closing is how the session is to end.
type closing struct {
	code   int
	reason string
}

var _ wire.Conn = (*session)(nil)

// Wake implements wire.Conn.
func (s *session) Wake() {
	select {
	case s.waking <- struct{}{}:
	default:
	}
}

// Close implements wire.Conn.
func (s *session) Close(code int, reason string) {
	s.mu.Lock()
	if s.closing == nil {
		s.closing = &closing{code, reason}
	}
	s.mu.Unlock()
	s.Wake()
}

func (s *session) isClosing() *closing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// attach makes p the session's response, in place of one that its client has given up.
func (s *session) attach(p *response) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return false
	}
	if s.has != nil {
		s.has.abort()
	}
	if s.idle != nil {
		s.idle.Stop()
	}
	s.has, s.heard = p, time.Now()
	return true
}

// detach leaves the session without a response, unless it has another one already.
func (s *session) detach(p *response) {
	s.mu.Lock()
	alone := s.has == p && !s.over
	if alone {
		s.has, s.heard = nil, time.Now()
		if at := p.lost.Load(); at != 0 {
			s.heard = time.Unix(0, at)
		}
		wait := s.e.patience
		if !p.streaming { // else its client has given it up, and has it all
			wait += time.Duration(p.size) * time.Second / slowest
		}
		s.idle = time.AfterFunc(wait, s.expire)
	}
	s.mu.Unlock()
	if alone && s.e.isClosed() {
		s.expire()
	}
}

// expire ends a session that no request has come for.
func (s *session) expire() {
	s.mu.Lock()
	waits := s.has == nil && !s.over
	s.over = s.over || waits
	s.mu.Unlock()
	if waits {
		s.finish()
	}
}

// end ends the session whose last word has been said. Only its response calls it.
func (s *session) end() {
	s.mu.Lock()
	over := s.over
	s.over = true
	s.mu.Unlock()
	if !over {
		s.finish()
	}
}

func (s *session) finish() {
	s.e.mu.Lock()
	delete(s.e.sessions, s.key)
	s.e.mu.Unlock()
	s.mu.Lock()
	heard := s.heard
	s.mu.Unlock()
	s.handler.Closed(heard)
}

// hear takes note of a sign of life. It returns false if the session is over.
func (s *session) hear() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = time.Now()
	return !s.over
}

func (s *session) heardSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.heard.Before(t)
}

// receive hands over messages, behind those that came before, unless it has done so already.
func (s *session) receive(name string, messages []string) error {
	if s.posts.Add(1) > maxPosts {
		s.posts.Add(-1)
		return ErrTooMany
	}
	defer s.posts.Add(-1)
	if !s.hear() {
		return ErrUnknown
	}
	s.receiving <- struct{}{}
	defer func() { <-s.receiving }()
	if name != "" && slices.Contains(s.said[:], name) {
		return nil
	}
	s.said[s.nextSaid] = name
	s.nextSaid = (s.nextSaid + 1) % remembered
	for _, m := range messages {
		switch {
		case !s.hear():
			return ErrUnknown
		case int64(len(m)) > s.e.o.MessageBytes():
			s.handler.TooLarge(int64(len(m)))
		default:
			s.handler.Receive([]byte(m), false)
		}
	}
	return nil
}

// pulls waits until it is the only one to pull.
func (s *session) pulls(ctx context.Context) bool {
	select {
	case s.writing <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
