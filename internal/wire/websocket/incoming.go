package websocket

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/wire/loop"
)

const (
	// maxFragments is how many frames one message may come in: empty ones would cost no byte of the message's limit.
	maxFragments = 4096
	// messagePatience is how long a message may take from its first byte to its last, and one second more for each bytesASecond of it. Only the time
	// that is spent waiting for the peer counts.
	messagePatience = 30 * time.Second
	bytesASecond    = 10_000
)

// incoming is a frame or message that is being put together (RFC 6455 §5.2, §5.4).
type incoming struct {
	header [maxHeader]byte
	have   int // bytes of header

	// The frame, once its header is complete.
	first   byte
	mask    [4]byte
	pos     int    // in the payload
	payload uint64 // bytes of it that are still to come
	framed  bool   // the header is complete, the payload not
	control []byte // payload of a control frame

	// The message.
	open       bool // it has begun and not ended
	binary     bool
	compressed bool
	frames     int
	limit      int64  // what is kept of it
	most       int64  // what is read of it
	size       int64  // what has come
	msg        []byte // at most limit
}

var incomings = sync.Pool{New: func() any { return &incoming{control: make([]byte, 0, 125)} }}

// keptBuffer is the largest buffer that goes back to a pool: one huge message must not pin its memory.
const keptBuffer = 256 << 10

// idle reports whether nothing is there of a frame or message.
func (in *incoming) idle() bool { return !in.open && !in.framed && in.have == 0 }

// Input implements loop.Machine.
func (c *conn) Input(b []byte) (n int, then loop.Then) {
	if c.over() {
		return len(b), loop.Over
	}
	if c.in == nil {
		c.in = incomings.Get().(*incoming)
	}
	for n < len(b) {
		took, done, bad := c.take(b[n:])
		n += took
		if bad != nil {
			c.refuse(bad)
			return len(b), loop.Over
		}
		if !done {
			continue
		}
		switch then := c.frameEnds(); then {
		case loop.GoOn:
		default:
			c.complete()
			return n, then
		}
	}
	if c.in.idle() {
		c.giveBack()
		c.complete()
	} else {
		c.hurry(n)
	}
	return n, loop.GoOn
}

// over reports whether the peer is not listened to any more. One that is only sent away is, for its close frame.
func (c *conn) over() bool {
	closing := c.closing.Load()
	return closing != nil && closing.deaf
}

func (c *conn) refuse(r *refusal) {
	c.closing.CompareAndSwap(nil, &closing{code: r.code, reason: r.text, deaf: true})
	c.link.Wake()
}

// hurry sets the time by which what is there must be complete, or gives more of it for n bytes.
func (c *conn) hurry(n int) {
	more := time.Duration(n) * time.Second / bytesASecond
	if within := c.within.Load(); within != 0 {
		c.within.Store(within + int64(more))
		return
	}
	at := time.Now().Add(messagePatience + more)
	c.within.Store(at.UnixNano())
	c.link.Due(at)
}

// complete ends the hurry.
func (c *conn) complete() { c.within.Store(0) }

// Due implements loop.Machine.
func (c *conn) Due() {
	within := c.within.Load()
	switch at := time.Unix(0, within); {
	case within == 0:
	case time.Now().Before(at):
		c.link.Due(at)
	default:
		c.refuse(&refusal{c.o.TimeoutCode, fmt.Sprintf("a message may take %v and a second for each %d bytes; this one took longer", messagePatience, bytesASecond)})
	}
}

// take takes bytes of one frame. done: it has ended with them.
func (c *conn) take(b []byte) (n int, done bool, bad *refusal) {
	in := c.in
	if !in.framed {
		n = copy(in.header[in.have:in.headerBytes()], b)
		if in.have += n; in.have < 2 || in.have < in.headerBytes() {
			return n, false, nil
		}
		if bad := c.begin(); bad != nil {
			return n, false, bad
		}
		in.framed = true
	}
	part := b[n:]
	part = part[:min(uint64(len(part)), in.payload)]
	in.payload -= uint64(len(part))
	in.add(part)
	if done = in.payload == 0; done {
		in.framed, in.have = false, 0
	}
	return n + len(part), done, nil
}

// headerBytes is how long the header is, as far as one can tell by what is there of it.
func (in *incoming) headerBytes() int {
	if in.have < 2 {
		return 2
	}
	n := 2
	switch in.header[1] &^ bitMasked {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if in.header[1]&bitMasked != 0 {
		n += 4
	}
	return n
}

// begin looks at the header of a frame.
func (c *conn) begin() *refusal {
	in := c.in
	in.first, in.pos = in.header[0], 0
	if in.header[1]&bitMasked != 0 {
		copy(in.mask[:], in.header[in.have-4:in.have])
	}
	switch n := in.header[1] &^ bitMasked; n {
	case 126:
		in.payload = uint64(binary.BigEndian.Uint16(in.header[2:]))
	case 127:
		in.payload = binary.BigEndian.Uint64(in.header[2:])
	default:
		in.payload = uint64(n)
	}
	opcode, final := in.first&bitsOpcode, in.first&bitFinal != 0
	data := opcode == opText || opcode == opBinary
	switch {
	case in.first&bitsReserved != 0, in.first&bitCompressed != 0 && !c.deflate:
		return violation("reserved bits (RSV) are set and no extension gives them a meaning")
	case in.first&bitCompressed != 0 && !data:
		return violation("RSV1 marks the first frame of a compressed message only (RFC 7692 §6)")
	case in.header[1]&bitMasked == 0:
		return violation("a client's frames must have a mask (RFC 6455 §5.1)")
	case opcode == opClose || opcode == opPing || opcode == opPong:
		return in.beginControl(final)
	case !data && opcode != opContinuation:
		return violation(fmt.Sprintf("there is no opcode %d", opcode))
	case data && in.open:
		return violation("a message begins within another one, which has not ended")
	case opcode == opContinuation && !in.open:
		return violation("a frame continues a message, and none has begun")
	}
	if data {
		c.beginMessage(opcode)
	}
	in.open = true
	switch in.frames++; {
	case in.frames > maxFragments:
		return &refusal{c.o.TooLargeCode, fmt.Sprintf("a message in more than %d frames; send fewer, larger ones", maxFragments)}
	case in.payload > uint64(in.most-in.size):
		return c.farTooLarge()
	}
	return nil
}

func violation(text string) *refusal { return &refusal{codeProtocolError, text} }

func (c *conn) farTooLarge() *refusal {
	return &refusal{c.o.TooLargeCode, "the message is far too large: more than twice the limit"}
}

func (in *incoming) beginControl(final bool) *refusal {
	in.control = in.control[:0]
	switch {
	case !final:
		return violation("a control frame in fragments (RFC 6455 §5.5)")
	case in.payload > 125:
		return violation(fmt.Sprintf("a control frame of %d bytes; it has at most 125", in.payload))
	}
	return nil
}

func (c *conn) beginMessage(opcode byte) {
	in := c.in
	in.binary, in.compressed = opcode == opBinary, in.first&bitCompressed != 0
	in.frames, in.size = 0, 0
	in.limit, in.most = c.o.MessageBytes, 2*c.o.MessageBytes
	if in.compressed {
		// What inflates to no more than may be is hardly longer than that. Longer, it is not worth being read.
		in.limit = c.inflatable()
		in.limit += in.limit/16 + 1024
		in.most = in.limit
	}
}

// inflatable is how much a compressed message may inflate to, to be handed over.
func (c *conn) inflatable() int64 {
	if c.vetted() {
		return c.o.MessageBytes
	}
	return min(c.o.MessageBytes, strangerBytes)
}

// add takes a part of a frame's payload.
func (in *incoming) add(b []byte) {
	if in.first&bitsOpcode >= opClose {
		in.control = appendUnmasked(in.control, b, in.mask, in.pos)
		in.pos += len(b)
		return
	}
	if in.size += int64(len(b)); in.size <= in.limit {
		in.msg = appendUnmasked(in.msg, b, in.mask, in.pos)
	} else {
		in.msg = in.msg[:0]
	}
	in.pos += len(b)
}

// frameEnds does what a complete frame asks for.
func (c *conn) frameEnds() loop.Then {
	in := c.in
	switch in.first & bitsOpcode {
	case opPing:
		answer := append([]byte(nil), in.control...)
		c.pong.Store(&answer)
		c.link.Wake()
	case opPong:
	case opClose:
		c.peerCloses(in.control)
		return loop.Over
	default:
		if in.first&bitFinal == 0 {
			return loop.GoOn
		}
		if in.open = false; c.closing.Load() == nil { // else it comes too late
			return loop.Stop
		}
		in.msg = in.msg[:0]
	}
	return loop.GoOn
}

// peerCloses takes a close frame, which is answered with the same code unless one was sent already.
func (c *conn) peerCloses(payload []byte) {
	code, bad := codeNoStatus, false
	if len(payload) > 0 {
		if bad = len(payload) < 2; !bad {
			code = int(binary.BigEndian.Uint16(payload))
			bad = !closeCode(code)
		}
	}
	answer := &closing{deaf: true}
	switch {
	case bad:
		*answer = closing{code: codeProtocolError, reason: "that is not a code of a close frame (RFC 6455 §7.4)", deaf: true}
	case code != codeNoStatus:
		answer.code = code
	}
	c.goodbye.Store(code == codeNormal || code == codeGoingAway || code == codeNoStatus && !bad && c.o.GoodbyeWithoutCode)
	c.closing.CompareAndSwap(nil, answer)
	c.link.Wake()
}

// closeCode reports whether a close frame may have a code (RFC 6455 §7.4.2).
func closeCode(code int) bool {
	switch code {
	case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014:
		return true
	}
	return code >= 3000 && code < 5000
}

// Deliver implements loop.Machine.
func (c *conn) Deliver() {
	in := c.in
	size, limit, msg := in.size, in.limit, in.msg
	if in.compressed {
		buf := messages.Get().(*[]byte)
		defer putMessage(buf)
		limit = c.inflatable()
		most := limit
		if c.vetted() {
			most = 2 * limit
		}
		var err error
		*buf, size, err = inflate((*buf)[:0], in.msg, limit, most+1)
		switch msg = *buf; {
		case err != nil:
			c.refuse(&refusal{codeInvalidPayload, "the compressed message is damaged"})
			c.giveBack()
			return
		case size > most:
			c.refuse(c.farTooLarge())
			c.giveBack()
			return
		}
	}
	if size > limit {
		c.handler.TooLarge(size)
	} else {
		c.handler.Receive(msg, in.binary)
	}
	c.giveBack()
}

var messages = sync.Pool{New: func() any { return new([]byte) }}

func putMessage(b *[]byte) {
	if cap(*b) <= keptBuffer {
		messages.Put(b)
	}
}

// giveBack gives up what belongs to a message.
func (c *conn) giveBack() {
	in := c.in
	c.in = nil
	if cap(in.msg) > keptBuffer {
		in.msg = nil
	}
	in.msg = in.msg[:0]
	incomings.Put(in)
}
