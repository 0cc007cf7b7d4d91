// Package clienttest has two servers to test users of the native protocol with, where the real one is too well behaved: Script does
// what a test says frame by frame, Broker is a miniature server that can be told to lose, repeat and reorder messages. Both speak all transports.
package clienttest

import (
	"encoding/json"
	"errors"
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
	pipe   pipe
	queued []json.RawMessage
}

// Script serves connections one after the other: the nth is given to the nth step. More connections than steps are refused with 503. It returns
// the server's URL; when the test ends, every step must have run to its end.
func Script(t T, steps ...func(*Conn)) string {
	t.Helper()
	var mu sync.Mutex
	next := 0
	var running sync.WaitGroup
	running.Add(len(steps))
	url := newDoor(t, func() func(pipe) {
		mu.Lock()
		defer mu.Unlock()
		if next >= len(steps) {
			return nil
		}
		step := steps[next]
		next++
		return func(p pipe) {
			defer running.Done()
			step(&Conn{t: t, pipe: p})
		}
	})
	t.Cleanup(running.Wait)
	return url
}

// Send sends frames together.
func (c *Conn) Send(frames ...Frame) {
	if err := c.pipe.send(frames); err != nil {
		c.t.Errorf("script: send %v: %v", frames, err)
	}
}

// patience is how long a script waits for the client.
const patience = 5 * time.Second

// Next returns the client's next frame, nil when there is none within 5 seconds or the connection has ended.
func (c *Conn) Next() (f Frame) {
	for len(c.queued) == 0 {
		frames, err := c.pipe.receive(patience)
		if err != nil {
			return nil
		}
		c.queued = frames
	}
	if err := json.Unmarshal(c.queued[0], &f); err != nil {
		c.t.Errorf("script: the client sent %q: %v", c.queued[0], err)
	}
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

// Close closes the connection with a code: of a WebSocket's close frame, or of an error frame if it is one of the protocol's.
func (c *Conn) Close(code int, text string) {
	c.pipe.end(code, text)
	c.UntilGone()
}

// Cut breaks the connection without a word.
func (c *Conn) Cut() { c.pipe.end(0, "") }

// UntilGone reads until the client has gone and returns the code of its goodbye, 1006 if there was none.
func (c *Conn) UntilGone() int {
	for {
		_, err := c.pipe.receive(patience)
		if e, ok := errors.AsType[*goneError](err); ok {
			return e.code
		}
		if err != nil {
			return websocket.CloseAbnormalClosure
		}
	}
}
