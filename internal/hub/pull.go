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
// that there is more at once; otherwise the session's transport is woken when there is. It reads the log for cursors that are behind, so it may wait for the disk.
func (s *Session) Pull(dst []Event, budget int) (events []Event, more bool) {
	events, more, _ = s.pull(dst, budget, true)
	return events, more
}

// PullNow is Pull that waits for nothing. wait says that the log has to be read: call Pull.
func (s *Session) PullNow(dst []Event, budget int) (events []Event, more, wait bool) {
	return s.pull(dst, budget, false)
}

func (s *Session) pull(dst []Event, budget int, wait bool) (events []Event, more, waits bool) {
	s.woken.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := pull{s: s, budget: budget, wait: wait, events: dst}
	p.notices()
	if p.budget <= 0 {
		return p.events, true, false
	}
	if s.leaving != nil {
		// What is there already goes before the end, for once: who is sent away in order has not missed it.
		defer func() {
			if !waits {
				events, more = append(events, *s.leaving), false
			}
		}()
	}
	// The watermark is read before the marks are taken: whatever is up to it has been marked.
	p.hold = s.lane.watermark.Load()
	p.gather()
	p.presence()
	if !p.waits {
		more = p.merge()
	}
	p.tally.tell(s.hub)
	return p.events, more || p.waits || len(s.due) > 0 || len(s.notices) > 0, p.waits
}

// pull is one Pull.
type pull struct {
	s      *Session
	budget int
	wait   bool // it may
	hold   uint64
	events []Event
	waits  bool // it would have to
	tally  tally
}

func (p *pull) notices() {
	s, taken := p.s, 0
	for ; taken < len(s.notices) && p.budget > 0; taken++ {
		e := s.notices[taken]
		s.notices[taken] = Event{}
		p.budget -= messageOverhead
		if e.Kind == EventAnswer {
			s.release(e.Detail.size)
			p.budget -= e.Detail.size
		}
		if e.Kind == EventEnd && e.Detail.Err.Code == CodeGoaway && !s.closed {
			s.leaving = &e
			continue
		}
		p.events = append(p.events, e)
	}
	if s.notices = s.notices[taken:]; len(s.notices) == 0 {
		s.notices = nil
	}
}

// gather makes the ready subscriptions active. The mark is taken off before the tail is looked at: what comes after that marks again.
func (p *pull) gather() {
	s := p.s
	for u := s.ready.Swap(nil); u != nil; {
		next := u.after
		u.after = nil
		u.marked.Store(false)
		if u.presence && !u.due && !u.gone {
			u.due = true
			s.due = append(s.due, u)
		}
		if !u.active && p.refill(u) {
			u.active = true
			heap.Push(&s.active, u)
		}
		u = next
	}
}

// merge emits the messages of the active subscriptions, lowest offset first, up to hold. Each active one has something to emit, so that the lowest is known.
func (p *pull) merge() (more bool) {
	s := p.s
	for len(s.active) > 0 {
		u := s.active[0]
		if !u.gone {
			if p.budget <= 0 {
				return true
			}
			if u.nextOffset() > p.hold {
				s.lane.await(s, p.hold)
				return false
			}
			e := u.emit()
			p.events = append(p.events, e)
			p.budget -= messageOverhead
			if e.Message != nil {
				p.budget -= e.Message.Size() - messageOverhead
			}
			if e.Kind == EventMessage {
				p.tally.add(e.Message, u.began)
			}
		}
		if p.refill(u) {
			heap.Fix(&s.active, 0)
		} else {
			u.active = false
			heap.Pop(&s.active)
		}
		if p.waits {
			return true
		}
	}
	return false
}

// emit takes what u has next: a reset or a message.
func (u *subscription) emit() Event {
	name := u.live.channel.Name
	if u.reset != "" {
		e := Event{Kind: EventReset, Channel: name, Detail: &Detail{Reset: u.reset, Position: u.pos}}
		u.session.hub.meter.Reset(u.reset)
		u.reset = ""
		return e
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
	return e
}

// refill reports whether u has something to emit, after taking more from the tail or the log if it had not. One that needs the log and may not wait stays marked.
func (p *pull) refill(u *subscription) bool {
	s := p.s
	most := max(1, runMessages/(1+len(s.active)))
	for !u.gone && u.reset == "" && len(u.buf) == 0 {
		if !u.fill(most) {
			return len(u.buf) > 0
		}
		if !p.wait {
			p.waits = true
			u.mark()
			return false
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
	ctx := s.context()
	s.mu.Unlock()
	page, err := s.hub.log.Read(ctx, u.live.channel, q)
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

// presence emits what has changed among the members of channels whose presence is followed.
func (p *pull) presence() {
	s, taken := p.s, 0
	for ; taken < len(s.due) && p.budget > 0; taken++ {
		u := s.due[taken]
		s.due[taken] = nil
		u.due = false
		if seen := u.live.presence.Load(); !u.gone && (!u.checked || seen != u.seen) {
			u.checked, u.seen = true, seen
			before := len(p.events)
			p.events = u.appendPresence(p.events, s.hub.presence)
			p.budget -= messageOverhead * (len(p.events) - before)
		}
	}
	if s.due = s.due[taken:]; len(s.due) == 0 {
		s.due = nil
	}
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
