package admission

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Listener counts the connections of l. Paced: each costs a handshake, so it waits for its turn before it is read from.
func (g *Gate) Listener(l net.Listener, paced bool) net.Listener { return &listener{l, g, paced} }

type listener struct {
	net.Listener
	g     *Gate
	paced bool
}

// Accept implements net.Listener. It does not wait for anything but a connection.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.g.admit(nc); c != nil {
			c.paced.Store(l.paced && c.refusal == nil)
			return c, nil
		}
		nc.Close()
	}
}

// admit counts a connection, as one that is refused if there are too many; nil: there are too many of these, too.
func (g *Gate) admit(nc net.Conn) *conn {
	l := g.limits.Load()
	c := &conn{Conn: nc, g: g, counter: &g.open}
	switch {
	case !g.allowed(addressOf(nc)):
		c.refusal = l.often()
	case g.open.Add(1) <= int64(l.Connections):
		return c
	default:
		g.open.Add(-1)
		c.refusal = l.full()
	}
	c.counter = &g.refusals
	if g.refusals.Add(1) > int64(g.o.Refusals) {
		g.refusals.Add(-1)
		return nil
	}
	c.deadline = time.AfterFunc(refusedPatience, func() { nc.Close() })
	return c
}

func addressOf(nc net.Conn) netip.Addr {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

type conn struct {
	net.Conn
	g        *Gate
	counter  *atomic.Int64 // that counts it until it is closed
	closed   sync.Once
	refusal  *hub.Error  // what its requests are answered with; nil: it is in
	deadline *time.Timer // of its refusal
	paced    atomic.Bool // it has to wait for its turn
	paid     atomic.Bool // it has had its turn, which its first session need not wait for again
}

var errBusy = errors.New("too many handshakes wait")

// Read implements net.Conn. The first one waits for the connection's turn.
func (c *conn) Read(b []byte) (int, error) {
	if c.paced.CompareAndSwap(true, false) {
		wait, ok := c.g.turn(Patience)
		if !ok {
			return 0, errBusy
		}
		time.Sleep(wait)
		c.paid.Store(true)
	}
	return c.Conn.Read(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closed.Do(func() { c.uncount()() })
	return c.Conn.Close()
}

// uncount returns what is to be done when the connection is closed, which holds on to nothing else of it.
func (c *conn) uncount() func() {
	counter, deadline := c.counter, c.deadline
	if deadline == nil {
		return func() { counter.Add(-1) }
	}
	return func() {
		counter.Add(-1)
		deadline.Stop()
	}
}

// Surrender gives the connection beneath away, which counts until closed is called (wire.Surrenderer).
func (c *conn) Surrender() (beneath net.Conn, unread []byte, closed func()) {
	closed = func() {} // it is closed and counts no more
	c.closed.Do(func() { closed = c.uncount() })
	return c.Conn, nil, closed
}

// NetConn is the connection itself, for those who ask the kernel about it.
func (c *conn) NetConn() net.Conn { return c.Conn }

type connKey struct{}

// ConnContext is for http.Server: it has requests know their connection.
func (g *Gate) ConnContext(ctx context.Context, nc net.Conn) context.Context {
	for {
		switch c := nc.(type) {
		case *conn:
			return context.WithValue(ctx, connKey{}, c)
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return ctx
		}
	}
}
