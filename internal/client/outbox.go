package client

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// pending is a request that waits for its answer.
type pending struct {
	ref   uint64
	frame []byte
	// once marks what must not reach the server twice: it fails when the connection is lost after it was sent.
	once bool
	// retry marks what is sent again after a refusal that is worth it.
	retry bool
	// ordered marks the publishes that the server refuses once one before them was refused, until one says that it is a retry.
	ordered bool
	// done is called once, from the reading goroutine, with either.
	done     func(f *frame, err error)
	sent     bool // on this connection
	finished bool
}

// outbox holds the requests without an answer, in the order of the calls. It is guarded by Client.mu.
type outbox struct {
	list  []*pending
	byRef map[uint64]*pending
	bytes int
	next  int // list[:next] has been sent on this connection or is finished

	// After a refusal nothing more is sent until all that is under way has been answered and a pause is over: then everything refused goes first.
	held     bool
	resumeAt time.Time
	refusals int
	again    bool // the next ordered publish is the first of a retry
	inflight int

	room chan struct{} // closed when something was finished, if anybody waits
	idle chan struct{} // closed when the list is empty, if anybody waits
}

func (o *outbox) full(window, windowBytes, size int) bool {
	return len(o.list) >= window || len(o.list) > 0 && o.bytes+size > windowBytes
}

func (o *outbox) add(p *pending) {
	o.list = append(o.list, p)
	o.byRef[p.ref] = p
	o.bytes += len(p.frame)
}

// waitRoom returns a channel that is closed when it is worth looking for room again.
func (o *outbox) waitRoom() <-chan struct{} {
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

// waitIdle returns a channel that is closed when nothing is unanswered.
func (o *outbox) waitIdle() <-chan struct{} {
	if o.idle == nil {
		o.idle = make(chan struct{})
	}
	if len(o.list) == 0 {
		closeOnce(&o.idle)
		idle := make(chan struct{})
		close(idle)
		return idle
	}
	return o.idle
}

func closeOnce(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}

// take adds the next frames to a batch and marks them sent. When there are none, wait is how long until it is worth asking again, 0: not before
// something changes.
func (o *outbox) take(now time.Time, b backoff, to *batch) (wait time.Duration) {
	if wait, held := o.hold(now, b); held {
		return wait
	}
	for ; o.next < len(o.list); o.next++ {
		p := o.list[o.next]
		if p.sent || p.finished {
			continue
		}
		frame := p.frame
		if p.ordered && o.again {
			frame = asRetry(frame)
		}
		if !to.add(frame) {
			break
		}
		if p.ordered {
			o.again = false
		}
		p.sent = true
		o.inflight++
	}
	return 0
}

// asRetry adds "retry":true to a frame, which has other members already.
func asRetry(frame []byte) []byte {
	return append([]byte(`{"retry":true,`), frame[1:]...)
}

// batch gathers the frames of one WebSocket message.
type batch struct {
	frames [][]byte
	bytes  int
	limit  int
}

// batchBytes bounds a message of several frames; a single one may be larger.
const batchBytes = 64 << 10

// newBatch makes a batch for a server that reads messages of at most maxFrame bytes; 0: not known.
func newBatch(maxFrame int) *batch {
	b := &batch{limit: batchBytes, bytes: len("[")}
	if maxFrame > 0 {
		b.limit = min(b.limit, maxFrame)
	}
	return b
}

// add says whether the frame had room.
func (b *batch) add(frame []byte) bool {
	size := len(frame) + len(",")
	if len(b.frames) > 0 && b.bytes+size > b.limit {
		return false
	}
	b.frames = append(b.frames, frame)
	b.bytes += size
	return true
}

// hold reports whether nothing may be sent just now because of a refusal.
func (o *outbox) hold(now time.Time, b backoff) (wait time.Duration, held bool) {
	if !o.held || o.inflight > 0 {
		return 0, o.held
	}
	if o.resumeAt.IsZero() {
		o.resumeAt = now.Add(b.delay(o.refusals))
		o.refusals++
	}
	if wait = o.resumeAt.Sub(now); wait > 0 {
		return wait, true
	}
	o.held, o.resumeAt, o.next, o.again = false, time.Time{}, 0, true
	return 0, false
}

// answer finds the request of a ref, which is no longer under way.
func (o *outbox) answer(ref uint64) *pending {
	p := o.byRef[ref]
	if p == nil || !p.sent {
		return nil
	}
	o.inflight--
	return p
}

// refuse keeps a request to be sent again.
func (o *outbox) refuse(p *pending) {
	p.sent = false
	o.held = true
}

// finish removes a request.
func (o *outbox) finish(p *pending) {
	p.finished = true
	delete(o.byRef, p.ref)
	o.bytes -= len(p.frame)
	p.frame = nil
	for len(o.list) > 0 && o.list[0].finished {
		o.list[0] = nil
		o.list = o.list[1:]
		o.next = max(o.next-1, 0)
	}
	closeOnce(&o.room)
	if len(o.list) == 0 {
		closeOnce(&o.idle)
	}
}

// lostConnection makes everything unsent again. It returns the requests that may not be sent twice, finished.
func (o *outbox) lostConnection() (once []*pending) {
	for _, p := range o.list {
		if p.sent && p.once && !p.finished {
			once = append(once, p)
		}
		p.sent = false
	}
	for _, p := range once {
		o.finish(p)
	}
	o.next, o.inflight, o.held, o.resumeAt, o.again = 0, 0, false, time.Time{}, false
	return once
}

// drop finishes everything.
func (o *outbox) drop() (all []*pending) {
	for _, p := range o.list {
		if !p.finished {
			all = append(all, p)
		}
	}
	for _, p := range all {
		o.finish(p)
	}
	return all
}

// worthRetry says whether a request that failed so may succeed when it is sent again with the same id.
func worthRetry(err error) bool {
	e, ok := errors.AsType[*hub.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case hub.CodeOverloaded, hub.CodeUnavailable, hub.CodeDiskFull, hub.CodeOutOfOrder:
		return true
	}
	return false
}

// backoff is how long to wait before trying again.
type backoff struct{ min, max time.Duration }

// defaultBackoff counts until a welcome has given the server's.
var defaultBackoff = backoff{100 * time.Millisecond, 10 * time.Second}

// delay draws a time between 0 and min·2ⁿ, at most max: full jitter, so that clients that were lost together do not come back together.
func (b backoff) delay(attempt int) time.Duration {
	bound := b.max
	if attempt < 30 {
		bound = min(b.max, b.min<<attempt)
	}
	return rand.N(max(bound, 1))
}
