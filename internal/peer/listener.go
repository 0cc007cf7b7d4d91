package peer

import (
	"bufio"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// headerPatience is how long a proxy has for its header.
const headerPatience = 5 * time.Second

// Listener takes connections that begin with a PROXY protocol header; they have the address that it names.
type Listener struct {
	net.Listener
	// Trusted says whose headers are believed. Others are turned away.
	Trusted func(netip.Addr) bool
	Logger  *slog.Logger
}

// Accept implements net.Listener. It does not wait for the header: the connection's own goroutine does, at its first Read or RemoteAddr.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(c.RemoteAddr())
		if l.Trusted(from) {
			return &conn{Conn: c, r: bufio.NewReaderSize(c, 512), log: l.Logger}, nil
		}
		l.Logger.Warn("refused a connection for the PROXY protocol: its address is not one of trusted_proxies", "from", from)
		c.Close()
	}
}

type conn struct {
	net.Conn
	log  *slog.Logger
	once sync.Once
	r    *bufio.Reader
	addr net.Addr
	err  error // of the header
}

func (c *conn) header() {
	c.addr = c.Conn.RemoteAddr()
	_ = c.SetReadDeadline(time.Now().Add(headerPatience))
	client, err := readHeader(c.r)
	_ = c.SetReadDeadline(time.Time{})
	if err != nil {
		c.err = err
		c.log.Warn("refused a connection for the PROXY protocol", "from", c.addr, "error", err)
		_ = c.Close()
		return
	}
	if client.IsValid() {
		c.addr = net.TCPAddrFromAddrPort(client)
	}
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if c.once.Do(c.header); c.err != nil {
		return 0, c.err
	}
	return c.r.Read(b)
}

// RemoteAddr implements net.Conn: it is the client's.
func (c *conn) RemoteAddr() net.Addr {
	c.once.Do(c.header)
	return c.addr
}

// Surrender gives the connection with the proxy away, with what was read behind the header (wire.Surrenderer).
func (c *conn) Surrender() (beneath net.Conn, unread []byte, closed func()) {
	c.once.Do(c.header)
	unread, _ = c.r.Peek(c.r.Buffered()) // they are there
	return c.Conn, unread, nil
}

// NetConn is the connection with the proxy, for those who ask the kernel about it.
func (c *conn) NetConn() net.Conn { return c.Conn }
