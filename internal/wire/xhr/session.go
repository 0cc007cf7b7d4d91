package xhr

import (
	"context"
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
	writing chan struct{} // holds something while a response pulls
	greeted bool          // the writer's: the client knows that the session has begun

	receiving sync.Mutex
	posts     atomic.Int32

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
		s.has.cancel()
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
	defer s.mu.Unlock()
	if s.has != p || s.over {
		return
	}
	s.has, s.heard = nil, time.Now()
	if at := p.lost.Load(); at != 0 {
		s.heard = time.Unix(0, at)
	}
	s.idle = time.AfterFunc(s.e.patience, s.expire)
}

// expire ends a session that no request has come for.
func (s *session) expire() {
	s.mu.Lock()
	waits := s.has == nil && !s.over
	heard := s.heard
	s.over = s.over || waits
	s.mu.Unlock()
	if waits {
		s.finish(heard)
	}
}

// end ends the session whose last word has been said. Only its response calls it.
func (s *session) end() {
	s.mu.Lock()
	over := s.over
	s.over = true
	s.mu.Unlock()
	if !over {
		s.finish(time.Now())
	}
}

func (s *session) finish(heard time.Time) {
	s.e.mu.Lock()
	delete(s.e.sessions, s.key)
	s.e.mu.Unlock()
	s.handler.Closed(heard)
}

func (s *session) isOver() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over
}

// receive hands over messages, behind those that came before.
func (s *session) receive(messages []string) error {
	if s.posts.Add(1) > maxPosts {
		s.posts.Add(-1)
		return ErrTooMany
	}
	defer s.posts.Add(-1)
	s.receiving.Lock()
	defer s.receiving.Unlock()
	for _, m := range messages {
		switch {
		case s.isOver():
			return ErrUnknown
		case int64(len(m)) > s.e.MessageBytes():
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
