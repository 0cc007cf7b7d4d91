//go:build linux

package dialect

import (
	"bytes"
	"fmt"

	"github.com/snoserver/sno/bench/crowd"
)

// socketio is Socket.IO 5 over Engine.IO 4 (socket.io/docs/v4/socket-io-protocol), with a server that takes the events "join" and "pub".
type socketio struct{ websocket }

func newSocketIO(o Options) crowd.Dialect {
	s := &socketio{o.websocket(o.Path)}
	s.hello = func(*crowd.Conn) {} // the server speaks first
	s.hear = s.answer
	s.beat = s.pong
	return s
}

func (s *socketio) answer(c *crowd.Conn, message []byte) error {
	switch {
	case s.pong(c, message):
	case bytes.HasPrefix(message, []byte("0")): // Engine.IO is open
		s.send(c, opText, []byte("40"))
	case bytes.HasPrefix(message, []byte("40")): // so is the namespace
		c.Ready()
	case bytes.HasPrefix(message, []byte("44")):
		return fmt.Errorf("the server says %.300s", message)
	case bytes.HasPrefix(message, []byte("43")): // the acknowledgement of "join"
		c.Subscribed(1)
	}
	return nil
}

// pong answers Engine.IO's ping.
func (s *socketio) pong(c *crowd.Conn, message []byte) bool {
	if len(message) != 1 || message[0] != '2' {
		return false
	}
	s.send(c, opText, []byte("3"))
	return true
}

// Subscribe joins a room.
func (s *socketio) Subscribe(c *crowd.Conn, channel string) {
	s.send(c, opText, fmt.Appendf(nil, `421["join",%q]`, channel))
}

// Publish sends an event with the room and the payload.
func (s *socketio) Publish(c *crowd.Conn, channel string, payload []byte) {
	at := s.begin(c)
	c.Out = append(append(append(c.Out, `42["pub","`...), channel...), `",`...)
	c.Out = append(append(c.Out, payload...), ']')
	s.end(c, opText, at)
}
