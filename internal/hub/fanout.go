package hub

import (
	"math"
	"sync"
	"sync/atomic"
)

// noHold is the watermark while nothing is on its way from the log to the sessions.
const noHold = math.MaxUint64

// fanout marks the sessions that follow a channel ready when it has new messages.
//
// A session sees the messages of all its channels in log order. It may therefore send a message only when it
// knows of every earlier one in its channels: watermark is the offset up to which all sessions have been marked. It moves once per
// round, after every session of the round is marked and before any is woken.
type fanout struct {
	watermark atomic.Uint64

	mu      sync.Mutex
	dirty   []*live
	through uint64     // the newest offset delivered to tails
	waiters []*Session // found a message beyond the watermark
	closed  bool

	signal chan struct{}
	done   chan struct{}

	woken []*Session // of the round; owned by run
}

func newFanout() *fanout {
	f := &fanout{signal: make(chan struct{}, 1), done: make(chan struct{})}
	f.watermark.Store(noHold)
	go f.run()
	return f
}

// begin is called before messages from offset first on go to tails.
func (f *fanout) begin(first uint64) {
	f.watermark.CompareAndSwap(noHold, first-1)
}

// add queues channels whose tails have something new. The list is bounded by the channels there are: a dirty one is not added twice.
func (f *fanout) add(dirty []*live, through uint64) {
	f.mu.Lock()
	f.dirty = append(f.dirty, dirty...)
	f.through = max(f.through, through)
	f.mu.Unlock()
	f.poke()
}

// await wakes s when the watermark has passed what s has seen of it.
func (f *fanout) await(s *Session, seen uint64) {
	f.mu.Lock()
	moved := f.watermark.Load() != seen
	if !moved {
		f.waiters = append(f.waiters, s)
	}
	f.mu.Unlock()
	if moved {
		s.Wake()
	}
}

func (f *fanout) poke() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

func (f *fanout) run() {
	defer close(f.done)
	for range f.signal {
		f.mu.Lock()
		dirty, through, closed := f.dirty, f.through, f.closed
		f.dirty = nil
		f.mu.Unlock()
		if closed {
			return
		}
		f.mark(dirty)
		f.advance(through)
	}
}

func (f *fanout) mark(dirty []*live) {
	for _, l := range dirty {
		l.dirty.Store(false)
		l.subsMu.Lock()
		for _, u := range l.subs {
			if u.mark() {
				f.woken = append(f.woken, u.session)
			}
		}
		l.tell()
		l.subsMu.Unlock()
	}
}

func (f *fanout) advance(through uint64) {
	f.mu.Lock()
	if w := f.watermark.Load(); w != noHold && through > w {
		f.watermark.Store(through)
		f.woken = append(f.woken, f.waiters...)
		clear(f.waiters)
		f.waiters = f.waiters[:0]
	}
	f.mu.Unlock()
	for _, s := range f.woken {
		s.Wake()
	}
	clear(f.woken)
	f.woken = f.woken[:0]
}

// release lifts the hold: the log will say anew what is on its way.
func (f *fanout) release() {
	f.mu.Lock()
	f.watermark.Store(noHold)
	waiters := f.waiters
	f.waiters = nil
	f.mu.Unlock()
	for _, s := range waiters {
		s.Wake()
	}
}

func (f *fanout) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.poke()
	<-f.done
}

// Deliver implements Sink: it appends to the tails of the channels that somebody here follows.
func (h *Hub) Deliver(batch []*Message) {
	if len(batch) == 0 {
		return
	}
	h.fan.begin(batch[0].Offset)
	var dirty []*live
	var l *live
	for i, m := range batch {
		if i == 0 || m.Channel != batch[i-1].Channel {
			l = h.registry.find(m.Channel)
		}
		if l != nil && l.take(m) {
			dirty = append(dirty, l)
		}
		if m.Channel.Name < lastReserved {
			h.takeRevocation(m)
		}
	}
	h.fan.add(dirty, batch[len(batch)-1].Offset)
}

// take appends m to the tail and reports whether the channel has to be queued for fan-out.
func (l *live) take(m *Message) bool {
	l.mu.Lock()
	l.tail.append(m)
	l.mu.Unlock()
	return !l.dirty.Swap(true)
}

// Resync implements Sink: every cursor here reads on from the log.
func (h *Hub) Resync() {
	all := h.registry.all()
	for _, l := range all {
		l.mu.Lock()
		l.tail.lose()
		l.mu.Unlock()
		l.dirty.Store(true)
	}
	h.fan.release()
	h.fan.add(all, 0)
	h.rereadRevocations()
}
