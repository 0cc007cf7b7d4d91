package outbox

import (
	"slices"
	"sync"

	"github.com/snoserver/sno/internal/hub"
)

// Bounds of the events that wait for the log.
const (
	maxQueued      = 10_000
	maxQueuedBytes = 16 << 20
)

// queuedSize is about what a record takes in memory.
func queuedSize(r *record) int { return 256 + len(r.Channel) + len(r.Data) }

// queue has the events that wait for the log.
type queue struct {
	mu     sync.Mutex
	list   []record
	bytes  int
	closed bool
}

var errEnded = hub.Errorf(hub.CodeUnavailable, "the app's webhooks have ended; the event was not recorded")

var errQueueFull = hub.Errorf(hub.CodeOverloaded, "%d events wait to be stored, the limit; the event was not recorded", maxQueued)

func (q *queue) put(r record) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return errEnded
	}
	if len(q.list) >= maxQueued || q.bytes+queuedSize(&r) > maxQueuedBytes {
		return errQueueFull
	}
	q.list = append(q.list, r)
	q.bytes += queuedSize(&r)
	return nil
}

// head returns the first events, at most so many. They stay until they are dropped.
func (q *queue) head(most int) []record {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.list[:min(most, len(q.list))])
}

// drop takes the first n.
func (q *queue) drop(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.list[:n] {
		q.bytes -= queuedSize(&q.list[i])
	}
	rest := copy(q.list, q.list[n:])
	clear(q.list[rest:])
	q.list = q.list[:rest]
}

// close takes no more, and returns what is there.
func (q *queue) close() []record {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.list
	q.list, q.bytes, q.closed = nil, 0, true
	return left
}
