package hub

import (
	"container/heap"
	"sync"
	"time"
)

// expiries ends sessions when their grants do. There is one timer for all of them: a timer of its own would be a tenth of what an idle session costs.
// Its lock is taken with a session's held, never the other way round.
type expiries struct {
	mu    sync.Mutex
	queue byExpiry
	timer *time.Timer // nil: no session has ever had one
}

// expiring is a session whose grant ends.
type expiring struct {
	at      int64 // Unix milliseconds
	session *Session
}

// watch ends s at a time, instead of at an earlier one that it was given; the zero time is never.
func (x *expiries) watch(s *Session, at time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.expiry > 0 {
		heap.Remove(&x.queue, int(s.expiry-1))
	}
	if !at.IsZero() {
		heap.Push(&x.queue, expiring{at.UnixMilli() + 1, s}) // what is left of the last millisecond belongs to the session
	}
	x.wind()
}

// wind sets the timer for the first. Called with mu held.
func (x *expiries) wind() {
	if len(x.queue) == 0 {
		if x.timer != nil {
			x.timer.Stop()
		}
		return
	}
	wait := time.Until(time.UnixMilli(x.queue[0].at))
	if x.timer == nil {
		x.timer = time.AfterFunc(wait, x.ring)
	} else {
		x.timer.Reset(wait)
	}
}

// ring ends the sessions whose time has come.
func (x *expiries) ring() {
	for _, s := range x.due(time.Now().UnixMilli()) {
		s.expire()
	}
}

func (x *expiries) due(now int64) (sessions []*Session) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.queue) > 0 && x.queue[0].at <= now {
		sessions = append(sessions, heap.Pop(&x.queue).(expiring).session)
	}
	x.wind()
	return sessions
}

// byExpiry is a heap, of which each session knows its place.
type byExpiry []expiring

func (q byExpiry) Len() int           { return len(q) }
func (q byExpiry) Less(i, j int) bool { return q[i].at < q[j].at }

func (q byExpiry) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].session.expiry, q[j].session.expiry = int32(i+1), int32(j+1)
}

func (q *byExpiry) Push(e any) {
	*q = append(*q, e.(expiring))
	e.(expiring).session.expiry = int32(len(*q))
}

func (q *byExpiry) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = expiring{}
	*q = (*q)[:last]
	e.session.expiry = 0
	return e
}
