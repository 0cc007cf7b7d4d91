//go:build linux

package crowd

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// handshake is the end of a TLS handshake. It runs beside the loop, since crypto/tls cannot pause in one.
type handshake struct {
	conn *Conn
	err  error
}

// shake makes TLS of a connection that is being opened.
func (c *Crowd) shake(k *Conn) {
	k.tls = tls.Client(&socket{fd: int(k.fd), patient: true}, &tls.Config{InsecureSkipVerify: true})
	go func() { c.handshakes <- handshake{k, k.tls.HandshakeContext(context.Background())} }()
}

// adopt takes the connections whose handshakes have ended into the loop.
func (c *Crowd) adopt() error {
	for {
		select {
		case h := <-c.handshakes:
			if h.err != nil {
				c.bury(h.conn, h.err)
				continue
			}
			h.conn.tls.NetConn().(*socket).patient = false
			if err := c.watch(h.conn, unix.EPOLL_CTL_ADD); err != nil {
				return err
			}
			if err := c.begin(h.conn); err != nil {
				c.bury(h.conn, err)
			}
			// What came behind the handshake may have been read with it: the socket would not say so.
			if err := h.conn.read(); err != nil {
				c.bury(h.conn, err)
			}
		default:
			return nil
		}
	}
}

// socket is a descriptor that does not block, as crypto/tls wants to see it. While it is patient it waits; after that a read that would have to wait fails with errWouldBlock, after which crypto/tls can be asked again.
type socket struct {
	fd      int
	patient bool
}

// wouldBlockError is a temporary error: crypto/tls does not give the connection up for it.
type wouldBlockError struct{}

func (wouldBlockError) Error() string   { return "the socket is empty" }
func (wouldBlockError) Timeout() bool   { return true }
func (wouldBlockError) Temporary() bool { return true }

var errWouldBlock net.Error = wouldBlockError{}

func (s *socket) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(s.fd, b)
		switch {
		case err == nil && n == 0:
			return 0, io.EOF
		case err == nil:
			return n, nil
		case err == unix.EINTR:
		case err != unix.EAGAIN:
			return 0, os.NewSyscallError("read", err)
		case !s.patient:
			return 0, errWouldBlock
		default:
			s.wait(unix.POLLIN)
		}
	}
}

// Write always waits: nothing but pongs is written once the connection is open.
func (s *socket) Write(b []byte) (int, error) {
	sent := 0
	for sent < len(b) {
		n, err := unix.Write(s.fd, b[sent:])
		switch {
		case err == nil:
			sent += n
		case err == unix.EINTR:
		case err != unix.EAGAIN:
			return sent, os.NewSyscallError("write", err)
		default:
			s.wait(unix.POLLOUT)
		}
	}
	return sent, nil
}

func (s *socket) wait(events int16) {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: events}}, 1000)
}

// Close does nothing: the crowd closes its sockets.
func (s *socket) Close() error                     { return nil }
func (s *socket) LocalAddr() net.Addr              { return nil }
func (s *socket) RemoteAddr() net.Addr             { return nil }
func (s *socket) SetDeadline(time.Time) error      { return nil }
func (s *socket) SetReadDeadline(time.Time) error  { return nil }
func (s *socket) SetWriteDeadline(time.Time) error { return nil }
