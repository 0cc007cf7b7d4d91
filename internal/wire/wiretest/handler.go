// Package wiretest has a handler for the tests of transports.
package wiretest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/wire"
)

// Patience is how long anything may take that is waited for.
const Patience = 10 * time.Second

// Handler gives out what it is told to, one message a Pull, and keeps what it receives.
type Handler struct {
	Conn     wire.Conn
	Received chan string
	Ended    chan time.Time // what Closed said
	Block    chan struct{}  // Receive waits for it, if it is set, or for Closed

	mu     sync.Mutex
	out    []string
	next   wire.Next // of the Pull that finds nothing more
	beats  int
	closed chan struct{}
}

// New makes a handler of a connection.
func New(c wire.Conn) *Handler {
	return &Handler{Conn: c, Received: make(chan string, 100), Ended: make(chan time.Time, 2), closed: make(chan struct{})}
}

// Send gives out messages.
func (h *Handler) Send(messages ...string) {
	h.mu.Lock()
	h.out = append(h.out, messages...)
	h.mu.Unlock()
	h.Conn.Wake()
}

// Then sets what follows the last message.
func (h *Handler) Then(next wire.Next) {
	h.mu.Lock()
	h.next = next
	h.mu.Unlock()
	h.Conn.Wake()
}

// Beats is how often Heartbeat was called.
func (h *Handler) Beats() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.beats
}

// Receive implements wire.Handler.
func (h *Handler) Receive(msg []byte, _ bool) {
	if h.Block != nil {
		select {
		case <-h.Block:
		case <-h.closed:
		}
	}
	h.Received <- string(msg)
}

// TooLarge implements wire.Handler: it is received as a text that says so.
func (h *Handler) TooLarge(size int64) { h.Received <- fmt.Sprintf("too large: %d", size) }

// Pull implements wire.Handler.
func (h *Handler) Pull(dst []byte, _ bool) ([]byte, wire.Next) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.out) == 0 {
		return dst, h.next
	}
	dst = append(dst, h.out[0]...)
	if h.out = h.out[1:]; len(h.out) == 0 {
		return dst, h.next
	}
	return dst, wire.Next{More: true, News: h.next.News, Waiting: h.next.Waiting}
}

// Heartbeat implements wire.Handler.
func (h *Handler) Heartbeat() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beats++
}

// Closed implements wire.Handler.
func (h *Handler) Closed(lastHeard time.Time) {
	close(h.closed)
	h.Ended <- lastHeard
}

// Wait waits for a value.
func Wait[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(Patience):
		t.Fatalf("no %s within %v", what, Patience)
		panic("not reached")
	}
}
