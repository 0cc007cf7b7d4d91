package outbox

import (
	"sync"

	"github.com/snoserver/sno/internal/hub"
)

// Bounds of the events that wait for the log.
const (
	maxQueued      = 10_000
	maxQueuedBytes = 16 << 20
)

// queued is an event on its way into the log.
type queued struct {
	record
	stored func(error)
}

func (q *queued) size() int { return 256 + len(q.Channel) + len(q.Data) }

// queue has the events that wait for the log.
type queue struct {
	mu     sync.Mutex
	list   []queued
	bytes  int
	closed bool
}

var errEnded = hub.Errorf(hub.CodeUnavailable, "the app's webhooks have ended; the event was not recorded")

var errQueueFull = hub.Errorf(hub.CodeOverloaded, "%d events wait to be stored, the limit; the event was not recorded", maxQueued)

func (q *queue) put(e queued) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errEnded
	}
	if len(q.list) >= maxQueued || q.bytes+e.size() > maxQueuedBytes {
		return errQueueFull
	}
	q.list = append(q.list, e)
	q.bytes += e.size()
	return nil
}

// head returns the first events, at most so many. They stay until they are dropped.
func (q *queue) head(most int) []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]queued(nil), q.list[:min(most, len(q.list))]...)
}

// drop takes the first n.
func (q *queue) drop(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.list[:n] {
		q.bytes -= q.list[i].size()
	}
	rest := copy(q.list, q.list[n:])
	clear(q.list[rest:])
	q.list = q.list[:rest]
}

// close takes no more, and returns what is there.
func (q *queue) close() []queued {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.list
	q.list, q.bytes, q.closed = nil, 0, true
	return left
}
