// Package wire moves messages between a connection and a protocol's handler, and knows the meaning of none.
//
// Guarantees, for every transport:
//
//   - Receive and TooLarge of a Handler are called one at a time. Pull is called one at a time, but beside those.
//   - Bytes are pulled when the socket can take them. A slow peer is not asked faster, and nothing is queued for it here.
//   - While Receive runs nothing more is read from the peer.
//   - A peer that is only slow is not cut off: a connection ends for silence when nothing was heard for Heartbeat + Patience and
//     the network gives no sign of the peer either.
//   - Closed is called exactly once, and nothing is pulled after it. It may be called while a Receive runs: what that waits for will not come.
//
// How bytes leave (a goroutine a connection, an epoll loop) is the transport's own matter: nothing above this package may depend on it.
package wire

import (
	"net"
	"sync/atomic"
	"time"
)

// Heartbeat is how often the server gives a sign of life: proxies cut idle connections at 50 to 60 s.
const Heartbeat = 25 * time.Second

// Patience is how long after a sign of life the peer's answer may take.
const Patience = 10 * time.Second

// Handler is the protocol's side of one connection.
type Handler interface {
	// Receive handles one message from the peer; msg is valid until it returns. It may block: then nothing is read.
	Receive(msg []byte, binary bool)
	// TooLarge says that a message of size bytes was read and thrown away.
	TooLarge(size int64)
	// Pull appends the next outgoing message to dst, or gives it as Next.Shared. Neither: there is none until Conn.Wake. Without wait it may not block: where
	// it would have to, it says so by Next.Wait.
	Pull(dst []byte, wait bool) (out []byte, next Next)
	// Heartbeat is called every Heartbeat, for protocols that say something of their own.
	Heartbeat()
	// Closed says that the connection is over. lastHeard is when the peer last gave a sign of life; zero if it said goodbye.
	Closed(lastHeard time.Time)
}

// Vetter is what a Handler can tell besides. Until Vetted a transport spends less on a peer.
type Vetter interface {
	// Vetted reports whether the peer has shown who it is. It may be called from anywhere.
	Vetted() bool
}

// Next says what follows a Pull.
type Next struct {
	// More: Pull again at once.
	More bool
	// Wait: that Pull may have to wait, say for a disk, so it needs a goroutine that may.
	Wait bool
	// Shared is a message that many connections get alike, instead of one that is appended; or several, which then do not come with End.
	Shared *Payload
	// End: close the connection with this code and reason. 0: go on.
	End    int
	Reason string
	// News and Waiting are for transports that answer once, as a poll does. News: the peer should hear now of what was pulled before, or with, this. Waiting: requests
	// of the peer are still to be answered.
	News, Waiting bool
}

// Payload is bytes that many connections send. Nobody may change them. A transport keeps its own form of them here, so that it is made once.
type Payload struct {
	Bytes []byte
	// Ends, if set, say that the bytes are several messages, and where each of them ends: for protocols that have one event a message. They leave in one write all the same.
	Ends []int

	framed [forms]atomic.Pointer[[]byte]
}

// Form numbers the forms in which transports send a Payload.
type Form uint8

// The forms there are.
const (
	FormFrame    Form = iota // a WebSocket frame
	FormDeflated             // the same, compressed
	FormChunk                // a chunk of an HTTP/1.1 body
	FormStrings              // JSON strings with commas between
	forms        = iota
)

// Framed is what frame makes of the bytes, called at most a few times (once, but for races).
func (p *Payload) Framed(f Form, frame func([]byte) []byte) []byte {
	if b := p.framed[f].Load(); b != nil {
		return *b
	}
	b := frame(p.Bytes)
	p.framed[f].Store(&b)
	return b
}

// Looped is a Conn that is driven by a loop, which is one goroutine for many connections.
type Looped interface {
	Conn
	// Loop is that loop. Two connections of one loop return the same value.
	Loop() Loop
	// Drain pulls and writes now. Only the loop's goroutine may call it.
	Drain()
}

// Loop is a goroutine that drives connections.
type Loop interface {
	// Call has f called by that goroutine, after what it was given before. It does not block.
	Call(f func())
}

// Surrenderer is a connection that wraps another one and can do without.
type Surrenderer interface {
	// Surrender gives the connection beneath away. unread was read from it already; closed is to be called when it has been closed.
	Surrender() (beneath net.Conn, unread []byte, closed func())
}

// Conn is the transport's side of one connection. Its methods may be called from anywhere and do not block.
type Conn interface {
	// Wake says that Pull may have something.
	Wake()
	// Close ends the connection with a code, without waiting for what could still be pulled.
	Close(code int, reason string)
}
