package hub

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Lane is a goroutine of a transport's that drains the sessions of many connections.
type Lane interface {
	// Call has f called by that goroutine, after what it was given before. It does not block.
	Call(f func())
}

const (
	// noHold is the watermark while nothing is on its way from the log to the sessions.
	noHold = math.MaxUint64
	// maxLanes is how many lanes there can be: a channel has a bit for each.
	maxLanes = 64
	// stretch is how many sessions a lane drains before it does something else: answers of others must not wait for a whole crowd.
	stretch = 256
)

// lane brings what is new in channels to those of its sessions that follow them, in rounds. Lane 0 is the hub's own, for sessions of transports that have none:
// it wakes them. Other lanes are run by their transport, and drain.
//
// A session sees the messages of all its channels in log order. It may therefore send a message only when it knows of every earlier one in its channels: watermark
// is the offset up to which all sessions of the lane have been marked. It moves once per round, after every session of the round is marked and before any is drained.
type lane struct {
	host      Lane // nil: lane 0
	bit       uint64
	meter     Meter
	now       func() instant
	watermark atomic.Uint64

	mu      sync.Mutex
	dirty   []*live // have news for sessions of this lane; whether a channel is among them is its bit in live.queued, which changes under this lock
	through uint64  // the newest offset delivered to tails
	asked   bool    // a round was asked for and has not begun, or one goes on
	waiters []*Session
	closed  bool

	signal, done chan struct{} // lane 0's

	// Of the round, the lane's goroutine's own.
	round    []*live
	sessions []*Session
	reached  int  // of sessions
	serving  bool // a stretch is on
	step     func()
	runs     [4]*Run // made last, oldest overwritten first
	nextRun  int
	tally    laneTally
}

func newLane(index int, host Lane, h *Hub) *lane {
	l := &lane{host: host, bit: 1 << index, meter: h.meter, now: h.now}
	l.step = l.goOn
	l.watermark.Store(noHold)
	return l
}

// start runs lane 0.
func (l *lane) start() {
	l.signal, l.done = make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(l.done)
		for range l.signal {
			if l.isClosed() {
				return
			}
			l.goOn()
		}
	}()
}

func (l *lane) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// stop ends lane 0.
func (l *lane) stop() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.poke()
	<-l.done
}

func (l *lane) poke() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// begin is called before messages from offset first on go to tails.
func (l *lane) begin(first uint64) { l.watermark.CompareAndSwap(noHold, first-1) }

// add queues those of some channels that have sessions of this lane; their tails have got what is new before. The list is bounded by the channels there are: one that is
// queued is not queued again.
func (l *lane) add(changed []*live, through uint64) {
	l.mu.Lock()
	for _, c := range changed {
		if c.lanes.Load()&l.bit != 0 && c.queued.Or(l.bit)&l.bit == 0 {
			l.dirty = append(l.dirty, c)
		}
	}
	l.through = max(l.through, through)
	var waiters []*Session
	ask := !l.asked && len(l.dirty) > 0
	switch {
	case ask:
		l.asked = true
	case !l.asked: // nobody to mark
		waiters = l.advance()
	}
	l.mu.Unlock()
	if ask {
		l.call()
	}
	wakeAll(waiters)
}

func (l *lane) call() {
	if l.host != nil {
		l.host.Call(l.step)
	} else {
		l.poke()
	}
}

// advance moves the watermark and returns who waits for that. Called with mu held.
func (l *lane) advance() []*Session {
	w := l.watermark.Load()
	if w == noHold || l.through <= w {
		return nil
	}
	l.watermark.Store(l.through)
	waiters := l.waiters
	l.waiters = nil
	return waiters
}

func wakeAll(sessions []*Session) {
	for _, s := range sessions {
		s.Wake()
	}
}

// await wakes s when the watermark has passed what s has seen of it.
func (l *lane) await(s *Session, seen uint64) {
	l.mu.Lock()
	moved := l.watermark.Load() != seen
	if !moved {
		l.waiters = append(l.waiters, s)
	}
	l.mu.Unlock()
	if moved {
		s.Wake()
	}
}

// release lifts the hold: the log will say anew what is on its way.
func (l *lane) release() {
	l.mu.Lock()
	l.watermark.Store(noHold)
	waiters := l.waiters
	l.waiters = nil
	l.mu.Unlock()
	wakeAll(waiters)
}

// goOn begins a round or takes the next stretch of the one that goes on.
func (l *lane) goOn() {
	if l.reached == len(l.sessions) {
		l.begins()
	}
	end := min(l.reached+stretch, len(l.sessions))
	l.serving = true
	for _, s := range l.sessions[l.reached:end] {
		s.serve()
	}
	l.serving = false
	l.tally.tell(l)
	if l.reached = end; l.reached < len(l.sessions) {
		l.call()
		return
	}
	clear(l.sessions)
	l.sessions, l.reached = l.sessions[:0], 0
	clear(l.runs[:]) // large messages must not be kept from being forgotten
	l.mu.Lock()
	l.asked = len(l.dirty) > 0
	again := l.asked
	var waiters []*Session
	if !again {
		waiters = l.advance()
	}
	l.mu.Unlock()
	wakeAll(waiters)
	if again {
		l.call()
	}
}

// begins marks the sessions of a round and moves the watermark.
func (l *lane) begins() {
	l.mu.Lock()
	l.round, l.dirty = l.dirty, l.round[:0]
	for _, c := range l.round {
		c.queued.And(^l.bit)
	}
	through := l.through
	l.mu.Unlock()
	for _, c := range l.round {
		l.mark(c)
	}
	clear(l.round)
	l.mu.Lock()
	var waiters []*Session
	if w := l.watermark.Load(); w != noHold && through > w {
		l.watermark.Store(through)
		waiters, l.waiters = l.waiters, nil
	}
	l.mu.Unlock()
	wakeAll(waiters)
}

// mark has the sessions of the lane that follow c look at it.
func (l *lane) mark(c *live) {
	c.subsMu.Lock()
	defer c.subsMu.Unlock()
	for _, u := range c.group(l) {
		if u.mark() && !u.session.called {
			u.session.called = true
			l.sessions = append(l.sessions, u.session)
		}
	}
	if l.host == nil {
		c.tell()
	}
}

// serve is the turn of a session in a round.
func (s *Session) serve() {
	s.called = false
	if s.lane.host != nil {
		s.waker.(Drainer).Drain()
	} else {
		s.Wake()
	}
}

// lanes are those of a hub. They are made when the first session of a transport's lane begins and stay.
type lanes struct {
	mu  sync.RWMutex // held for reading while a batch goes to the tails and the lanes: one that is made meanwhile would not hear how far that is
	all atomic.Pointer[[]*lane]
}

func (s *lanes) list() []*lane { return *s.all.Load() }

// of returns the lane of a host, lane 0 for none; nil: there is none yet.
func (s *lanes) of(host Lane) *lane {
	for _, l := range s.list() {
		if l.host == host {
			return l
		}
	}
	return nil
}

// lane returns the lane of a transport's. One too many shares lane 0, which wakes its sessions.
func (h *Hub) lane(host Lane) *lane {
	if l := h.lanes.of(host); l != nil {
		return l
	}
	h.lanes.mu.Lock()
	defer h.lanes.mu.Unlock()
	if l := h.lanes.of(host); l != nil {
		return l
	}
	all := h.lanes.list()
	if len(all) == maxLanes {
		return all[0]
	}
	made := newLane(len(all), host, h)
	all[0].tell(made)
	all = append(all[:len(all):len(all)], made)
	h.lanes.all.Store(&all)
	return made
}

// tell has another lane, which has nobody to mark yet, know how far the tails are.
func (l *lane) tell(made *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if made.through = l.through; l.watermark.Load() != noHold {
		made.watermark.Store(l.through)
	}
}

// changed has the sessions that follow some channels look at them.
func (h *Hub) changed(channels []*live, through uint64) {
	for _, l := range h.lanes.list() {
		l.add(channels, through)
	}
}

// Deliver implements Sink: it appends to the tails of the channels that somebody here follows.
func (h *Hub) Deliver(batch []*Message) {
	if len(batch) == 0 {
		return
	}
	h.lanes.mu.RLock()
	defer h.lanes.mu.RUnlock()
	for _, l := range h.lanes.list() {
		l.begin(batch[0].Offset)
	}
	changed := h.delivered[:0]
	var c *live
	for i, m := range batch {
		if i == 0 || m.Channel != batch[i-1].Channel {
			if c = h.registry.find(m.Channel); c != nil {
				changed = append(changed, c)
			}
		}
		if c != nil {
			c.take(m)
		}
		if m.Channel.Name < lastReserved {
			h.takeRevocation(m)
		}
	}
	h.changed(changed, batch[len(batch)-1].Offset)
	clear(changed)
	h.delivered = changed
}

// take appends m to the tail.
func (l *live) take(m *Message) {
	l.mu.Lock()
	l.tail.append(m)
	l.mu.Unlock()
}

// Resync implements Sink: every cursor here reads on from the log.
func (h *Hub) Resync() {
	all := h.registry.all()
	for _, c := range all {
		c.mu.Lock()
		c.tail.lose()
		c.mu.Unlock()
	}
	for _, l := range h.lanes.list() {
		l.release()
	}
	h.changed(all, 0)
	h.rereadRevocations()
}

// index is the number of a lane, by its bit.
func (l *lane) index() int { return bits.TrailingZeros64(l.bit) }
