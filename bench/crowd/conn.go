//go:build linux

package crowd

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Dialect is a protocol as far as a crowd needs it. Its methods append what is to be sent to [Conn.Out].
type Dialect interface {
	// Open says the first words on a connection whose socket has just opened.
	Open(c *Conn)
	// Read takes whole messages from the beginning of in and says how many bytes they are; it is called again with the rest and what comes behind it.
	Read(c *Conn, in []byte) (int, error)
	// Subscribe asks for a channel; the answer, when it comes, is told to [Conn.Subscribed].
	Subscribe(c *Conn, channel string)
	// Publish sends a message.
	Publish(c *Conn, channel string, payload []byte)
}

// Conn is one connection.
type Conn struct {
	Out       []byte // what is to be sent
	Publisher bool
	Step      int    // how far its dialect has come; a dialect's own
	Left      int    // bytes of a message that are still to come, of those that are taken as they come; a dialect's own
	Got       uint64 // deliveries

	crowd      *Crowd
	index      int32
	fd         int32
	state      state
	blocked    bool // waits to be writable
	subscribed int32
	wanted     int32
	first      int32 // of its channels
	carry      []byte
	tls        *tls.Conn
}

type state uint8

const (
	unborn state = iota
	connecting
	opening
	ready
	dead
)

// Ready tells that the server has let the connection in: it can subscribe and publish.
func (c *Conn) Ready() {
	if c.state != opening {
		return
	}
	c.state = ready
	c.crowd.welcomed(c)
}

// IsReady tells whether the server has let the connection in.
func (c *Conn) IsReady() bool { return c.state == ready }

// Index is the number of the connection among the subscribers.
func (c *Conn) Index() int { return int(c.index) }

// Subscribed tells that n subscriptions have been confirmed.
func (c *Conn) Subscribed(n int) {
	before := c.subscribed
	c.subscribed += int32(n)
	c.crowd.subscriptions += n
	if before < c.wanted && c.subscribed >= c.wanted {
		c.crowd.settled++
	}
}

// Settled tells whether all subscriptions have been confirmed that were asked for: then nothing but deliveries is expected.
func (c *Conn) Settled() bool { return c.state == ready && c.subscribed >= c.wanted }

// Deliver counts the markers in bytes that the server has sent.
func (c *Conn) Deliver(b []byte) {
	if c.Publisher {
		return
	}
	for {
		i := bytes.IndexByte(b, markerHead[0])
		if i < 0 || len(b)-i < MarkerSize {
			return
		}
		if b[i+1] != markerHead[1] {
			b = b[i+1:]
			continue
		}
		c.Got++
		c.crowd.delivered++
		c.crowd.Latency.Add(time.Duration(c.crowd.readAt-markerTime(b[i+2:])), 1)
		b = b[i+MarkerSize:]
	}
}

// DeliverPart is Deliver for bytes that others of the same message follow. It tells how many were taken: a marker at their end that is not whole yet is left.
func (c *Conn) DeliverPart(b []byte) int {
	n := beginning(b)
	c.Deliver(b[:n])
	return n
}

var errClosed = errors.New("the server closed the connection")

// read takes what the socket has.
func (c *Conn) read() error {
	buf := c.crowd.buf
	for {
		have := copy(buf, c.carry)
		n, err := c.receive(buf[have:])
		if errors.Is(err, unix.EAGAIN) {
			return nil
		}
		if err != nil {
			return err
		}
		c.crowd.readAt = now()
		in := buf[:have+n]
		c.borrow()
		for len(in) > 0 {
			used, err := c.crowd.dialect.Read(c, in)
			if err != nil {
				return err
			}
			if used == 0 {
				break
			}
			in = in[used:]
		}
		if len(in) == len(buf) {
			return fmt.Errorf("a message of more than %d bytes", len(buf))
		}
		c.crowd.keep(c, in)
		if err := c.flush(); err != nil {
			return err
		}
		if have+n < len(buf) && c.tls == nil {
			return nil
		}
	}
}

// receive reads once.
func (c *Conn) receive(b []byte) (int, error) {
	if c.tls != nil {
		n, err := c.tls.Read(b)
		if errors.Is(err, errWouldBlock) {
			err = unix.EAGAIN
		}
		return n, err
	}
	n, errno := rawRead(c.fd, b)
	switch {
	case errno == unix.EINTR:
		return 0, unix.EAGAIN // level-triggered: the loop comes back
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, errClosed
	}
	return n, nil
}

// flush sends what is to be sent, as far as the socket takes it.
func (c *Conn) flush() error {
	for len(c.Out) > 0 {
		n, err := c.send(c.Out)
		if errors.Is(err, unix.EAGAIN) {
			c.Out = append([]byte(nil), c.Out...) // out of the scratch
			return c.crowd.await(c, true)
		}
		if err != nil {
			return err
		}
		c.Out = c.Out[n:]
	}
	c.Out = nil
	return c.crowd.await(c, false)
}

func (c *Conn) send(b []byte) (int, error) {
	if c.tls != nil {
		return c.tls.Write(b)
	}
	n, errno := rawWrite(c.fd, b)
	if errno == unix.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, errno
	}
	return n, nil
}

// borrow gives Out room that is shared by all connections, as long as nothing waits in it.
func (c *Conn) borrow() {
	if c.Out == nil {
		c.Out = c.crowd.scratch[:0]
	}
}
