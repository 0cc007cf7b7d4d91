package stream

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/wire/liveness"
	"github.com/snoserver/sno/internal/wire/loop"
)

// request is a response as long as net/http has it.
type request struct {
	*conn
	o        *Options
	w        http.ResponseWriter
	r        *http.Request
	out      *http.ResponseController
	waking   chan struct{}
	received chan struct{} // closed when what the request says is done
	cancel   context.CancelFunc
	begun    bool // the header is written

	mu        sync.Mutex
	lastHeard time.Time // if the peer was lost
}

func (q *request) receive(frames []byte) {
	defer close(q.received)
	q.handler.Receive(frames, false)
}

func (q *request) wake() {
	select {
	case q.waking <- struct{}{}:
	default:
	}
}

// abort ends a write that may be under way, and with it the response.
func (q *request) abort() {
	q.cancel()
	_ = q.out.SetWriteDeadline(time.Now())
}

// check ends the response if its bytes wait for a peer that is not there any more. A peer that has everything cannot be asked.
func (q *request) check(time.Time) bool {
	last, lost := liveness.Lost(liveness.Conn(q.r.Context()))
	if lost {
		q.mu.Lock()
		q.lastHeard = last
		q.mu.Unlock()
		q.abort()
	}
	return !lost
}

// heardLast is when the peer gave its last sign of life. A connection that ends in order does not say whether the client means to come back.
func (q *request) heardLast() time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lastHeard.IsZero() {
		return time.Now()
	}
	return q.lastHeard
}

// run writes until the response is over or a loop drives it, which it reports.
func (q *request) run(ctx context.Context) (moved bool) {
	received := q.received
	for {
		select {
		case <-q.waking:
			if !q.flush() {
				return false
			}
		case <-received:
			received = nil
		case <-ctx.Done():
			return false
		}
		if received == nil && q.begun && q.seat != nil {
			switch err := q.move(); {
			case err == nil:
				return true
			case !errors.Is(err, http.ErrNotSupported):
				return false
			}
			q.seat = nil
		}
	}
}

// flush writes what can be pulled until nothing is left.
func (q *request) flush() bool {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keptBuffer {
			buffers.Put(buf)
		}
	}()
	for {
		out, next := q.handler.Pull((*buf)[:0], true)
		*buf = out
		if next.Shared != nil {
			out = next.Shared.Bytes
		}
		if next.End != 0 && !q.begun && q.o.Refuse(q.w, q.r, next.End, next.Reason) {
			return false
		}
		if len(out) > 0 && !q.write(out) {
			return false
		}
		if next.End != 0 {
			return false
		}
		if !next.More {
			return true
		}
	}
}

func (q *request) write(out []byte) bool {
	if !q.begun {
		q.begin()
	}
	if _, err := q.w.Write(out); err != nil {
		return false
	}
	return q.out.Flush() == nil
}

func (q *request) begin() {
	q.begun = true
	h := q.w.Header()
	h.Set("Content-Type", q.o.ContentType)
	h.Set("Cache-Control", "no-store, no-transform") // a proxy that compresses would hold back what it compresses
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	if q.seat != nil { // what a loop drives does not come back for another request
		h.Set("Connection", "close")
	}
	if q.o.Prelude != nil {
		_, _ = q.w.Write(q.o.Prelude()) // the next write tells whether the client has gone
	}
}

// move gives the connection to a loop: everything that net/http has to say is said, but for the end.
func (q *request) move() error {
	nc, rw, err := q.out.Hijack()
	if err != nil {
		return err
	}
	q.chunked = q.r.ProtoAtLeast(1, 1)
	early, _ := rw.Peek(rw.Reader.Buffered()) // they are there
	unread := bytes.Clone(early)
	q.request.Store(nil)
	err = q.seat.Attach(nc, unread, func(at *loop.Conn) loop.Machine { return q.linked(at) })
	if errors.Is(err, loop.ErrNoSocket) {
		loop.Serve(nc, unread, func(l loop.Link) loop.Machine { return q.linked(l) })
		err = nil
	}
	return err
}
