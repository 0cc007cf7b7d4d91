package loop

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
)

// ErrNoSocket says that there is no socket under a connection, or none that a loop can have.
var ErrNoSocket = errors.New("this connection cannot be driven by a loop")

// Attach takes nc over: it is the loop's from then on, also if that fails with another error than ErrNoSocket. unread was read from it already. The machine is made with the connection's
// link before anything is read or written, and is asked for Output at once.
func (l *Loop) Attach(nc net.Conn, unread []byte, machine func(*Conn) Machine) error {
	below := nc
	var s *secure
	if t, ok := nc.(*tls.Conn); ok {
		if s, ok = t.NetConn().(*secure); !ok {
			return ErrNoSocket
		}
		s.tls, below = t, s.Conn
	}
	if liveness.TCP(below) == nil {
		return ErrNoSocket
	}
	c := &Conn{loop: l, secure: s}
	tcp, raw, closed := surrender(below)
	fd, err := takeSocket(tcp)
	if err == nil && !l.group.enter() {
		l.sys.close(fd)
		err = net.ErrClosed
	}
	if err != nil {
		if closed != nil {
			closed()
		}
		return err
	}
	c.fd, c.closed = fd, closed
	c.users.Store(1)
	c.heard.Store(time.Now().UnixNano())
	if s != nil {
		s.Conn, s.unread, s.socket = nil, raw, c.readSocket
	} else {
		unread = append(unread, raw...)
	}
	c.state.Store(starting) // the machine may be woken before it is known here
	c.machine = machine(c)
	l.add(c)
	c.state.And(^uint32(starting))
	c.Wake()
	if l.group.isClosed() { // and those that were there have been ended before this one was
		c.Kill()
	}
	c.begin(unread)
	return nil
}

// surrender unwraps nc. closed may be nil.
func surrender(nc net.Conn) (tcp *net.TCPConn, unread []byte, closed func()) {
	for {
		switch c := nc.(type) {
		case *net.TCPConn:
			return c, unread, closed
		case wire.Surrenderer:
			beneath, more, then := c.Surrender()
			nc, unread = beneath, append(unread, more...)
			if before := closed; before != nil && then != nil {
				closed = func() { before(); then() }
			} else if then != nil {
				closed = then
			}
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		}
	}
}

// takeSocket takes the socket out of the runtime's hands, which would keep a record of it and be woken for it.
func takeSocket(tcp *net.TCPConn) (int32, error) {
	defer func() { _ = tcp.Close() }() // nothing is lost with what it could say
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var failed error
	if err := raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return 0, err
	}
	return int32(fd), failed // it is non-blocking, as the one that it was made of
}

// begin has the kernel tell of the connection, and reads for the first time. What came before that is not told of.
func (c *Conn) begin(unread []byte) {
	c.beginReading()
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(c.slot), Pad: int32(c.gen)}
	if err := c.loop.control(func(epoll int) error { return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(c.fd), &event) }); err != nil {
		c.noMore()
		return
	}
	rest, stop := c.input(unread)
	go c.readOn(rest, stop)
}
