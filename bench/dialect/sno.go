//go:build linux

package dialect

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/snoserver/sno/bench/crowd"
)

// sno is the native protocol (spec/PROTOCOL.md). A WebSocket message of the server may hold several frames as a JSON array, so answers are counted and not parsed.
type sno struct {
	websocket
	connect string // the frame for subscribers
	key     string // the frame for the publisher
	ref     int
}

func newSno(o Options) crowd.Dialect {
	s := &sno{websocket: o.websocket(o.Path)}
	s.protocol = "sno.v1"
	s.connect, s.key = `{"type":"connect"}`, `{"type":"connect"}`
	if o.Token != "" {
		s.connect = fmt.Sprintf(`{"type":"connect","token":%q}`, o.Token)
	}
	if o.Key != "" {
		s.key = fmt.Sprintf(`{"type":"connect","key":%q}`, o.Key)
	}
	s.hello = func(c *crowd.Conn) {
		if c.Publisher {
			s.send(c, opText, []byte(s.key))
		} else {
			s.send(c, opText, []byte(s.connect))
		}
	}
	s.hear = s.answer
	return s
}

var (
	snoWelcome    = []byte(`"type":"welcome"`)
	snoSubscribed = []byte(`"type":"subscribed"`)
	snoError      = []byte(`"type":"error"`)
)

func (s *sno) answer(c *crowd.Conn, message []byte) error {
	if bytes.Contains(message, snoError) {
		return fmt.Errorf("the server says %.300s", message)
	}
	if !c.IsReady() && bytes.Contains(message, snoWelcome) {
		c.Ready()
	}
	if n := bytes.Count(message, snoSubscribed); n > 0 && !c.Publisher {
		c.Subscribed(n)
	}
	return nil
}

// Subscribe asks for the channel from its tail on.
func (s *sno) Subscribe(c *crowd.Conn, channel string) {
	at := s.begin(c)
	c.Out = append(c.Out, `{"type":"subscribe","ref":1,"channel":"`...)
	c.Out = append(c.Out, channel...)
	c.Out = append(c.Out, `"}`...)
	s.end(c, opText, at)
}

// Publish asks for an answer, as a publisher does that wants to know that its message is stored.
func (s *sno) Publish(c *crowd.Conn, channel string, payload []byte) {
	at := s.begin(c)
	s.ref++
	c.Out = append(c.Out, `{"type":"publish","ref":`...)
	c.Out = strconv.AppendInt(c.Out, int64(s.ref), 10)
	c.Out = append(c.Out, `,"channel":"`...)
	c.Out = append(c.Out, channel...)
	c.Out = append(c.Out, `","data":`...)
	c.Out = append(c.Out, payload...)
	c.Out = append(c.Out, '}')
	s.end(c, opText, at)
}
