// Package xhr moves messages for clients that can do nothing but short requests, because a proxy blocks their WebSockets: as the XMLHttpRequest transports of SockJS and of pusher-js do it. What the
// server says comes in responses, of which the next one goes on where the last one ended: one that lasts (streaming), or one for what there is (polling). What the client says comes in
// requests of its own. So a session outlives its requests.
//
//   - A session has one response at a time. A new request ends the one before.
//   - A client reads a response of streaming up to a length, and then asks for the next without a word. So nothing is written behind that length: it would be lost.
//   - Between two responses messages wait where they are pulled from, not here. A session that no request comes for in time is over.
//   - A session costs a goroutine only while it has a response.
//
// A response is lines: "o" the session begins, "a[…]" messages, each a JSON string, "h" a sign of life, "c[code,reason]" it ends.
package xhr

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/wire"
)

const (
	// patience is how long a session stays without a response.
	patience = 5 * time.Second
	// maxPosts is how many requests of one session may wait for those before them: a browser sends all that a page has to say at once.
	maxPosts = 256
	// maxSessions bounds sessions; what a socket costs does not, between two polls.
	maxSessions = 100_000
)

// What Send fails with.
var (
	ErrUnknown   = errors.New("there is no such session here, or it has ended")
	ErrMalformed = errors.New("the body must be an array of strings")
	ErrTooMany   = errors.New("too many requests of this session wait for those before them")
)

// Endpoint has the sessions of one server.
type Endpoint struct {
	// MessageBytes is the largest message that is handed over.
	MessageBytes func() int64

	patience time.Duration // default patience
	mu       sync.Mutex
	sessions map[string]*session
}

// New makes an Endpoint.
func New(messageBytes func() int64) *Endpoint {
	return &Endpoint{MessageBytes: messageBytes, patience: patience, sessions: map[string]*session{}}
}

// Has says whether there is a session of that key. A request for one that is not there begins it.
func (e *Endpoint) Has(key string) bool { return e.find(key) != nil }

func (e *Endpoint) find(key string) *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[key]
}

// Serve answers a request for what the server has to say to a session, which begins with the first. It returns false, and has written nothing, if there are too many.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, key string, streaming bool, open func(wire.Conn) wire.Handler) bool {
	s := e.session(key, open)
	if s == nil {
		return false
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	p := &response{session: s, w: w, r: r, out: http.NewResponseController(w), streaming: streaming, cancel: cancel}
	if s.attach(p) {
		p.run(ctx)
		s.detach(p)
	}
	return true
}

// session is the one of a key, which is made if it is not there.
func (e *Endpoint) session(key string, open func(wire.Conn) wire.Handler) *session {
	e.mu.Lock()
	s := e.sessions[key]
	fresh := s == nil && len(e.sessions) < maxSessions
	if fresh {
		s = &session{e: e, key: key, waking: make(chan struct{}, 1), writing: make(chan struct{}, 1), made: make(chan struct{}), heard: time.Now()}
		e.sessions[key] = s
	}
	e.mu.Unlock()
	if fresh {
		s.handler = open(s)
		close(s.made)
	}
	if s != nil {
		<-s.made
	}
	return s
}

// Send hands over what a client says: the body is a JSON array of messages, each a string. None of them is a sign of life.
func (e *Endpoint) Send(key string, body []byte) error {
	s := e.find(key)
	if s == nil {
		return ErrUnknown
	}
	<-s.made
	var messages []string
	if json.Unmarshal(body, &messages) != nil {
		return ErrMalformed
	}
	return s.receive(messages)
}
