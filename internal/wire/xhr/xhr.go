// Package xhr moves messages for clients that can do nothing but short requests, because a proxy blocks their WebSockets: as the XMLHttpRequest transports of SockJS and of pusher-js do it. What the
// server says comes in responses, of which the next one goes on where the last one ended: one that lasts (streaming), or one for what there is (polling). What the client says comes in
// requests of its own. So a session outlives its requests.
//
//   - A session has one response at a time. A new request ends the one before.
//   - What a client says is handed over in the order in which the requests come, one at a time.
//   - A client reads a response of streaming up to a length, and then asks for the next without a word. So nothing is written behind that length: it would be lost.
//   - A browser that has lost its connection repeats the request by itself. What a client has said counts once. A response that was lost so is not passed over: the
//     session ends.
//   - Between two responses messages wait where they are pulled from, not here. A session that no request comes for in time is over.
//   - A client answers a sign of life of a response that lasts. One that does not, and that the network says nothing of either, is not there any more.
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
	// patience is how long a session stays without a response, once its client has the last one.
	patience = 5 * time.Second
	// slowest is how many characters a second a client gets at least: until it has the answer to a poll it can't ask for the next. A proxy may have it long before.
	slowest = 16 << 10
	// remembered is how many requests of one session are known again when they are repeated.
	remembered = 64
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

// Options of an Endpoint.
type Options struct {
	// MessageBytes is the largest message that is handed over.
	MessageBytes func() int64
	// AgainCode ends the session of a client that does not answer, or has lost what it was sent. It should begin another.
	AgainCode int
}

// Endpoint has the sessions of one server.
type Endpoint struct {
	o        Options
	patience time.Duration // the constant, but for tests

	mu       sync.Mutex
	sessions map[string]*session // nil: closed
}

// New makes an Endpoint.
func New(o Options) *Endpoint {
	return &Endpoint{o: o, patience: patience, sessions: map[string]*session{}}
}

// Close ends the sessions that have no response, and each other with its response. None begins any more.
func (e *Endpoint) Close() {
	e.mu.Lock()
	left := e.sessions
	e.sessions = nil
	e.mu.Unlock()
	for _, s := range left {
		<-s.made
		s.expire()
	}
}

// Has says whether there is a session of that key. A request for one that is not there begins it.
func (e *Endpoint) Has(key string) bool { return e.find(key) != nil }

func (e *Endpoint) find(key string) *session {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions[key]
}

// Serve answers a request for what the server has to say to a session, which begins with the first. The request has a name, if the client gives each another one. It
// returns false, and has written nothing, if no session can begin.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, key, name string, streaming bool, open func(wire.Conn) wire.Handler) bool {
	s := e.session(key, open)
	if s == nil {
		return false
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	p := &response{session: s, name: name, w: w, r: r, out: http.NewResponseController(w), streaming: streaming, cancel: cancel}
	if !s.attach(p) {
		p.begin() // it has just ended: the client hears of it by an empty answer
		return true
	}
	p.run(ctx)
	s.detach(p)
	return true
}

func (e *Endpoint) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions == nil
}

// session is the one of a key, which is made if it is not there.
func (e *Endpoint) session(key string, open func(wire.Conn) wire.Handler) *session {
	e.mu.Lock()
	s := e.sessions[key]
	fresh := s == nil && e.sessions != nil && len(e.sessions) < maxSessions
	if fresh {
		s = &session{
			e: e, key: key, waking: make(chan struct{}, 1), writing: make(chan struct{}, 1), receiving: make(chan struct{}, 1), made: make(chan struct{}), heard: time.Now(),
		}
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

// Send hands over what a client says: the body is a JSON array of messages, each a string. An empty one is a sign of life, as all are. The name is as for Serve.
func (e *Endpoint) Send(key, name string, body []byte) error {
	s := e.find(key)
	if s == nil {
		return ErrUnknown
	}
	<-s.made
	var messages []string
	if json.Unmarshal(body, &messages) != nil {
		return ErrMalformed
	}
	return s.receive(name, messages)
}
