// Package clienttest has two servers to test users of the native protocol with, where the real one is too well behaved: Script does
// what a test says frame by frame, Broker is a miniature server that can be told to lose, repeat and reorder messages.
package clienttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// T is a *testing.T or a *rapid.T.
type T interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
}

// Frame is a decoded frame.
type Frame map[string]any

// Welcome is the frame that begins most scripts; the back-off is short so that tests are.
var Welcome = Frame{
	"type": "welcome", "session": "s1", "heartbeat": 25000, "backoff": Frame{"min": 1, "max": 5},
	"limits": Frame{"message_bytes": 1 << 20, "frame_bytes": 4 << 20, "channel_bytes": 1024, "subscriptions": 100},
}

// Conn is a connection as a script sees it. A method that fails ends the test.
type Conn struct {
	t      T
	ws     *websocket.Conn
	queued []Frame
}

// Script serves connections one after the other: the nth is given to the nth step. More connections than steps are refused with 503. It returns
// the server's URL; when the test ends, every step must have run to its end.
func Script(t T, steps ...func(*Conn)) string {
	t.Helper()
	var mu sync.Mutex
	next := 0
	var running sync.WaitGroup
	running.Add(len(steps))
	upgrader := websocket.Upgrader{Subprotocols: []string{"sno.v1"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		i := next
		next++
		mu.Unlock()
		if i >= len(steps) {
			http.Error(w, "the script is over", http.StatusServiceUnavailable)
			return
		}
		defer running.Done()
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		defer ws.Close()
		steps[i](&Conn{t: t, ws: ws})
	}))
	t.Cleanup(func() {
		running.Wait()
		server.Close()
	})
	return server.URL
}

// Send writes one frame, or several as an array.
func (c *Conn) Send(frames ...Frame) {
	var v any = frames
	if len(frames) == 1 {
		v = frames[0]
	}
	if err := c.ws.WriteJSON(v); err != nil {
		c.t.Errorf("script: send %v: %v", frames, err)
	}
}

// Next returns the client's next frame, nil when there is none within 5 seconds or the connection has ended.
func (c *Conn) Next() Frame {
	for len(c.queued) == 0 {
		_ = c.ws.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, b, err := c.ws.ReadMessage()
		if err != nil {
			return nil
		}
		if b[0] != '[' {
			b = fmt.Appendf(nil, "[%s]", b)
		}
		if err := json.Unmarshal(b, &c.queued); err != nil {
			c.t.Errorf("script: the client sent %q: %v", b, err)
			return nil
		}
	}
	f := c.queued[0]
	c.queued = c.queued[1:]
	return f
}

// Expect returns the client's next frame, which must be of that type.
func (c *Conn) Expect(kind string) Frame {
	f := c.Next()
	if f == nil || f["type"] != kind {
		c.t.Errorf("script: got %v, want %s", f, kind)
		return Frame{}
	}
	return f
}

// Greet takes the connect frame and sends Welcome.
func (c *Conn) Greet() Frame {
	f := c.Expect("connect")
	c.Send(Welcome)
	return f
}

// Publish takes a publish and acknowledges it at an offset.
func (c *Conn) Publish(offset int) Frame {
	f := c.Expect("publish")
	c.Send(Frame{"type": "published", "ref": f["ref"], "channel": f["channel"], "id": f["id"], "epoch": "e", "offset": offset, "prev": offset - 1})
	return f
}

// Close closes the WebSocket with a code.
func (c *Conn) Close(code int, text string) {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(time.Second))
	c.UntilGone()
}

// Cut breaks the connection without a word.
func (c *Conn) Cut() { _ = c.ws.NetConn().Close() }

// UntilGone reads until the client has gone and returns the code of its close frame, 1006 if there was none.
func (c *Conn) UntilGone() int {
	_ = c.ws.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			if e, ok := errors.AsType[*websocket.CloseError](err); ok {
				return e.Code
			}
			return websocket.CloseAbnormalClosure
		}
	}
}
