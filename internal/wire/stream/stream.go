// Package stream moves frames to the client in one HTTP response that does not end: as lines (application/x-ndjson) or as events (text/event-stream, the
// "Server-sent events" of the HTML standard). What the client has to say comes in the request, and later in requests of its own.
//
//   - A connection that ends before anything was written is answered by Options.Refuse, with a real status.
//   - Every byte is flushed when it is written, and intermediaries are asked not to hold it back.
//   - A response is written only as fast as the client reads; one that is only slow is not cut off.
//   - Over HTTP/1.1 a response that has begun is driven by a loop: idle, it costs no goroutine and no buffer.
package stream

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/loop"
)

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBuffer is the largest buffer that goes back to the pool: one huge message must not pin its memory.
const keptBuffer = 256 << 10

// Options of an Endpoint.
type Options struct {
	// Loops drive the responses over HTTP/1.1, once they have begun. nil: each has the goroutine of its request.
	Loops *loop.Group
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

// Serve moves frames until the client goes, the handler ends the connection, or a loop drives it.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, first Opening, open func(wire.Conn) wire.Handler) {
	c := &conn{}
	if e.o.Loops != nil && r.ProtoMajor == 1 {
		c.seat = e.o.Loops.Seat()
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	q := &request{conn: c, o: &e.o, w: w, r: r, out: http.NewResponseController(w), waking: make(chan struct{}, 1), received: make(chan struct{}), cancel: cancel}
	c.request.Store(q)
	c.handler = open(c)
	if first.Whole {
		q.receive(first.Frames)
	} else {
		go q.receive(first.Frames)
	}
	watch := wire.NewWatch(c.handler.Heartbeat, q.check)
	moved := q.run(ctx)
	watch.Stop()
	if !moved {
		c.handler.Closed(q.heardLast())
		<-q.received
	}
}

// conn is one response.
type conn struct {
	handler wire.Handler
	seat    *loop.Loop              // nil: no loop will drive it
	request atomic.Pointer[request] // nil: a loop drives it
	link    atomic.Pointer[link]    // which then is this
	chunked bool                    // as HTTP/1.1 has it
	lost    atomic.Int64            // when a peer that was lost gave its last sign of life, Unix nanoseconds
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
