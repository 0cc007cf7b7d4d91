//go:build linux

package dialect

import (
	"bytes"
	"fmt"

	"github.com/snoserver/sno/bench/crowd"
)

// sse has subscribers read /v1/sse (docs/transports.md), whose channel the URL names; the publisher speaks the native protocol over WebSocket, at a path of its own.
type sse struct{ *sno }

func newSSE(o Options) crowd.Dialect {
	if o.PublishPath == "" {
		o.PublishPath = "/v1/ws"
	}
	return &sse{newSno(o).(*sno)}
}

// Open asks for the stream.
func (s *sse) Open(c *crowd.Conn) {
	if c.Publisher {
		s.sno.Open(c)
		return
	}
	c.Out = fmt.Appendf(c.Out, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", s.path, s.host)
}

// Subscribe has nothing to ask: the URL has.
func (s *sse) Subscribe(c *crowd.Conn, _ string) { c.Subscribed(1) }

// Read takes what comes of a stream, whole events or not.
func (s *sse) Read(c *crowd.Conn, in []byte) (int, error) {
	switch {
	case c.Publisher:
		return s.sno.Read(c, in)
	case c.Step == talking:
		return c.DeliverPart(in), nil
	}
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	if !bytes.HasPrefix(in, []byte("HTTP/1.1 200")) {
		return 0, fmt.Errorf("the server answers %q", in[:min(len(in), 300)])
	}
	c.Step = talking
	c.Ready()
	return end + 4, nil
}
