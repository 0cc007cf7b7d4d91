//go:build linux

package dialect

import (
	"bytes"

	"github.com/snoserver/sno/bench/crowd"
)

// topics is plain with names, as the bare servers of npm's ws and of uWebSockets speak it: "+name" subscribes and is answered by "+", a publication is ">name", a line break and the payload.
type topics struct{ websocket }

func newTopics(o Options) crowd.Dialect {
	t := &topics{o.websocket("/pub")}
	t.hello = func(c *crowd.Conn) { c.Ready() }
	t.hear = func(c *crowd.Conn, message []byte) error {
		if bytes.Equal(message, []byte("+")) {
			c.Subscribed(1)
		}
		return nil
	}
	return t
}

// Subscribe asks for a name.
func (t *topics) Subscribe(c *crowd.Conn, channel string) {
	at := t.begin(c)
	c.Out = append(append(c.Out, '+'), channel...)
	t.end(c, opText, at)
}

// Publish sends the name and the payload.
func (t *topics) Publish(c *crowd.Conn, channel string, payload []byte) {
	at := t.begin(c)
	c.Out = append(append(c.Out, '>'), channel...)
	c.Out = append(append(c.Out, '\n'), payload...)
	t.end(c, opText, at)
}
