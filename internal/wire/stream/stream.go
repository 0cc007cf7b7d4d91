// Package stream moves frames to the client in one HTTP response that does not end: as lines (application/x-ndjson) or as events (text/event-stream, the
// "Server-sent events" of the HTML standard). What the client has to say comes in the request, and later in requests of its own.
//
//   - A connection that ends before anything was written is answered by Options.Refuse, with a real status.
//   - Every byte is flushed when it is written, and intermediaries are asked not to hold it back.
//   - A response is written only as fast as the client reads; one that is only slow is not cut off.
package stream

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
)

// Options of an Endpoint.
type Options struct {
	// ContentType of the response.
	ContentType string
	// Prelude is written before the first frame; may be nil.
	Prelude func() []byte
	// Refuse answers a request whose connection ended with a code before there was anything to write. It reports whether it did: otherwise the response
	// begins, and the last frame says why it ends.
	Refuse func(w http.ResponseWriter, r *http.Request, code int, reason string) bool
}

// Endpoint serves responses of one form.
type Endpoint struct{ o Options }

// New makes an Endpoint.
func New(o Options) *Endpoint { return &Endpoint{o} }

// Opening is a request as it was read.
type Opening struct {
	// Frames are the client's first.
	Frames []byte
	// Whole: they are handled before anything is written, so that the status says whether they could be. Only for a few: nothing is taken from the handler meanwhile.
	Whole bool
}

// Serve moves frames until the client goes or the handler ends the connection.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, first Opening, open func(wire.Conn) wire.Handler) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	c := &conn{o: &e.o, w: w, r: r, out: http.NewResponseController(w), wake: make(chan struct{}, 1), cancel: cancel}
	c.handler = open(c)
	received := make(chan struct{})
	receive := func() {
		defer close(received)
		c.handler.Receive(first.Frames, false)
	}
	if first.Whole {
		receive()
	} else {
		go receive()
	}
	watch := wire.NewWatch(c.handler.Heartbeat, c.check)
	c.run(ctx)
	watch.Stop()
	c.handler.Closed(c.heardLast())
	<-received
}

// conn is one response.
type conn struct {
	o       *Options
	w       http.ResponseWriter
	r       *http.Request
	out     *http.ResponseController
	handler wire.Handler
	wake    chan struct{}
	cancel  context.CancelFunc
	begun   bool // the header is written

	mu        sync.Mutex
	lastHeard time.Time // if the peer was lost
}

// Wake implements wire.Conn.
func (c *conn) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close implements wire.Conn. A response has no place for a code once it has begun.
func (c *conn) Close(int, string) { c.abort() }

// abort ends a write that may be under way, and with it the response.
func (c *conn) abort() {
	c.cancel()
	_ = c.out.SetWriteDeadline(time.Now())
}

// check ends the response if its bytes wait for a peer that is not there any more. A peer that has everything cannot be asked.
func (c *conn) check(time.Time) bool {
	last, lost := liveness.Lost(liveness.Conn(c.r.Context()))
	if lost {
		c.mu.Lock()
		c.lastHeard = last
		c.mu.Unlock()
		c.abort()
	}
	return !lost
}

// heardLast is when the peer gave its last sign of life. A connection that ends in order does not say whether the client means to come back.
func (c *conn) heardLast() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastHeard.IsZero() {
		return time.Now()
	}
	return c.lastHeard
}

func (c *conn) run(ctx context.Context) {
	for {
		select {
		case <-c.wake:
			if !c.flush() {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBuffer is the largest buffer that goes back to the pool: one huge message must not pin its memory.
const keptBuffer = 256 << 10

// flush writes what can be pulled until nothing is left.
func (c *conn) flush() bool {
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keptBuffer {
			buffers.Put(buf)
		}
	}()
	for {
		out, next := c.handler.Pull((*buf)[:0])
		*buf = out
		if next.End != 0 && !c.begun && c.o.Refuse(c.w, c.r, next.End, next.Reason) {
			return false
		}
		if len(out) > 0 && !c.write(out) {
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

func (c *conn) write(out []byte) bool {
	if !c.begun {
		c.begin()
	}
	if _, err := c.w.Write(out); err != nil {
		return false
	}
	return c.out.Flush() == nil
}

func (c *conn) begin() {
	c.begun = true
	h := c.w.Header()
	h.Set("Content-Type", c.o.ContentType)
	h.Set("Cache-Control", "no-store, no-transform") // a proxy that compresses would hold back what it compresses
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	if c.o.Prelude != nil {
		_, _ = c.w.Write(c.o.Prelude()) // the next write tells whether the client has gone
	}
}

// AppendLine is the form of a frame as a line. A line break in a frame can only be white space between tokens of its JSON, where a blank means the same.
func AppendLine(dst, frame []byte, _ string) []byte {
	return append(appendUnbroken(dst, frame), '\n')
}

// AppendEvent is the form of a frame as a server-sent event, with cursor as its id if there is one.
func AppendEvent(dst, frame []byte, cursor string) []byte {
	if cursor != "" {
		dst = append(append(append(dst, "id: "...), cursor...), '\n')
	}
	return append(appendUnbroken(append(dst, "data: "...), frame), "\n\n"...)
}

func appendUnbroken(dst, frame []byte) []byte {
	at := len(dst)
	dst = append(dst, frame...)
	if bytes.ContainsAny(frame, "\r\n") {
		for i := at; i < len(dst); i++ {
			if dst[i] == '\n' || dst[i] == '\r' {
				dst[i] = ' '
			}
		}
	}
	return dst
}
