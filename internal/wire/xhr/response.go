package xhr

import (
	"bytes"
	"context"
	"encoding/json"
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
	w         http.ResponseWriter
	r         *http.Request
	out       *http.ResponseController
	streaming bool
	cancel    context.CancelFunc
	written   int // characters

	lost atomic.Int64 // when a peer that was lost gave its last sign of life, Unix nanoseconds
}

// run writes until the response is over.
func (p *response) run(ctx context.Context) {
	if !p.pulls(ctx) {
		return
	}
	defer func() { <-p.writing }()
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
		if !p.write("o\n") {
			return
		}
	}
	for {
		switch {
		case !p.flush(ctx), !p.streaming && p.written > 0:
			return
		case p.streaming && p.written > enough:
			<-ctx.Done() // the client asks for the next
			return
		}
		select {
		case <-p.waking:
		case <-beats:
			if !p.write("h\n") || !p.streaming {
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
		p.write(string(bytes.Repeat([]byte{'h'}, preludeBytes)) + "\n")
	}
}

// check gives a response up whose bytes wait for a peer that is not there any more.
func (p *response) check(time.Time) bool {
	last, lost := liveness.Lost(liveness.Conn(p.r.Context()))
	if lost {
		p.lost.Store(last.UnixNano())
		p.cancel()
		_ = p.out.SetWriteDeadline(time.Now())
	}
	return !lost
}

// flush writes what can be pulled. It reports whether the response goes on.
func (p *response) flush(ctx context.Context) bool {
	if c := p.isClosing(); c != nil {
		return p.last(c.code, c.reason)
	}
	buf := buffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keptBuffer {
			buffers.Put(buf)
		}
	}()
	for ctx.Err() == nil && p.written <= enough {
		out, next := p.handler.Pull((*buf)[:0], true)
		*buf = out
		messages := split(out, next.Shared)
		if len(messages) > 0 && !p.write(frame(messages)) {
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

// last says that the session ends, and ends it.
func (p *response) last(code int, reason string) bool {
	p.write("c[" + strconv.Itoa(code) + "," + quoted(reason) + "]\n")
	p.end()
	return false
}

// split is what one Pull has given: a message, or several.
func split(out []byte, shared *wire.Payload) [][]byte {
	switch {
	case shared == nil && len(out) == 0:
		return nil
	case shared == nil:
		return [][]byte{out}
	case shared.Ends == nil:
		return [][]byte{shared.Bytes}
	}
	messages := make([][]byte, len(shared.Ends))
	start := 0
	for i, end := range shared.Ends {
		messages[i] = shared.Bytes[start:end]
		start = end
	}
	return messages
}

// frame is a line of messages.
func frame(messages [][]byte) string {
	line := []byte("a[")
	for i, m := range messages {
		if i > 0 {
			line = append(line, ',')
		}
		line = append(line, quoted(string(m))...)
	}
	return string(append(line, "]\n"...))
}

// quoted is a JSON string.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can be
	return string(bytes.TrimSuffix(b.Bytes(), []byte{'\n'}))
}

func (p *response) write(line string) bool {
	if _, err := p.w.Write([]byte(line)); err != nil {
		return false
	}
	p.written += characters(line)
	return p.out.Flush() == nil
}

// characters is how long a string is in JavaScript: in units of UTF-16.
func characters(s string) int {
	n := utf8.RuneCountInString(s)
	for _, r := range s {
		if r > 0xffff {
			n++
		}
	}
	return n
}
