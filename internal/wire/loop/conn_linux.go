package loop

import (
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
)

// Bits of Conn.state.
const (
	reading   = 1 << iota // somebody reads
	readAgain             // and is to look once more
	slow                  // a goroutine that may wait writes, instead of the loop's
	slowAgain             // and the loop is to look afterwards
	blocked               // the socket takes no more
	writable              // it has said since that it does
	ended                 // Output has ended
	settled               // and was written
	heardAll              // Input wants no more
	dying                 // the connection is to end at once
	over                  // Closed was called
	gone                  // the loop knows it no more
	starting              // the machine is not there yet
)

// turnBytes is how much a connection may write before others have their turn.
const turnBytes = 256 << 10

// Conn is a connection of a Loop.
type Conn struct {
	loop    *Loop
	machine Machine
	next    *Conn        // in Loop.woken
	rest    []byte       // what the socket did not take; the writer's
	secure  *secure      // nil: no TLS in this process
	closed  func()       // says that the socket is closed; may be nil
	heard   atomic.Int64 // when something came from the peer, Unix nanoseconds
	fd      int32
	users   atomic.Int32 // of fd: the loop, and somebody who reads
	state   atomic.Uint32
	queued  atomic.Bool // is in Loop.woken
	slot    uint32      // in Loop.slots
	gen     uint32      // of the slot
}

var (
	_ Link   = (*Conn)(nil)
	_ Kernel = (*Conn)(nil)
)

// Wake implements Link.
func (c *Conn) Wake() {
	if !c.queued.Swap(true) {
		c.loop.wake(c)
	}
}

// Kill implements Link.
func (c *Conn) Kill() {
	c.state.Or(dying)
	c.Wake()
}

// Due implements Link. Once output has ended the time is the connection's own: a peer that goes on must not put off its end.
func (c *Conn) Due(at time.Time) {
	if c.state.Load()&ended == 0 {
		c.loop.due(c, at)
	}
}

// Loop is the loop that drives the connection.
func (c *Conn) Loop() wire.Loop { return c.loop }

// Drain writes what there is. Only the loop's goroutine may call it.
func (c *Conn) Drain() {
	s := c.state.Load()
	for s&slow != 0 {
		if c.state.CompareAndSwap(s, s|slowAgain) {
			return
		}
		s = c.state.Load()
	}
	switch {
	case s&(gone|starting) != 0:
	case s&dying != 0:
		c.finish()
	case !c.unblock():
	case s&ended != 0:
		c.settle()
	default:
		c.pump(&c.loop.scratch, false)
		if c.state.Load()&ended != 0 {
			c.settle()
		}
	}
}

// drainSlowly writes what needs an Output that may wait, for one turn. It has the writer's part, which it gives back.
func (c *Conn) drainSlowly(scratch *[]byte) {
	if c.state.Load()&dying == 0 && c.unblock() {
		c.pump(scratch, true)
	}
	for {
		s := c.state.Load()
		if c.state.CompareAndSwap(s, s&^(slow|slowAgain)) {
			if s&(slowAgain|ended|dying) != 0 {
				c.Wake()
			}
			return
		}
	}
}

// pump writes what the machine has until the socket takes no more, nothing is left, or it is the turn of others.
func (c *Conn) pump(scratch *[]byte, wait bool) {
	for budget := turnBytes; budget > 0; {
		out := c.machine.Output((*scratch)[:0], wait)
		if n := cap(out.Buffer); n > cap(*scratch) && n <= keptBuffer {
			*scratch = out.Buffer[:0]
		}
		if out.End {
			c.state.Or(ended)
			c.loop.due(c, time.Now().Add(endPatience))
		}
		b := out.bytes()
		stays := out.Shared != nil || cap(out.Buffer) > keptBuffer
		if !wait && len(b) > 0 && !out.End && !out.Wait && c.together(len(b)) {
			c.loop.sends.add(c, b, stays, out.More)
			return
		}
		budget -= len(b)
		switch {
		case len(b) > 0 && !c.write(b, stays), out.End:
			return
		case out.Wait && !wait:
			c.state.Or(slow)
			c.loop.group.drainSlowly(c)
			return
		case !out.More, c.state.Load()&dying != 0:
			return
		}
	}
	c.Wake()
}

// together reports whether a send is carried out with those to others.
func (c *Conn) together(n int) bool {
	return c.loop.gathers && n <= ringBytes && c.secure == nil
}

// write writes b, and keeps what the socket does not take. It reports whether it took all. stays: nobody changes b.
func (c *Conn) write(b []byte, stays bool) bool {
	if c.secure != nil {
		sealed := buffers.Get().(*[]byte)
		defer putBuffer(sealed)
		if c.secure.seal(b, sealed) != nil {
			c.Kill()
			return false
		}
		b, stays = *sealed, false
	}
	n, e := c.loop.sys.write(c.fd, b)
	return c.took(b, n, e, stays)
}

// took notes what the socket has taken of b, and reports whether that was all.
func (c *Conn) took(b []byte, n int, e syscall.Errno, stays bool) bool {
	switch {
	case e == 0 && n == len(b):
		return true
	case e == syscall.EAGAIN || e == syscall.EINTR:
		n = 0
	case e != 0:
		c.Kill()
		return false
	}
	if c.rest = b[n:]; !stays {
		c.rest = slices.Clone(c.rest)
	}
	return c.unblock() // the socket may take more by now, and says so only once
}

// unblock writes the rest, if there is one, and reports whether it is written.
func (c *Conn) unblock() bool {
	if c.rest == nil && c.secure != nil {
		c.rest = c.secure.left()
	}
	if c.rest == nil {
		return true
	}
	if c.state.Load()&(blocked|writable) == blocked {
		return false
	}
	for {
		c.state.And(^uint32(writable | blocked))
		n, e := c.loop.sys.write(c.fd, c.rest)
		switch {
		case e == 0 && n == len(c.rest):
			c.rest = nil
			return true
		case e == 0:
			c.rest = c.rest[n:]
		case e == syscall.EINTR:
		case e == syscall.EAGAIN:
			// Whoever hears that it is writable again looks for blocked, and this looks for writable: one of both sees the other.
			if c.state.Or(blocked)&writable == 0 {
				return false
			}
		default:
			c.Kill()
			return false
		}
	}
}

// settle is called by the loop's goroutine when all output is written. With the end of input the connection is over. Closing the socket while bytes are unread would reset
// it, and the peer would not see what was said last: so what it still sends is read until it ends, for a moment.
func (c *Conn) settle() {
	if s := c.state.Or(settled); s&settled == 0 {
		c.loop.due(c, time.Now().Add(closePatience))
	}
	if s := c.state.Load(); s&heardAll == 0 || s&over != 0 {
		return
	}
	c.isOver()
	if c.secure != nil {
		c.secure.end()
		_, _ = c.loop.sys.write(c.fd, c.secure.left()) // the peer may be gone, or not read: then it does without
	}
	c.loop.sys.shutdown(c.fd, unix.SHUT_WR)
}

func (c *Conn) isOver() {
	c.state.Or(over)
	c.machine.Closed(time.Unix(0, c.heard.Load()))
}

// finish ends the connection. Only the loop's goroutine calls it, and not while another one writes.
func (c *Conn) finish() {
	before := c.state.Or(gone)
	c.loop.sys.shutdown(c.fd, unix.SHUT_RDWR) // a read that is under way ends
	c.loop.remove(c)
	c.rest = nil
	if before&over == 0 {
		c.isOver()
	}
	c.release()
}

// release gives back a use of the file descriptor. The last one closes it.
func (c *Conn) release() {
	if c.users.Add(-1) > 0 {
		return
	}
	c.loop.sys.close(c.fd)
	if c.closed != nil {
		c.closed()
	}
	c.loop.group.leave()
}

// acquire begins a use of the file descriptor, unless it is closed.
func (c *Conn) acquire() bool {
	for {
		n := c.users.Load()
		if n == 0 {
			return false
		}
		if c.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Draining implements Kernel.
func (c *Conn) Draining() bool { return liveness.DrainingFD(int(c.fd)) }

// Lost implements Kernel.
func (c *Conn) Lost() (time.Time, bool) { return liveness.LostFD(int(c.fd)) }
