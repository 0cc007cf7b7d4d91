package websocket

import (
	"net/http"
	"time"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/loop"
)

// Options of an Endpoint.
type Options struct {
	// Loops drive the connections. nil: each has goroutines of its own.
	Loops *loop.Group
	// Subprotocol is offered; a client that asks only for others is refused.
	Subprotocol string
	// MessageBytes is the largest message that is handed over.
	MessageBytes int64
	// TooLargeCode closes a connection whose message is more than twice that, TimeoutCode one whose message takes too long.
	TooLargeCode, TimeoutCode int
	// CompressFrom is from how many bytes on what is sent is compressed, for a peer that has agreed to (RFC 7692). 0: nothing is.
	CompressFrom int
	// GoodbyeWithoutCode: a close frame without a code, as close() of a browser sends it, says that the client does not mean to come back.
	GoodbyeWithoutCode bool
	// AllowOrigin decides about browsers' pages, by the Origin header.
	AllowOrigin func(*http.Request) bool
}

// Endpoint accepts WebSocket connections.
type Endpoint struct{ o Options }

// New makes an Endpoint.
func New(o Options) *Endpoint { return &Endpoint{o} }

// Close codes of RFC 6455 §7.4.1.
const (
	codeNormal         = 1000
	codeGoingAway      = 1001
	codeProtocolError  = 1002
	codeNoStatus       = 1005
	codeInvalidPayload = 1007
)

// Opcodes of RFC 6455 §5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// Bits of a frame's first two bytes.
const (
	bitFinal      = 0x80
	bitCompressed = 0x40 // RSV1 (RFC 7692 §6)
	bitsReserved  = 0x30
	bitMasked     = 0x80
	bitsOpcode    = 0x0f
)

// refusal is why a connection ends whose peer sends what is not read.
type refusal struct {
	code int
	text string
}

func (r *refusal) Error() string { return r.text }

// Serve upgrades a request. On a loop it returns when that has the connection, otherwise when it is over. An error means that the request was refused and answered.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, handler func(wire.Conn) wire.Handler) error {
	nc, unread, deflate, err := e.upgrade(w, r)
	if err != nil {
		return err
	}
	open := func(link loop.Link) loop.Machine {
		c := &conn{o: &e.o, link: link, deflate: deflate}
		c.handler = handler(c)
		return c
	}
	if e.o.Loops != nil {
		err := e.o.Loops.Seat().Attach(nc, unread, func(at *loop.Conn) loop.Machine { return open(at) })
		if err != loop.ErrNoSocket { //nolint:errorlint // it is not wrapped, and this is asked for every connection
			return err
		}
	}
	loop.Serve(nc, unread, open)
	return nil
}

// handshakePatience is how long the answer to a handshake may take to leave.
const handshakePatience = 10 * time.Second
