package local

import (
	"sync"

	"github.com/snoserver/sno/internal/hub"
)

// request is an Append on its way through the committer and the finisher, or a command to the committer.
type request struct {
	entries []hub.Entry
	results []hub.Result
	hashes  []idHash
	bytes   int64
	done    func([]hub.Result)

	run func(*committer) // a command: called by the committer when its turn comes, between two batches

	oneResult [1]hub.Result
	oneHash   [1]idHash
}

func newRequest(entries []hub.Entry, done func([]hub.Result)) *request {
	r := &request{entries: entries, done: done}
	if len(entries) == 1 {
		r.results, r.hashes = r.oneResult[:], r.oneHash[:]
	} else {
		r.results, r.hashes = make([]hub.Result, len(entries)), make([]idHash, len(entries))
	}
	for i := range entries {
		m := entries[i].Message
		if m.OwnID {
			m.ID = ""
		} else {
			r.hashes[i] = hashID(m.ID)
		}
		r.bytes += int64(m.Size())
	}
	return r
}

// fail answers all entries with one error, from a goroutine of its own: the caller of Append may hold what done needs.
func (r *request) fail(err error) {
	for i := range r.results {
		r.results[i] = hub.Result{Err: err}
		r.entries[i].Order.Break()
	}
	go r.done(r.results)
}

// queue is what waits for the committer. It is bounded in bytes by the Log.
type queue struct {
	mu     sync.Mutex
	some   sync.Cond
	waits  []*request
	bytes  int64 // of all requests whose done has not been called yet
	closed bool
}

type pushed uint8

const (
	pushedOK pushed = iota
	pushedFull
	pushedClosed
)

func (q *queue) push(r *request, limit int64) pushed {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return pushedClosed
	case q.bytes > 0 && q.bytes+r.bytes > limit && r.run == nil:
		return pushedFull
	}
	q.bytes += r.bytes
	if q.waits = append(q.waits, r); len(q.waits) == 1 {
		q.some.Signal()
	}
	return pushedOK
}

// command queues run; false means that the log is closed.
func (q *queue) command(run func(*committer)) bool {
	return q.push(&request{run: run}, 0) == pushedOK
}

// take waits for requests and returns all there are, in spare's room; none once the queue is closed and empty.
func (q *queue) take(spare []*request) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waits) == 0 && !q.closed {
		q.some.Wait()
	}
	clear(spare)
	all := q.waits
	q.waits = spare[:0]
	return all
}

func (q *queue) release(n int64) {
	q.mu.Lock()
	q.bytes -= n
	q.mu.Unlock()
}

// close lets what is queued through and refuses what comes. It reports whether the queue was open.
func (q *queue) close() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.closed
	q.closed = true
	q.some.Signal()
	return !was
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
