package websocket

import (
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/loop"
)

// conn is one connection.
type conn struct {
	o       *Options
	link    loop.Link
	handler wire.Handler
	in      *incoming    // nil: between two messages, and nothing of a frame is there; the reader's
	within  atomic.Int64 // when what is there of a message must be complete, Unix nanoseconds; 0: nothing is there
	deflate bool         // permessage-deflate was agreed on
	goodbye atomic.Bool  // the peer closed in order

	// What is to be sent besides. Only the newest ping is answered (RFC 6455 §5.5.3), so a flood of them costs nothing.
	pong    atomic.Pointer[[]byte]
	ping    atomic.Bool
	closing atomic.Pointer[closing]
}

// closing is a close frame that is to be sent. Nothing follows it.
type closing struct {
	code   int // 0: none is told
	reason string
	deaf   bool // what the peer still sends does not matter
}

var (
	_ loop.Machine = (*conn)(nil)
	_ wire.Looped  = (*conn)(nil)
)

// Wake implements wire.Conn.
func (c *conn) Wake() { c.link.Wake() }

// Close implements wire.Conn.
func (c *conn) Close(code int, reason string) {
	c.closing.CompareAndSwap(nil, &closing{code: code, reason: reason})
	c.link.Wake()
}

// Loop implements wire.Looped.
func (c *conn) Loop() wire.Loop {
	if at, ok := c.link.(*loop.Conn); ok {
		return at.Loop()
	}
	return nil
}

// Drain implements wire.Looped.
func (c *conn) Drain() {
	if at, ok := c.link.(*loop.Conn); ok {
		at.Drain()
	}
}

// Output implements loop.Machine: control frames that are due, and behind them a message if there is one.
func (c *conn) Output(dst []byte, wait bool) loop.Output {
	if closing := c.closing.Load(); closing != nil {
		return loop.Output{Buffer: appendClose(dst, closing), From: len(dst), End: true}
	}
	start := len(dst)
	if pong := c.pong.Swap(nil); pong != nil {
		dst = append(appendHeader(dst, bitFinal|opPong, len(*pong)), *pong...)
	}
	if c.ping.Swap(false) {
		dst = appendHeader(dst, bitFinal|opPing, 0)
	}
	if len(dst) > start { // rare: what is shared stays for the next call
		return loop.Output{Buffer: dst, From: start, More: true}
	}
	dst = append(dst, headerRoom[:]...)
	body := len(dst)
	out, next := c.handler.Pull(dst, wait)
	if next.Shared != nil && next.End != 0 { // a close frame has to follow it
		out, next.Shared = append(out, next.Shared.Bytes...), nil
	}
	o := loop.Output{Buffer: out, From: len(out), More: next.More, Wait: next.Wait}
	switch {
	case next.Shared != nil:
		o.Shared = c.shared(next.Shared)
	case len(out) > body:
		o.Buffer, o.From = c.frame(out, body)
	}
	if next.End != 0 {
		c.closing.CompareAndSwap(nil, &closing{code: next.End, reason: next.Reason})
		o.End, o.Buffer = true, appendClose(o.Buffer, c.closing.Load())
	}
	return o
}

// headerRoom is the room for the header in front of a message whose length is not known yet.
var headerRoom [maxHeader - 4]byte // a server's frames have no mask

// frame puts the header in front of the message that begins at body, behind headerRoom, and returns where the frame begins.
func (c *conn) frame(b []byte, body int) (framed []byte, from int) {
	msg := b[body:]
	if c.compresses(len(msg)) {
		start := len(b)
		return appendDeflated(b, msg), start
	}
	var header [maxHeader]byte
	h := appendHeader(header[:0], bitFinal|opText, len(msg))
	from = body - len(h)
	copy(b[from:], h)
	return b, from
}

func (c *conn) shared(p *wire.Payload) []byte {
	if p.Ends != nil {
		return c.sharedEach(p)
	}
	if c.compresses(len(p.Bytes)) {
		return p.Framed(wire.FormDeflated, func(b []byte) []byte { return appendDeflated(nil, b) })
	}
	return p.Framed(wire.FormFrame, func(b []byte) []byte {
		return append(appendHeader(make([]byte, 0, len(b)+maxHeader), bitFinal|opText, len(b)), b...)
	})
}

// sharedEach puts each of several messages into a frame of its own. Who agreed on compression gets those compressed that are large enough, as always.
func (c *conn) sharedEach(p *wire.Payload) []byte {
	form := wire.FormFrame
	if c.compresses(len(p.Bytes)) {
		form = wire.FormDeflated
	}
	return p.Framed(form, func(b []byte) []byte {
		framed := make([]byte, 0, len(b)+maxHeader*len(p.Ends))
		start := 0
		for _, end := range p.Ends {
			msg := b[start:end]
			if form == wire.FormDeflated && c.compresses(len(msg)) {
				framed = appendDeflated(framed, msg)
			} else {
				framed = append(appendHeader(framed, bitFinal|opText, len(msg)), msg...)
			}
			start = end
		}
		return framed
	})
}

func (c *conn) compresses(n int) bool {
	return c.deflate && c.o.CompressFrom > 0 && n >= c.o.CompressFrom && c.vetted()
}

// vetted reports whether the peer has shown who it is, as far as the protocol asks for that.
func (c *conn) vetted() bool {
	v, asks := c.handler.(wire.Vetter)
	return !asks || v.Vetted()
}

// Beat implements loop.Machine: it gives a sign of life and asks for one.
func (c *conn) Beat() {
	c.handler.Heartbeat()
	c.ping.Store(true)
	c.link.Wake()
}

// Silent implements loop.Machine: a peer that is only slow has the ping behind what it has not read.
func (c *conn) Silent(about loop.Kernel) bool { return !about.Draining() }

// Closed implements loop.Machine.
func (c *conn) Closed(lastHeard time.Time) {
	if c.goodbye.Load() {
		lastHeard = time.Time{}
	}
	c.handler.Closed(lastHeard)
}
