//go:build linux

package dialect

import "github.com/snoserver/sno/bench/crowd"

// plain is no protocol at all: who connects to one path hears what is sent to the other. The floor program, the bare servers of npm's ws and of uWebSockets speak it, and nchan.
type plain struct{ websocket }

func newPlain(o Options) crowd.Dialect {
	p := &plain{o.websocket("/pub")}
	p.hello = func(c *crowd.Conn) { c.Ready() }
	p.hear = func(*crowd.Conn, []byte) error { return nil } // nchan tells its publishers how many subscribers there are
	return p
}

// Subscribe has nothing to ask: to be connected is to be subscribed.
func (p *plain) Subscribe(c *crowd.Conn, _ string) { c.Subscribed(1) }

// Publish sends the payload.
func (p *plain) Publish(c *crowd.Conn, _ string, payload []byte) { p.send(c, opText, payload) }
