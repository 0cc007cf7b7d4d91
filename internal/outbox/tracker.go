package outbox

import (
	"container/heap"
	"crypto/rand"
	"sync"
	"time"
)

const (
	// DefaultGrace is how long a channel has to be vacated, and a member gone, before that is an event: who reloads a page has not left.
	DefaultGrace = 3 * time.Second
	// DefaultReturn is how long clients have to come back after a start before what they have left by it is an event.
	DefaultReturn = 30 * time.Second
	// maxGoing bounds those whose end waits for the grace; further ones end at once.
	maxGoing = 100_000
	// tryAgain is when something is recorded again that the log has not taken.
	tryAgain = time.Second
)

// key names a channel, or a member of one.
type key struct{ channel, member string }

// being is whether what a key names is there, and whether the log says so.
type being struct {
	key
	there, told bool
	asked       bool   // the log has been asked to take the difference
	id          string // of the event by which it was asked: the same when it is asked again, since it may have taken it and not said so
	due         time.Time
	seq         uint64 // of those that are due at the same time the first goes first
	place       int    // in the queue, from 1; 0: is not in it
}

// change is a difference to record.
type change struct {
	key
	there bool
	id    string // of the event
}

// kind is the type of the event.
func (c change) kind() string {
	switch {
	case c.member == "" && c.there:
		return ChannelOccupied
	case c.member == "":
		return ChannelVacated
	case c.there:
		return MemberAdded
	}
	return MemberRemoved
}

// tracker compares which of an app's channels are occupied and which members are there with what the log says, and gives out the differences: a beginning at once, an end after
// the grace. What does not reach the log is given out again: so no event is lost, whatever the log does, and what is held is bounded by what is there.
type tracker struct {
	grace  time.Duration
	wanted func(key) bool
	wake   func()

	mu     sync.Mutex
	on     bool // what is there is known
	parts  bool // ends are not given out any more
	beings map[key]*being
	queue  byDue
	seq    uint64
	going  int // beings that are told and not there
}

func newTracker(grace time.Duration, wake func()) *tracker {
	return &tracker{grace: grace, wake: wake, beings: map[key]*being{}}
}

// begin starts with what the log says. What does not come back by a time has ended.
func (t *tracker) begin(told map[key]bool, by time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.on = true
	for k := range told {
		if t.wanted(k) {
			b := &being{key: k, told: true}
			t.beings[k] = b
			t.going++
			if !t.parts {
				t.plan(b, by)
			}
		}
	}
}

// want changes of what the log is to know. What nobody wants any more is forgotten; what somebody wants now has to be told.
func (t *tracker) want(wanted func(key) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted = wanted
	for k, b := range t.beings {
		if !wanted(k) && !b.asked {
			t.forget(b)
		}
	}
}

// set says that something is there, or not. It is called under locks of the hub.
func (t *tracker) set(k key, there bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.on || !t.wanted(k) {
		return
	}
	b := t.beings[k]
	switch {
	case b == nil && !there:
		return
	case b == nil:
		b = &being{key: k}
		t.beings[k] = b
	case b.there == there:
		return
	case b.told && there:
		t.going--
	case b.told:
		t.going++
	}
	b.there = there
	if !b.asked {
		b.id = ""
		t.settle(b, time.Now())
	}
}

// part has nothing end any more: who goes from now on is sent away, and comes back to the next process. That finds what has not.
func (t *tracker) part() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = true
	for _, b := range t.beings {
		if b.told && !b.there {
			t.cancel(b)
		}
	}
}

// settle plans what is to be done about a being, at the earliest at a time. Called with mu held.
func (t *tracker) settle(b *being, at time.Time) {
	switch {
	case b.there == b.told && b.told:
		t.cancel(b)
	case b.there == b.told:
		t.forget(b)
	case t.parts && b.told:
		t.cancel(b)
	case b.there || t.going > maxGoing:
		t.plan(b, at)
	default:
		t.plan(b, at.Add(t.grace))
	}
}

func (t *tracker) plan(b *being, due time.Time) {
	t.seq++
	b.due, b.seq = due, t.seq
	if b.place == 0 {
		heap.Push(&t.queue, b)
	} else {
		heap.Fix(&t.queue, b.place-1)
	}
	if b.place == 1 {
		t.wake()
	}
}

func (t *tracker) cancel(b *being) {
	if b.place > 0 {
		heap.Remove(&t.queue, b.place-1)
	}
}

func (t *tracker) forget(b *being) {
	t.cancel(b)
	delete(t.beings, b.key)
	if b.told && !b.there {
		t.going--
	}
}

// take returns differences that are due, at most so many, and when the next will be (zero: none). Each is given back by one call of recorded.
func (t *tracker) take(most int) (due []change, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for now := time.Now(); len(t.queue) > 0 && len(due) < most; {
		b := t.queue[0]
		if b.due.After(now) {
			return due, b.due
		}
		heap.Pop(&t.queue)
		b.asked = true
		if b.id == "" {
			b.id = rand.Text()
		}
		due = append(due, change{b.key, b.there, b.id})
	}
	if len(t.queue) > 0 {
		next = t.queue[0].due
	}
	return due, next
}

// recorded says whether the log has taken a change.
func (t *tracker) recorded(c change, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.beings[c.key]
	was := b.told && !b.there
	b.asked = false
	if ok {
		b.told = c.there
	}
	if ok || b.there != c.there {
		b.id = ""
	}
	if is := b.told && !b.there; is != was {
		t.going += map[bool]int{true: 1, false: -1}[is]
	}
	if !t.wanted(b.key) {
		t.forget(b)
		return
	}
	at := time.Now()
	if !ok {
		at = at.Add(tryAgain)
	}
	t.settle(b, at)
}

// told returns everything that the log says is there.
func (t *tracker) told() (all []key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, b := range t.beings {
		if b.told {
			all = append(all, k)
		}
	}
	return all
}

// size is how many beings there are.
func (t *tracker) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.beings)
}

// byDue is a heap, of which each being knows its place.
type byDue []*being

func (q byDue) Len() int { return len(q) }

func (q byDue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].seq < q[j].seq
}

func (q byDue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i+1, j+1
}

func (q *byDue) Push(b any) {
	*q = append(*q, b.(*being))
	b.(*being).place = len(*q)
}

func (q *byDue) Pop() any {
	last := len(*q) - 1
	b := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	b.place = 0
	return b
}
