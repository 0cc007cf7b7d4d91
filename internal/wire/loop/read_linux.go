package loop

import (
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inlineReads is how often the loop itself reads from a connection before it lets a goroutine of its own go on: others wait meanwhile.
const inlineReads = 4

// event is called by the loop when the kernel says something of the connection.
func (c *Conn) event(events uint32, buf []byte) {
	if events&unix.EPOLLOUT != 0 && c.state.Or(writable)&blocked != 0 {
		c.Wake()
	}
	if events&^uint32(unix.EPOLLOUT) == 0 {
		return
	}
	if !c.beginReading() {
		if events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			c.Kill() // who reads may wait for something that comes only when the connection is over
		}
		return
	}
	hungUp := events&^uint32(unix.EPOLLIN|unix.EPOLLOUT) != 0
	for range inlineReads {
		n, err := c.read(buf)
		if err != nil {
			c.noMore()
			return
		}
		if rest, stop := c.input(buf[:n]); stop {
			go c.readOn(slices.Clone(rest), true)
			return
		}
		// Edge-triggered, less than asked for means that there will be another event for what comes, but for an end that has come already.
		if (n == 0 || n < len(buf) && !hungUp && c.secure == nil) && c.endReading() {
			return
		}
	}
	go c.readOn(nil, false)
}

// beginReading takes the reader's part. If somebody has it, that one will look once more.
func (c *Conn) beginReading() bool {
	for {
		s := c.state.Load()
		if s&reading != 0 {
			if c.state.CompareAndSwap(s, s|readAgain) {
				return false
			}
		} else if c.state.CompareAndSwap(s, s|reading) {
			break
		}
	}
	return c.acquire() // or it is closed, and nobody needs to read any more
}

// endReading gives the reader's part back, unless it has to look once more.
func (c *Conn) endReading() bool {
	for {
		s := c.state.Load()
		if s&readAgain != 0 {
			if c.state.CompareAndSwap(s, s&^readAgain) {
				return false
			}
		} else if c.state.CompareAndSwap(s, s&^reading) {
			c.release()
			return true
		}
	}
}

// noMore ends reading for good.
func (c *Conn) noMore() {
	c.Kill()
	c.release() // and keeps the reader's part
}

// read reads what there is: 0 bytes are none for now. An error is final.
func (c *Conn) read(buf []byte) (int, error) {
	if c.secure == nil {
		return c.readSocket(buf)
	}
	n, err := c.secure.open(buf)
	if c.secure.pending() {
		c.Wake()
	}
	return n, err
}

// readSocket reads what is on the socket.
func (c *Conn) readSocket(buf []byte) (int, error) {
	for {
		n, e := c.loop.sys.read(c.fd, buf)
		switch {
		case e == syscall.EINTR:
		case e == syscall.EAGAIN:
			return 0, nil
		case e != 0:
			return 0, e
		case n == 0:
			return 0, errEnded
		default:
			c.heard.Store(time.Now().UnixNano())
			return n, nil
		}
	}
}

// input gives bytes to the machine until it stops or has all. What is behind the end of input is thrown away.
func (c *Conn) input(b []byte) (rest []byte, stop bool) {
	for len(b) > 0 && c.state.Load()&(heardAll|over) == 0 {
		n, then := c.machine.Input(b)
		b = b[n:]
		switch then {
		case Stop:
			return b, true
		case Over:
			c.state.Or(heardAll)
			c.Wake()
		case GoOn:
		}
	}
	return nil, false
}

// readOn reads, with a buffer of its own, what the loop has begun to, and delivers it. rest was read already. It has the reader's part.
func (c *Conn) readOn(rest []byte, stopped bool) {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	*buf = slices.Grow((*buf)[:0], readBytes)[:readBytes]
	for {
		for stopped {
			c.machine.Deliver()
			rest, stopped = c.input(rest)
		}
		n, err := c.read(*buf)
		if err != nil {
			c.noMore()
			return
		}
		if n == 0 && c.endReading() {
			return
		}
		rest, stopped = c.input((*buf)[:n])
	}
}
