//go:build linux

package dialect

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/snoserver/sno/bench/crowd"
)

// centrifugo is Centrifugo's protocol as JSON (centrifugal.dev/docs/transports/client_protocol): a WebSocket message holds replies and pushes, one a line; an empty one is a ping and is answered by another.
type centrifugo struct {
	websocket
	token string
	id    int
}

func newCentrifugo(o Options) crowd.Dialect {
	c := &centrifugo{websocket: o.websocket(o.Path), token: o.Token}
	c.hello = func(k *crowd.Conn) { c.send(k, opText, fmt.Appendf(nil, `{"id":1,"connect":{"token":%q}}`, c.token)) }
	c.hear = c.answer
	c.beat = c.pong
	return c
}

var (
	centrifugoConnect   = []byte(`"connect":{`)
	centrifugoSubscribe = []byte(`"subscribe":{`)
	centrifugoError     = []byte(`"error":{`)
	centrifugoPing      = []byte(`{}`)
)

func (t *centrifugo) answer(c *crowd.Conn, message []byte) error {
	if bytes.Contains(message, centrifugoError) {
		return fmt.Errorf("the server says %.300s", message)
	}
	if !c.IsReady() && bytes.Contains(message, centrifugoConnect) {
		c.Ready()
	}
	if n := bytes.Count(message, centrifugoSubscribe); n > 0 {
		c.Subscribed(n)
	}
	t.pong(c, message)
	return nil
}

// pong answers a ping.
func (t *centrifugo) pong(c *crowd.Conn, message []byte) bool {
	if !bytes.Equal(bytes.TrimSpace(message), centrifugoPing) {
		return false
	}
	t.send(c, opText, centrifugoPing)
	return true
}

// Subscribe asks for a channel.
func (t *centrifugo) Subscribe(c *crowd.Conn, channel string) {
	t.command(c, "subscribe", channel, nil)
}

// Publish asks for an answer, as Centrifugo's clients always do.
func (t *centrifugo) Publish(c *crowd.Conn, channel string, payload []byte) {
	t.command(c, "publish", channel, payload)
}

func (t *centrifugo) command(c *crowd.Conn, verb, channel string, data []byte) {
	t.id++
	at := t.begin(c)
	c.Out = append(c.Out, `{"id":`...)
	c.Out = strconv.AppendInt(c.Out, int64(t.id)+1, 10)
	c.Out = append(append(append(c.Out, `,"`...), verb...), `":{"channel":"`...)
	c.Out = append(append(c.Out, channel...), '"')
	if data != nil {
		c.Out = append(append(c.Out, `,"data":`...), data...)
	}
	c.Out = append(c.Out, `}}`...)
	t.end(c, opText, at)
}
