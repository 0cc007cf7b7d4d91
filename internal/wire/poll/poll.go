// Package poll answers each request with what there is for the client, and waits with the answer until there is something. Between two polls
// nothing is kept for a client: what it has got is in the cursor that ends every answer.
//
//   - An answer is an array of frames (application/json). It begins when the handler has news, or the wait is over, and has the answers to all that was asked.
//   - A connection that ends before there was news is answered by Endpoint.Refuse, with a real status.
//   - An answer is written as it is pulled: it costs no memory, however much it is.
package poll

import (
	"net/http"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/wire"
)

const (
	// enough is after how many bytes an answer ends, although there is more: the next poll gets it.
	enough = 1 << 20
	// overtime is how long after the wait answers to requests are still waited for.
	overtime = 30 * time.Second
	// writePatience is how long one piece of an answer, of hardly more than enough bytes, may take to leave. Nothing is lost with an answer that is given up, for the
	// poll can be repeated; one that is never read would be held for ever.
	writePatience = 5 * time.Minute
)

// Handler is a protocol's side of a poll.
type Handler interface {
	wire.Handler
	// Conclude appends the last frame of the answer, which says where the next poll goes on.
	Conclude(dst []byte) []byte
}

// Endpoint serves polls.
type Endpoint struct {
	// Refuse answers a request whose connection ended with a code before there was news.
	Refuse func(w http.ResponseWriter, r *http.Request, code int, reason string)
}

// Serve answers one request. Frames are what it says; wait is for how long there may be nothing to answer.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, frames []byte, wait time.Duration, open func(wire.Conn) Handler) {
	p := &poll{e: e, w: w, r: r, wake: make(chan struct{}, 1), closed: make(chan struct{})}
	p.handler = open(p)
	received := make(chan struct{})
	go func() {
		p.handler.Receive(frames, false)
		close(received) // before the wake: else the answer may be found unfinished, and nothing would wake it again
		p.Wake()
	}()
	p.run(wait, received)
	p.handler.Closed(time.Now())
	<-received
}

// poll is one request.
type poll struct {
	e       *Endpoint
	w       http.ResponseWriter
	r       *http.Request
	handler Handler
	wake    chan struct{}
	once    sync.Once
	closed  chan struct{}

	pulled  []byte // not written yet
	written int
	begun   bool
}

// Wake implements wire.Conn.
func (p *poll) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Close implements wire.Conn.
func (p *poll) Close(int, string) { p.once.Do(func() { close(p.closed) }) }

func (p *poll) run(wait time.Duration, received <-chan struct{}) {
	over := time.NewTimer(wait)
	defer over.Stop()
	late := false
	for {
		select {
		case <-p.wake:
		case <-over.C:
			if late {
				p.conclude()
				return
			}
			late = true
			over.Reset(overtime)
		case <-p.closed:
			return
		case <-p.r.Context().Done():
			return
		}
		if p.pull(late, received) {
			return
		}
	}
}

// pull takes what there is, and reports whether the answer is complete.
func (p *poll) pull(late bool, received <-chan struct{}) (done bool) {
	for {
		all := isClosed(received) // before Pull: then that has seen what every frame has led to
		var next wire.Next
		p.pulled, next = p.handler.Pull(p.pulled, true)
		complete := all && !next.Waiting && (next.News || late)
		switch {
		case next.End != 0 && !p.begun && !next.News:
			p.e.Refuse(p.w, p.r, next.End, next.Reason)
			return true
		case next.End != 0:
			p.conclude()
			return true
		case len(p.pulled) > 0 && (p.begun || next.News || len(p.pulled) > enough) && !p.write():
			return true
		}
		if complete && (!next.More || p.written > enough) {
			p.conclude()
			return true
		}
		if !next.More {
			return false
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// write writes what was pulled. Each frame is led by a comma, in place of which the first has the bracket.
func (p *poll) write() bool {
	if !p.begun {
		p.begun = true
		h := p.w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		p.pulled[0] = '['
	}
	_ = http.NewResponseController(p.w).SetWriteDeadline(time.Now().Add(writePatience)) // not every ResponseWriter can
	n, err := p.w.Write(p.pulled)
	p.written += n
	p.pulled = p.pulled[:0]
	return err == nil
}

func (p *poll) conclude() {
	p.pulled = append(p.handler.Conclude(p.pulled), "]\n"...)
	p.write()
}

// AppendFrame is the form of a frame in an answer.
func AppendFrame(dst, frame []byte, _ string) []byte {
	return append(append(dst, ','), frame...)
}
