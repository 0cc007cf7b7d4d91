package hub

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Bounds of what one session holds of messages that it has read from the log and not sent yet.
const (
	runMessages  = 256
	heldBytes    = 256 << 10 // over all subscriptions that are behind
	minPageBytes = 4 << 10
)

// subscription is a cursor of a session on a channel.
type subscription struct {
	session  *Session
	live     *live
	presence bool
	began    instant
	slot     int32 // in its group of live; guarded by live.subsMu

	marked atomic.Bool   // is in session.ready
	after  *subscription // the next there; whoever has taken marked off owns it

	// The rest is guarded by session.mu.
	place  int32 // in session.subs
	gone   bool
	active bool     // is in session.active
	behind bool     // index means nothing: read on from the log at read
	pos    Position // of the last message sent
	read   Position // of the last message in buf, or pos
	reset  Reset    // to be told before buf; then pos is where reading goes on
	buf    []*Message
	gen    uint64 // of the tail, for index
	index  uint64 // the tail's entry to take next
	first  uint64 // the tail's first entry that has come since u began; of those before it ephemeral ones are not for u

	verified bool   // the log has honoured read, or the tail has given it
	due      bool   // is in session.due
	known    bool   // the client has the members as of version
	checked  bool   // seen means something
	seen     uint64 // changes of live.presence handled
	version  uint64 // of the members as sent
}

// From says where a subscription begins. At most one of After, Last and Since is set; none: at the tail.
type From struct {
	After *Position
	Last  int
	Since time.Time
	// Version is that of the members which the client has already, if it follows presence: it gets the changes after it instead of a snapshot.
	Version uint64
}

// Subscribe begins to follow a channel (action subscribe, and presence if asked for). made builds the answer, given where the
// subscription begins and what the rule delivers; it comes before the channel's first message. An existing subscription is replaced. n is as for Answer.
func (s *Session) Subscribe(name string, from From, presence bool, n int, made func(Position, Deliver) (answer any, size int)) error {
	grant := s.Grant()
	ch, rule, err := s.admit(grant, name, presence)
	if err != nil {
		return err
	}
	if from.After != nil && from.After.Offset > MaxOffset {
		return Errorf(CodeBadRequest, "offset %d: an offset is at most %d", from.After.Offset, uint64(MaxOffset))
	}
	u := &subscription{session: s, live: s.hub.registry.acquire(ch, rule), presence: presence, began: s.hub.now(), known: from.Version > 0, version: from.Version}
	if err = s.place(u, from); err == nil {
		err = s.add(u, grant, n, made)
	}
	if err != nil {
		s.hub.registry.release(u.live)
	}
	return err
}

// place sets where u begins.
func (s *Session) place(u *subscription, from From) error {
	l := u.live
	if err := l.start(s, s.hub.log); err != nil {
		return err
	}
	u.behind = true
	l.mu.RLock()
	u.gen, u.first = l.tail.gen, l.tail.next
	l.mu.RUnlock()
	switch {
	case from.After != nil:
		u.read = *from.After
	case from.Last > 0 || !from.Since.IsZero():
		page, err := s.hub.log.Read(s.Context(), l.channel, Query{Last: from.Last, Since: from.Since, Limit: 1, Keep: l.rule.Load().Keep})
		if err != nil {
			return err
		}
		u.read = page.Start
	default:
		l.mu.RLock()
		u.behind, u.verified, u.gen, u.index, u.read = false, true, l.tail.gen, l.tail.next, l.tail.head
		l.mu.RUnlock()
	}
	u.pos = u.read
	return nil
}

// add makes u the session's subscription of its channel, which a grant has allowed.
func (s *Session) add(u *subscription, by *Grant, n int, made func(Position, Deliver) (any, int)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := u.live.channel.Name
	old := s.subs.get(name)
	switch {
	case s.closed:
		return Errorf(CodeUnavailable, "the session has ended")
	case old == nil && len(s.subs.list) >= s.maxSubscriptions():
		return Errorf(CodeLimit, "this session has %d subscriptions; the limit is %d", len(s.subs.list), s.maxSubscriptions())
	}
	if s.grant != by { // it has been replaced since it was asked
		if err := s.allowed(u); err != nil {
			return err
		}
	}
	if old != nil {
		s.drop(old)
	}
	s.subs.add(u)
	answer, size := made(u.pos, u.live.rule.Load().Deliver)
	s.bytes += int32(size - n)
	s.note(Event{Kind: EventAnswer, Channel: name, Detail: &Detail{Answer: answer, size: size}})
	u.live.join(u)
	u.mark()
	s.Wake()
	return nil
}

func (s *Session) maxSubscriptions() int {
	limit := s.hub.Limits().Subscriptions
	if own := int(s.most); own > 0 {
		limit = min(limit, own)
	}
	return limit
}

// Unsubscribe ends a subscription. Nothing of the channel follows its answer. n is as for Answer.
func (s *Session) Unsubscribe(name string, n int, answer any, size int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.subs.get(name)
	if u == nil {
		return Errorf(CodeNotSubscribed, "this session is not subscribed to %q", clip(name))
	}
	s.drop(u)
	s.bytes += int32(size - n)
	s.note(Event{Kind: EventAnswer, Channel: name, Detail: &Detail{Answer: answer, size: size}})
	return nil
}

// drop forgets a subscription. Called with mu held.
func (s *Session) drop(u *subscription) {
	u.gone = true
	u.buf = nil
	u.live.leave(u)
	s.hub.registry.release(u.live)
	s.subs.remove(u)
}

// Cursors returns the cursor of each subscription: behind the last message, and the last of its members, that Pull has returned.
func (s *Session) Cursors() Cursors {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(Cursors, 0, len(s.subs.list))
	for _, u := range s.subs.list {
		all = append(all, ChannelCursor{u.live.channel.Name, u.cursor()})
	}
	slices.SortFunc(all, func(a, b ChannelCursor) int { return strings.Compare(a.Channel, b.Channel) })
	return all
}

func (u *subscription) cursor() Cursor {
	return Cursor{Position: u.pos, Presence: u.presence, Version: u.version}
}

// mark puts u among its session's ready ones, and reports whether it was not there. The caller wakes the session.
func (u *subscription) mark() bool {
	if u.marked.Swap(true) {
		return false
	}
	ready := &u.session.ready
	for {
		u.after = ready.Load()
		if ready.CompareAndSwap(u.after, u) {
			return true
		}
	}
}

// fill takes the next run of messages from the tail. It reports whether the log has to be read first. Called with session.mu held.
func (u *subscription) fill(most int) (behind bool) {
	l := u.live
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := &l.tail
	if u.gen != t.gen {
		u.behind, u.verified, u.gen, u.first = true, false, t.gen, 0
	}
	if u.behind || u.index < t.first {
		n, ok := t.seek(u.read, u.verified)
		if u.behind = !ok; u.behind {
			return true
		}
		u.index = n
	}
	if l.rule.Load().Deliver == DeliverLatest {
		if m := t.newest(u.index); m != nil && !u.has(m) {
			u.take(m)
		}
		u.index = t.next
		return false
	}
	for ; u.index < t.next && len(u.buf) < most; u.index++ {
		if m := t.at(u.index); !u.has(m) && (!m.Ephemeral || u.index >= u.first) {
			u.take(m)
		}
	}
	return false
}

// has reports whether the cursor is behind m already: the log may show a message before the tail gets it.
func (u *subscription) has(m *Message) bool {
	return !m.Ephemeral && m.Epoch == u.read.Epoch && m.Offset <= u.read.Offset
}

func (u *subscription) take(m *Message) {
	u.buf = append(u.buf, m)
	if !m.Ephemeral {
		u.read = m.Position()
	}
}

// accept takes a page that was read from the log at u.read.
func (u *subscription) accept(p Page) {
	u.live.know(p.Head)
	u.verified = true
	if p.Reset != "" {
		u.reset, u.pos = p.Reset, p.Start
	}
	if u.live.rule.Load().Deliver != DeliverLatest {
		u.read = p.Start
	}
	for _, m := range p.Messages {
		if !u.has(m) {
			u.take(m)
		}
	}
	// A cursor behind which the log keeps nothing is as good as the head.
	if len(u.buf) == 0 {
		u.read = p.Head
	}
}

// subscriptions are those of a session. Most have a few, for which a map would cost more than all else.
type subscriptions struct {
	list   []*subscription
	byName map[string]*subscription // nil while they are few
}

// few is up to how many subscriptions are looked for one by one.
const few = 8

func (s *subscriptions) get(name string) *subscription {
	if s.byName != nil {
		return s.byName[name]
	}
	for _, u := range s.list {
		if u.live.channel.Name == name {
			return u
		}
	}
	return nil
}

func (s *subscriptions) add(u *subscription) {
	u.place = int32(len(s.list))
	s.list = append(s.list, u)
	switch {
	case s.byName != nil:
		s.byName[u.live.channel.Name] = u
	case len(s.list) > few:
		s.byName = make(map[string]*subscription, 2*few)
		for _, u := range s.list {
			s.byName[u.live.channel.Name] = u
		}
	}
}

// remove does nothing if u is not there any more.
func (s *subscriptions) remove(u *subscription) {
	if int(u.place) >= len(s.list) || s.list[u.place] != u {
		return
	}
	last := len(s.list) - 1
	s.list[u.place] = s.list[last]
	s.list[u.place].place = u.place
	s.list[last] = nil
	s.list = s.list[:last]
	if s.byName != nil {
		delete(s.byName, u.live.channel.Name)
	}
}
