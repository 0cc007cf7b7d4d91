package stream

import (
	"strconv"
	"time"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/loop"
)

// link is what drives a response that net/http has given away.
type link struct{ loop.Link }

var (
	_ loop.Machine = (*conn)(nil)
	_ wire.Looped  = (*conn)(nil)
)

// linked makes l what drives the response. Output is asked for at once, so that what came in between is not forgotten.
func (c *conn) linked(l loop.Link) loop.Machine {
	c.link.Store(&link{l})
	return c
}

// Wake implements wire.Conn.
func (c *conn) Wake() {
	if l := c.link.Load(); l != nil {
		l.Wake()
	} else if q := c.request.Load(); q != nil {
		q.wake()
	}
}

// Close implements wire.Conn. A response has no place for a code once it has begun.
func (c *conn) Close(int, string) {
	if l := c.link.Load(); l != nil {
		l.Kill()
	} else if q := c.request.Load(); q != nil {
		q.abort()
	}
}

// Loop implements wire.Looped.
func (c *conn) Loop() wire.Loop {
	if c.seat == nil {
		return nil
	}
	return c.seat
}

// Drain implements wire.Looped. As long as net/http has the response, that writes.
func (c *conn) Drain() {
	if l := c.link.Load(); l != nil {
		if at, ok := l.Link.(*loop.Conn); ok {
			at.Drain()
			return
		}
	}
	c.Wake()
}

// Input implements loop.Machine. What a client sends behind its request would be another one, which has to wait for ever: it is thrown away.
func (c *conn) Input(b []byte) (int, loop.Then) { return len(b), loop.GoOn }

// Deliver implements loop.Machine.
func (c *conn) Deliver() {}

// chunkRoom is the room for the head of a chunk in front of it: its length in hexadecimal (RFC 9112 §7.1).
var chunkRoom [18]byte

const lastChunk = "0\r\n\r\n"

// Output implements loop.Machine.
func (c *conn) Output(dst []byte, wait bool) loop.Output {
	dst = append(dst, chunkRoom[:]...)
	body := len(dst)
	out, next := c.handler.Pull(dst, wait)
	if next.Shared != nil && next.End != 0 { // the last chunk has to follow it
		out, next.Shared = append(out, next.Shared.Bytes...), nil
	}
	o := loop.Output{Buffer: out, From: len(out), More: next.More, Wait: next.Wait, End: next.End != 0}
	switch {
	case next.Shared != nil && c.chunked:
		o.Shared = next.Shared.Framed(wire.FormChunk, func(b []byte) []byte {
			return append(append(appendChunkHead(nil, len(b)), b...), "\r\n"...)
		})
	case next.Shared != nil:
		o.Shared = next.Shared.Bytes
	case len(out) > body && c.chunked:
		var room [len(chunkRoom)]byte
		head := appendChunkHead(room[:0], len(out)-body)
		o.From = body - len(head)
		copy(out[o.From:], head)
		out = append(out, "\r\n"...)
		o.Buffer = out
	case len(out) > body:
		o.From = body
	}
	if o.End && c.chunked {
		o.Buffer = append(o.Buffer, lastChunk...)
	}
	return o
}

func appendChunkHead(dst []byte, n int) []byte {
	return append(strconv.AppendInt(dst, int64(n), 16), "\r\n"...)
}

// Beat implements loop.Machine.
func (c *conn) Beat() { c.handler.Heartbeat() }

// Silent implements loop.Machine: a client of a response says nothing, so the kernel is asked whether bytes wait for it. One that has everything cannot be asked.
func (c *conn) Silent(about loop.Kernel) bool {
	last, lost := about.Lost()
	if lost {
		c.lost.Store(last.UnixNano())
	}
	return lost
}

// Due implements loop.Machine.
func (c *conn) Due() {}

// Closed implements loop.Machine. A connection that ends in order does not say whether the client means to come back.
func (c *conn) Closed(time.Time) {
	last := time.Now()
	if at := c.lost.Load(); at != 0 {
		last = time.Unix(0, at)
	}
	c.handler.Closed(last)
}
