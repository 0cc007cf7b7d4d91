package clienttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// door is a server that has the four transports.
type door struct {
	t T
	// admit returns what serves the next connection; nil refuses it with 503.
	admit   func() func(pipe)
	running sync.WaitGroup

	mu     sync.Mutex
	next   int
	closed bool
	pipes  map[string]*httpPipe // by session and by session key
}

// newDoor opens a door, which is closed when the test ends, after the connections have been served to their end.
func newDoor(t T, admit func() func(pipe)) (url string) {
	d := &door{t: t, admit: admit, pipes: map[string]*httpPipe{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ws", d.webSocket)
	mux.HandleFunc("POST /v1/stream", d.stream("application/x-ndjson", "%s\n"))
	mux.HandleFunc("POST /v1/sse", d.stream("text/event-stream", "id: x\ndata: %s\n\n"))
	mux.HandleFunc("POST /v1/send", d.send)
	mux.HandleFunc("POST /v1/poll", d.poll)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		d.close()
		server.Close()
		d.running.Wait()
	})
	return server.URL
}

// close ends the connections that there are, and those that clients still begin.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, p := range d.pipes {
		p.end(0, "")
	}
}

func (d *door) enter(w http.ResponseWriter) func(pipe) {
	serve := d.admit()
	if serve == nil {
		http.Error(w, "the script is over", http.StatusServiceUnavailable)
	}
	return serve
}

func (d *door) webSocket(w http.ResponseWriter, r *http.Request) {
	serve := d.enter(w)
	if serve == nil {
		return
	}
	upgrader := websocket.Upgrader{Subprotocols: []string{"sno.v1"}}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		d.t.Errorf("upgrade: %v", err)
		return
	}
	defer ws.Close()
	serve(wsPipe{ws})
}

// begin makes a pipe of the frames that begin a connection and serves it. A connection that had the session is gone.
func (d *door) begin(frames []json.RawMessage, serve func(pipe)) *httpPipe {
	d.mu.Lock()
	d.next++
	hello := helloOf(frames)
	p := newHTTPPipe(fmt.Sprint("s", d.next), hello.SessionKey)
	if p.key == "" {
		p.key = fmt.Sprint("key", d.next)
	}
	before := d.pipes[p.key]
	d.pipes[p.id], d.pipes[p.key] = p, p
	if d.closed {
		p.end(0, "")
	}
	d.mu.Unlock()
	if before != nil {
		before.leave(websocket.CloseAbnormalClosure)
	}
	p.in <- frames
	d.running.Go(func() {
		serve(p)
		p.end(0, "")
	})
	return p
}

func (d *door) find(name string) *httpPipe {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pipes[name]
}

func (d *door) stream(contentType, form string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		serve := d.enter(w)
		if serve == nil {
			return
		}
		frames := d.body(r)
		p := d.begin(frames, serve)
		defer p.leave(websocket.CloseAbnormalClosure)
		w.Header().Set("Content-Type", contentType)
		for written := 0; ; {
			frames, ended, changed := p.after(written)
			for _, f := range frames {
				fmt.Fprintf(w, form, f) // a client that has gone ends the request
			}
			w.(http.Flusher).Flush()
			if written += len(frames); ended {
				return
			}
			select {
			case <-changed:
			case <-r.Context().Done():
				return
			}
		}
	}
}

func (d *door) send(w http.ResponseWriter, r *http.Request) {
	frames := d.body(r)
	p := d.find(helloOf(frames).Session)
	if p == nil {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"code":4309,"detail":"there is no such session"}`))
		return
	}
	take(p, frames[1:])
	w.WriteHeader(http.StatusNoContent)
}

// take hands frames to what serves the pipe.
func take(p *httpPipe, frames []json.RawMessage) {
	if len(frames) > 0 && helloOf(frames).Type == "close" {
		p.leave(websocket.CloseNormalClosure)
		return
	}
	p.in <- frames
}

func (d *door) poll(w http.ResponseWriter, r *http.Request) {
	frames := d.body(r)
	hello := helloOf(frames)
	p, from, rest := d.find(hello.SessionKey), 0, frames[1:]
	switch {
	case len(rest) > 0 && helloOf(rest).Cursor != "":
		from, _ = strconv.Atoi(helloOf(rest).Cursor)
		rest = rest[1:]
	case len(rest) > 0: // a goodbye
	default:
		serve := d.enter(w)
		if serve == nil {
			return
		}
		p = d.begin(frames, serve)
	}
	for len(rest) > 0 && helloOf(rest).Type == "enter" && refOf(rest[0]) == "" {
		rest = rest[1:] // said again with each poll
	}
	if len(rest) > 0 {
		take(p, rest)
	}
	wait, _ := strconv.ParseFloat(r.URL.Query().Get("wait"), 64)
	p.answer(w, r, from, rest, time.Duration(wait*float64(time.Second)))
}

// answer answers a poll when there is something after from and all its requests have been answered, or the wait is over. A connection that
// has ended is cut when there is nothing left of it.
func (p *httpPipe) answer(w http.ResponseWriter, r *http.Request, from int, asked []json.RawMessage, wait time.Duration) {
	over := time.After(wait)
	late := false
	for {
		frames, ended, changed := p.after(from)
		all := p.answered(asked) // after changed was taken: an answer that comes in between is not waited for
		if ended && len(frames) == 0 {
			panic(http.ErrAbortHandler)
		}
		// The welcome belongs to the first poll, which does not wait for it in vain.
		if ended || all && (len(frames) > 0 || late && from > 0) {
			cursor := fmt.Appendf(nil, `{"type":"cursor","cursor":"%d"}`, from+len(frames))
			all := append(append([]json.RawMessage(nil), frames...), cursor)
			_ = json.NewEncoder(w).Encode(all) // a client that has gone asks again
			return
		}
		select {
		case <-changed:
		case <-over:
			late, over = true, nil
		case <-r.Context().Done():
			return
		}
	}
}

func (d *door) body(r *http.Request) []json.RawMessage {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	frames, err := split(b)
	if err != nil || len(frames) == 0 {
		d.t.Errorf("script: the client sent %q: %v", b, err)
		panic(http.ErrAbortHandler)
	}
	return frames
}

// split returns the frames of a body or WebSocket message: objects and arrays of objects, one after the other.
func split(b []byte) (frames []json.RawMessage, err error) {
	values := json.NewDecoder(bytes.NewReader(b))
	for {
		var value json.RawMessage
		if err := values.Decode(&value); errors.Is(err, io.EOF) {
			return frames, nil
		} else if err != nil {
			return nil, err
		}
		if value[0] != '[' {
			frames = append(frames, value)
			continue
		}
		var several []json.RawMessage
		if err := json.Unmarshal(value, &several); err != nil {
			return nil, err
		}
		frames = append(frames, several...)
	}
}

type hello struct {
	Type, Session, Cursor string
	SessionKey            string `json:"session_key"`
}

// helloOf reads what a door has to know of the first frame.
func helloOf(frames []json.RawMessage) (h hello) {
	_ = json.Unmarshal(frames[0], &h) // a frame that is none is refused by what serves the connection
	return h
}
