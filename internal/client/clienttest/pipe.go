package clienttest

import (
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// goneError says that the client has gone, with the code of its goodbye.
type goneError struct{ code int }

func (e *goneError) Error() string { return "the client has gone" }

// errTimeout is returned by receive when nothing has come in time.
var errTimeout = errors.New("nothing came")

// pipe is a connection, whatever its transport.
type pipe interface {
	// receive returns the client's next frames.
	receive(within time.Duration) ([]json.RawMessage, error)
	send(frames []Frame) error
	// end closes the connection with a code; 0: without a word.
	end(code int, text string)
}

// wsPipe is a WebSocket.
type wsPipe struct{ ws *websocket.Conn }

func (p wsPipe) receive(within time.Duration) ([]json.RawMessage, error) {
	_ = p.ws.SetReadDeadline(time.Now().Add(within))
	_, b, err := p.ws.ReadMessage()
	if e, ok := errors.AsType[*websocket.CloseError](err); ok {
		return nil, &goneError{e.Code}
	}
	if err != nil {
		return nil, &goneError{websocket.CloseAbnormalClosure}
	}
	return split(b)
}

func (p wsPipe) send(frames []Frame) error {
	if len(frames) == 1 {
		return p.ws.WriteJSON(frames[0])
	}
	return p.ws.WriteJSON(frames)
}

func (p wsPipe) end(code int, text string) {
	if code == 0 {
		_ = p.ws.NetConn().Close()
		return
	}
	_ = p.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(time.Second))
}

// httpPipe is a connection made of requests: what comes is put in by the requests, what goes is taken by the response, or by the polls.
type httpPipe struct {
	id, key string
	in      chan []json.RawMessage

	mu      sync.Mutex
	out     []json.RawMessage // all there ever was
	refs    map[string]bool   // of the requests that have been answered
	ended   bool              // by the script
	gone    *goneError        // the client
	changed chan struct{}     // closed at every change
}

func newHTTPPipe(id, key string) *httpPipe {
	return &httpPipe{id: id, key: key, in: make(chan []json.RawMessage, 1000), refs: map[string]bool{}, changed: make(chan struct{})}
}

// change is called with mu held.
func (p *httpPipe) change() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *httpPipe) receive(within time.Duration) ([]json.RawMessage, error) {
	over := time.After(within)
	for {
		p.mu.Lock()
		gone, changed := p.gone, p.changed
		if p.ended && gone == nil {
			gone = &goneError{websocket.CloseAbnormalClosure}
		}
		p.mu.Unlock()
		select {
		case frames := <-p.in:
			return frames, nil
		default:
		}
		if gone != nil {
			return nil, gone
		}
		select {
		case frames := <-p.in:
			return frames, nil
		case <-changed:
		case <-over:
			return nil, errTimeout
		}
	}
}

func (p *httpPipe) send(frames []Frame) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range frames {
		if f["type"] == "welcome" {
			f = withSession(f, p.id, p.key)
		}
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		p.out = append(p.out, b)
		p.refs[refOf(b)] = true
	}
	p.change()
	return nil
}

func withSession(f Frame, id, key string) Frame {
	welcome := maps.Clone(f)
	welcome["session"], welcome["session_key"] = id, key
	return welcome
}

func (p *httpPipe) end(code int, text string) {
	if code >= 4000 {
		_ = p.send([]Frame{{"type": "error", "code": code, "text": text}})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.change()
}

// leave says that the client has gone.
func (p *httpPipe) leave(code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone == nil {
		p.gone = &goneError{code}
		p.change()
	}
}

// after returns what was sent after the first n frames.
func (p *httpPipe) after(n int) (frames []json.RawMessage, ended bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out[n:], p.ended, p.changed
}

// answered says whether all these requests have been.
func (p *httpPipe) answered(frames []json.RawMessage) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range frames {
		if ref := refOf(f); ref != "" && !p.refs[ref] {
			return false
		}
	}
	return true
}

func refOf(frame json.RawMessage) string {
	var f struct{ Ref json.RawMessage }
	_ = json.Unmarshal(frame, &f) // a frame that is none has none
	return string(f.Ref)
}
