package xhr

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
)

const (
	// enough is after how many characters, as JavaScript counts them, a client of streaming asks for the next response, once it has read all that is there. It is
	// also after how many the response to a poll ends, although there is more.
	enough = 256 << 10
	// preludeBytes is how much is written before the first line of streaming: there are proxies and browsers that hold back less.
	preludeBytes = 2 << 10
	// keptBuffer is the largest buffer that goes back to the pool.
	keptBuffer = 256 << 10
)

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// response is one of a session.
type response struct {
	*session
	name      string // of its request; may be empty
	w         http.ResponseWriter
	r         *http.Request
	out       *http.ResponseController
	streaming bool
	cancel    context.CancelFunc
	size      int // characters written

	lost atomic.Int64 // when a peer that was lost gave its last sign of life, Unix nanoseconds
}

// run writes until the response is over.
func (p *response) run(ctx context.Context) {
	if !p.pulls(ctx) {
		return
	}
	defer func() {
		if p.size > 0 {
			p.answered = p.name
		}
		<-p.writing
	}()
	if p.name != "" && p.name == p.answered {
		p.begin()
		p.last(p.e.o.AgainCode, "an answer was lost")
		return
	}
	p.begin()
	beats := make(chan struct{}, 1)
	watch := wire.NewWatch(func() {
		p.handler.Heartbeat()
		select {
		case beats <- struct{}{}:
		default: // the one before waits for the writer
		}
	}, p.check)
	defer watch.Stop()
	if !p.greeted {
		p.greeted = true
		if !p.write([]byte("o\n")) {
			return
		}
	}
	for {
		switch {
		case !p.flush(ctx), !p.streaming && p.size > 0:
			return
		case p.streaming && p.size > enough:
			p.rest(ctx)
			return
		}
		select {
		case <-p.waking:
		case <-beats:
			if !p.write([]byte("h\n")) || !p.streaming {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (p *response) begin() {
	h := p.w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform") // a proxy that compresses would hold back what it compresses
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.streaming {
		p.write(append(bytes.Repeat([]byte{'h'}, preludeBytes), '\n'))
	}
}

// rest waits until the client, which reads nothing more here, asks for the next response. It may be told of the end.
func (p *response) rest(ctx context.Context) {
	for {
		select {
		case <-p.waking: // the next response looks for what there is without being woken
			if c := p.isClosing(); c != nil {
				p.last(c.code, c.reason)
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// abort ends a write that may be under way, and with it the response.
func (p *response) abort() {
	p.cancel()
	_ = p.out.SetWriteDeadline(time.Now()) // real connections can
}

// check gives a response up whose bytes wait for a peer that is not there any more, and ends the session of a client that has not answered. What waits for a slow
// one has not been read, so that it could not.
func (p *response) check(asked time.Time) bool {
	nc := liveness.Conn(p.r.Context())
	if last, lost := liveness.Lost(nc); lost {
		p.lost.Store(last.UnixNano())
		p.abort()
		return false
	}
	if p.streaming && !p.heardSince(asked) && !liveness.Draining(nc) {
		p.Close(p.e.o.AgainCode, "the client has not answered")
		return false
	}
	return true
}

// flush writes what can be pulled. It reports whether the response goes on.
func (p *response) flush(ctx context.Context) bool {
	if c := p.isClosing(); c != nil {
		return p.last(c.code, c.reason)
	}
	pulled, line := buffers.Get().(*[]byte), buffers.Get().(*[]byte)
	defer giveBack(pulled)
	defer giveBack(line)
	for ctx.Err() == nil && p.size <= enough {
		out, next := p.handler.Pull((*pulled)[:0], true)
		*pulled = out
		*line = appendLine((*line)[:0], out, next.Shared)
		if len(*line) > 0 && !p.write(*line) {
			return false
		}
		if next.End != 0 {
			return p.last(next.End, next.Reason)
		}
		if !next.More {
			break
		}
	}
	return true
}

func giveBack(buf *[]byte) {
	if cap(*buf) <= keptBuffer {
		buffers.Put(buf)
	}
}

// last says that the session ends, and ends it.
func (p *response) last(code int, reason string) bool {
	line := strconv.AppendInt([]byte("c["), int64(code), 10)
	p.write(append(appendString(append(line, ','), []byte(reason)), "]\n"...))
	p.end()
	return false
}

func (p *response) write(line []byte) bool {
	if _, err := p.w.Write(line); err != nil {
		return false
	}
	p.size += characters(line)
	return p.out.Flush() == nil
}

// characters is how long a string is in JavaScript: in units of UTF-16.
func characters(s []byte) int {
	n := utf8.RuneCount(s)
	for _, b := range s {
		if b >= 0xf0 { // begins one of two units
			n++
		}
	}
	return n
}
