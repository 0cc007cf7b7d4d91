package hub

import (
	"container/heap"
	"context"
	"errors"
	"time"
)

// EventKind says what an Event is.
type EventKind uint8

const (
	// EventMessage is a message of a subscription.
	EventMessage EventKind = iota
	// EventSkip stands for a message that excludes this session.
	EventSkip
	// EventReset says that a cursor could not be honoured.
	EventReset
	// EventAnswer is the answer to a request, as the protocol made it.
	EventAnswer
	// EventUnsubscribed says that the hub ended a subscription.
	EventUnsubscribed
	// EventMembers is a snapshot of a channel's members.
	EventMembers
	// EventChange is a change of a channel's members.
	EventChange
	// EventGoaway asks the client to connect again after a delay.
	EventGoaway
	// EventEnd is the last event: the transport closes the connection.
	EventEnd
)

// Event is one thing a session gets, in the order in which it gets it.
type Event struct {
	Kind    EventKind
	Channel string   // of all but answers and ends
	Message *Message // of EventMessage and EventSkip
	Detail  *Detail  // of the others
}

// Detail is what the rarer events carry.
type Detail struct {
	Answer   any           // EventAnswer
	Err      *Error        // EventUnsubscribed, EventGoaway, EventEnd
	Reset    Reset         // EventReset
	Position Position      // EventReset: where reading goes on
	Members  []Member      // EventMembers
	Version  uint64        // EventMembers
	Change   Change        // EventChange
	Delay    time.Duration // EventGoaway

	size int // reserved for an answer
}

// Pull appends to dst what the session gets next, in order, until about budget bytes are taken or nothing is left. more says
// that there is more at once; otherwise wake will be called when there is. It reads the log for cursors that are behind, so it may wait for the disk.
func (s *Session) Pull(dst []Event, budget int) (events []Event, more bool) {
	s.woken.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	dst, budget = s.pullNotices(dst, budget)
	if budget <= 0 {
		return dst, true
	}
	if s.leaving != nil {
		// What is there already goes before the end, for once: who is sent away in order has not missed it.
		defer func() { events, more = append(events, *s.leaving), false }()
	}
	// The watermark is read before the marks are taken: whatever is up to it has been marked.
	hold := s.hub.fan.watermark.Load()
	s.gather()
	dst, budget = s.pullPresence(dst, budget)
	dst, more = s.merge(dst, budget, hold)
	s.hub.tell(&s.tally)
	return dst, more || len(s.due) > 0 || len(s.notices) > 0
}

func (s *Session) pullNotices(dst []Event, budget int) ([]Event, int) {
	taken := 0
	for ; taken < len(s.notices) && budget > 0; taken++ {
		e := s.notices[taken]
		s.notices[taken] = Event{}
		budget -= messageOverhead
		if e.Kind == EventAnswer {
			s.release(e.Detail.size)
			budget -= e.Detail.size
		}
		if e.Kind == EventEnd && e.Detail.Err.Code == CodeGoaway && !s.closed {
			s.leaving = &e
			continue
		}
		dst = append(dst, e)
	}
	if s.notices = s.notices[taken:]; len(s.notices) == 0 {
		s.notices = nil
	}
	return dst, budget
}

// gather makes the ready subscriptions active. The mark is taken off before the tail is looked at: what comes after that marks again.
func (s *Session) gather() {
	s.readyMu.Lock()
	ready := s.ready
	s.ready = nil
	s.readyMu.Unlock()
	for _, u := range ready {
		u.marked.Store(false)
		if u.presence && !u.due && !u.gone {
			u.due = true
			s.due = append(s.due, u)
		}
		if !u.active && s.refill(u) {
			u.active = true
			heap.Push(&s.active, u)
		}
	}
}

// merge emits the messages of the active subscriptions, lowest offset first, up to hold. Each active one has something to emit, so that the lowest is known.
func (s *Session) merge(dst []Event, budget int, hold uint64) (events []Event, more bool) {
	for len(s.active) > 0 {
		u := s.active[0]
		if !u.gone {
			if budget <= 0 {
				return dst, true
			}
			if u.nextOffset() > hold {
				s.hub.fan.await(s, hold)
				return dst, false
			}
			var e Event
			e, budget = u.emit(budget)
			dst = append(dst, e)
			if e.Kind == EventMessage {
				s.tally.add(e.Message, u.began)
			}
		}
		if s.refill(u) {
			heap.Fix(&s.active, 0)
		} else {
			u.active = false
			heap.Pop(&s.active)
		}
	}
	return dst, false
}

// emit takes what u has next: a reset or a message.
func (u *subscription) emit(budget int) (Event, int) {
	name := u.live.channel.Name
	if u.reset != "" {
		e := Event{Kind: EventReset, Channel: name, Detail: &Detail{Reset: u.reset, Position: u.pos}}
		u.session.hub.meter.Reset(u.reset)
		u.reset = ""
		return e, budget - messageOverhead
	}
	m := u.buf[0]
	u.buf[0] = nil
	u.buf = u.buf[1:]
	if !m.Ephemeral {
		u.pos = m.Position()
	}
	e := Event{Kind: EventMessage, Channel: name, Message: m}
	if m.Exclude == u.session.id {
		e.Kind = EventSkip
	}
	return e, budget - m.Size()
}

// refill reports whether u has something to emit, after taking more from the tail or the log if it had not.
func (s *Session) refill(u *subscription) bool {
	most := max(1, runMessages/(1+len(s.active)))
	for !u.gone && u.reset == "" && len(u.buf) == 0 {
		if !u.fill(most) {
			return len(u.buf) > 0
		}
		if err := s.readLog(u, most); err != nil {
			s.fail(u, err)
		}
	}
	return !u.gone
}

// readLog reads the next page for a cursor that is behind, without the lock.
func (s *Session) readLog(u *subscription, most int) error {
	rule := u.live.rule.Load()
	after := u.read
	q := Query{After: &after, Limit: most, Bytes: max(minPageBytes, heldBytes/(1+len(s.active))), Keep: rule.Keep}
	if rule.Deliver == DeliverLatest {
		q = Query{Last: 1, Limit: 1, Keep: rule.Keep}
	}
	s.mu.Unlock()
	page, err := s.hub.log.Read(s.ctx, u.live.channel, q)
	s.mu.Lock()
	if err != nil || u.gone {
		return err
	}
	u.accept(page)
	return nil
}

// fail ends a subscription whose log cannot be read.
func (s *Session) fail(u *subscription, err error) {
	if u.gone {
		return
	}
	shown, ok := Show(err)
	if !ok && !errors.Is(err, context.Canceled) {
		s.hub.logger.Error("read log", "channel", u.live.channel.String(), "error", err)
	}
	s.drop(u)
	s.note(Event{Kind: EventUnsubscribed, Channel: u.live.channel.Name, Detail: &Detail{Err: shown}})
}

// pullPresence emits what has changed among the members of channels whose presence is followed.
func (s *Session) pullPresence(dst []Event, budget int) ([]Event, int) {
	taken := 0
	for ; taken < len(s.due) && budget > 0; taken++ {
		u := s.due[taken]
		s.due[taken] = nil
		u.due = false
		if seen := u.live.presence.Load(); !u.gone && (!u.checked || seen != u.seen) {
			u.checked, u.seen = true, seen
			before := len(dst)
			dst = u.appendPresence(dst, s.hub.presence)
			budget -= messageOverhead * (len(dst) - before)
		}
	}
	if s.due = s.due[taken:]; len(s.due) == 0 {
		s.due = nil
	}
	return dst, budget
}

func (u *subscription) appendPresence(dst []Event, p Presence) []Event {
	ch := u.live.channel
	if u.known {
		if changes, ok := p.Changes(ch, u.version); ok {
			for _, c := range changes {
				dst = append(dst, Event{Kind: EventChange, Channel: ch.Name, Detail: &Detail{Change: c}})
				u.version = c.Version
			}
			return dst
		}
	}
	members, version := p.Members(ch)
	u.known, u.version = true, version
	return append(dst, Event{Kind: EventMembers, Channel: ch.Name, Detail: &Detail{Members: members, Version: version}})
}

// byOffset is a heap of subscriptions by what they emit next: resets and ephemeral messages first, then the lowest offset.
type byOffset []*subscription

func (q byOffset) Len() int           { return len(q) }
func (q byOffset) Less(i, j int) bool { return q[i].nextOffset() < q[j].nextOffset() }
func (q byOffset) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *byOffset) Push(u any)        { *q = append(*q, u.(*subscription)) }

func (q *byOffset) Pop() any {
	last := len(*q) - 1
	u := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return u
}

func (u *subscription) nextOffset() uint64 {
	if u.reset != "" || len(u.buf) == 0 {
		return 0
	}
	return u.buf[0].Offset
}
