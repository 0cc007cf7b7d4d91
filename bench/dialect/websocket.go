//go:build linux

// Package dialect has the protocols that a crowd can speak, a small file each.
package dialect

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/snoserver/sno/bench/crowd"
)

// websocket is what the protocols over WebSocket share: the handshake, frames, pings. The client's half of RFC 6455, as far as a server that behaves well needs it.
type websocket struct {
	host        string
	path        string // of subscribers
	publishPath string
	protocol    string // subprotocol, if any
	// hello says the protocol's first words once the handshake is done.
	hello func(c *crowd.Conn)
	// hear takes a whole text or binary message before the connection has settled, and all messages of the publisher.
	hear func(c *crowd.Conn, message []byte) error
	// beat, if set, looks at each message after that and tells whether it was the protocol's own heartbeat, which it has answered.
	beat func(c *crowd.Conn, message []byte) bool
}

// Opcodes (RFC 6455, section 5.2).
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// Steps of a connection.
const (
	handshaking = iota
	talking
)

// Open sends the handshake's request. Its key is the example of RFC 6455: servers do not mind, and the answer need not be computed.
func (w *websocket) Open(c *crowd.Conn) {
	path := w.path
	if c.Publisher {
		path = w.publishPath
	}
	c.Out = fmt.Appendf(c.Out, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n", path, w.host)
	if w.protocol != "" {
		c.Out = fmt.Appendf(c.Out, "Sec-WebSocket-Protocol: %s\r\n", w.protocol)
	}
	c.Out = append(c.Out, "\r\n"...)
}

// Read takes frames. Those of a settled subscriber are counted as they come, whole or not.
func (w *websocket) Read(c *crowd.Conn, in []byte) (int, error) {
	if c.Step == handshaking {
		return w.upgraded(c, in)
	}
	if c.Left > 0 {
		return proceed(c, in), nil
	}
	op, head, size, whole := frameHead(in)
	if !whole {
		return 0, nil
	}
	if size < 0 || size > frameMost {
		return 0, fmt.Errorf("a frame says that it has %d bytes", uint64(size))
	}
	if len(in)-head >= size {
		return head + size, w.message(c, op, in[head:head+size])
	}
	if (op == opText || op == opBinary || op == 0) && c.Settled() && !c.Publisher && w.beat == nil {
		c.Left = size
		return head, nil
	}
	return 0, nil
}

// proceed takes what has come of a message that is taken as it comes.
func proceed(c *crowd.Conn, in []byte) int {
	n := min(c.Left, len(in))
	if n == c.Left {
		c.Deliver(in[:n])
	} else {
		n = c.DeliverPart(in[:n])
	}
	c.Left -= n
	return n
}

// upgraded takes the answer to the handshake.
func (w *websocket) upgraded(c *crowd.Conn, in []byte) (int, error) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	status, _, _ := bytes.Cut(in[:end], []byte("\r\n"))
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 101")) {
		return 0, fmt.Errorf("the server answers %q to the handshake", in[:min(end, 300)])
	}
	c.Step = talking
	w.hello(c)
	return end + 4, nil
}

func (w *websocket) message(c *crowd.Conn, op byte, payload []byte) error {
	switch op {
	case opPing:
		w.send(c, opPong, payload)
	case opPong:
	case opClose:
		code := 0
		if len(payload) >= 2 {
			code, payload = int(binary.BigEndian.Uint16(payload)), payload[2:]
		}
		return fmt.Errorf("the server closes with %d %q", code, payload)
	default:
		switch {
		case c.Publisher || !c.Settled():
			c.Deliver(payload)
			return w.hear(c, payload)
		case w.beat == nil || !w.beat(c, payload):
			c.Deliver(payload)
		}
	}
	return nil
}

// frameMost is the longest payload that a server may send: what is longer is no benchmark.
const frameMost = 1 << 30

// frameHead reads the head of a server's frame (RFC 6455, section 5.2): the length of the head, and of what follows it.
func frameHead(in []byte) (op byte, head, size int, whole bool) {
	if len(in) < 2 {
		return 0, 0, 0, false
	}
	op, size, head = in[0]&15, int(in[1]&127), 2
	switch {
	case size == 126 && len(in) >= 4:
		return op, 4, int(binary.BigEndian.Uint16(in[2:])), true
	case size == 127 && len(in) >= 10:
		return op, 10, int(binary.BigEndian.Uint64(in[2:])), true
	}
	return op, head, size, size < 126
}

// mask is the key of all frames: it has to be there, and nobody is to be kept from guessing it.
var mask = [4]byte{0x12, 0x34, 0x56, 0x78}

// send appends a frame.
func (w *websocket) send(c *crowd.Conn, op byte, payload []byte) {
	at := w.begin(c)
	c.Out = append(c.Out, payload...)
	w.end(c, op, at)
}

// room is what begin leaves for the longest head: two bytes, eight of length, four of the key.
const room = 14

// begin leaves room for a frame's head; what is appended to Out until end is its payload.
func (w *websocket) begin(c *crowd.Conn) int {
	at := len(c.Out)
	c.Out = append(c.Out, make([]byte, room)...)
	return at
}

// end masks the payload and writes the head before it.
func (w *websocket) end(c *crowd.Conn, op byte, at int) {
	payload := c.Out[at+room:]
	var head [room]byte
	h := append(head[:0], 0x80|op)
	switch n := len(payload); {
	case n < 126:
		h = append(h, 0x80|byte(n))
	case n < 1<<16:
		h = binary.BigEndian.AppendUint16(append(h, 0x80|126), uint16(n))
	default:
		h = binary.BigEndian.AppendUint64(append(h, 0x80|127), uint64(n))
	}
	h = append(h, mask[:]...)
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
	copy(c.Out[at:], h)
	n := copy(c.Out[at+len(h):], payload)
	c.Out = c.Out[:at+len(h)+n]
}
