package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/snoserver/sno/internal/hub"
)

// Event is what a subscription's handler gets: *Message, *Joined, *Reset, *Skip, *Presence, *Fault or *Ended.
type Event interface{ event() }

// Joined says that the server has (again) begun the subscription. Position is where this client reads on.
type Joined struct {
	Position hub.Position
	// Latest says that the channel's rule conflates: a reader that is behind gets only the newest message.
	Latest bool
}

// Reset says that messages may be missing before Position, where reading goes on.
type Reset struct {
	Reason   hub.Reset
	Position hub.Position
}

// Skip stands in place of a message that this client published with NoEcho.
type Skip struct {
	Position hub.Position
	Prev     uint64
}

// Presence is a snapshot or a change of who is in the channel.
type Presence struct {
	Action  string // snapshot, enter, update, leave
	Version uint64
	Members []Member // snapshot
	Member  Member   // otherwise
}

// Fault says that the server broke the order: messages are missing without a reset before Message (a *Message event for it follows), or
// Message was delivered before (Repeated; no other event follows). It must never happen.
type Fault struct {
	Text     string
	Repeated bool
	Message  *Message
}

// Ended is the last event: the server has ended the subscription, or the client has ended.
type Ended struct{ Err error }

func (*Message) event()  {}
func (*Joined) event()   {}
func (*Reset) event()    {}
func (*Skip) event()     {}
func (*Presence) event() {}
func (*Fault) event()    {}
func (*Ended) event()    {}

// SubscribeOptions say where to begin; at most one of After, Last and Since. With none: at the tail.
type SubscribeOptions struct {
	After *hub.Position // after this position
	Last  int           // with the newest so many messages
	Since string        // with the messages since a time: milliseconds, RFC 3339, or a duration back such as "10m"
	// Presence also follows who is in the channel.
	Presence bool
}

// Subscription is a cursor that follows a channel. Its fields are guarded by Client.mu.
type Subscription struct {
	client  *Client
	channel string
	o       SubscribeOptions
	handle  func(Event)
	ready   chan error // the outcome of the first subscribe
	joined  bool
	latest  bool
	placed  bool // position is known
	at      hub.Position
}

// Subscribe follows a channel until Unsubscribe, Close, or an *Ended. Events come one after the other, in order, on the client's reading goroutine, the
// first ones maybe before Subscribe returns. The error is a *hub.Error when the server refused. A client has one subscription per channel.
func (c *Client) Subscribe(ctx context.Context, channel string, o SubscribeOptions, handle func(Event)) (*Subscription, error) {
	s := &Subscription{client: c, channel: channel, o: o, handle: handle, ready: make(chan error, 1)}
	if o.After != nil {
		s.at, s.placed = *o.After, true
	}
	if err := c.addSubscription(s); err != nil {
		return nil, err
	}
	select {
	case err := <-s.ready:
		if err != nil {
			return nil, err
		}
		return s, nil
	case <-ctx.Done():
		c.removeSubscription(s)
		return nil, ctx.Err()
	}
}

func (c *Client) addSubscription(s *Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return c.closedError()
	}
	if c.subs[s.channel] != nil {
		return fmt.Errorf("subscribe %q: this client has already subscribed to it", s.channel)
	}
	c.subs[s.channel] = s
	if c.conn != nil { // otherwise the next connection begins with it
		c.urgent = append(c.urgent, c.subscribeFrame(s))
		c.wakeWriter()
	}
	return nil
}

// removeSubscription forgets a subscription and tells the server, which need not be heard: frames that still come are ignored.
func (c *Client) removeSubscription(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[s.channel] != s {
		return
	}
	delete(c.subs, s.channel)
	if c.conn != nil {
		r := request{Type: "unsubscribe", Channel: s.channel}
		c.urgent = append(c.urgent, r.encode(nil))
		c.wakeWriter()
	}
}

// subscribeFrame encodes the subscribe of s from where it stands. Client.mu is held.
func (c *Client) subscribeFrame(s *Subscription) []byte {
	c.lastRef++
	r := request{Type: "subscribe", Ref: c.lastRef, Channel: s.channel, Presence: s.o.Presence}
	if s.placed {
		r.position = wirePosition(&s.at)
	} else {
		r.Last, r.Since = s.o.Last, s.o.Since
	}
	c.subscribing[r.Ref] = s
	return r.encode(nil)
}

// Unsubscribe ends the subscription. After it returns no event comes.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	c := s.client
	c.mu.Lock()
	if c.subs[s.channel] == s {
		delete(c.subs, s.channel)
	}
	c.mu.Unlock()
	_, err := c.call(ctx, request{Type: "unsubscribe", Channel: s.channel}, nil)
	if e, ok := errors.AsType[*hub.Error](err); ok && e.Code == hub.CodeNotSubscribed {
		return nil // the connection was lost meanwhile, and the new one never had it
	}
	return err
}

// Position returns the position of what was handed to the handler last.
func (s *Subscription) Position() hub.Position {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.at
}

// end is called by the reading goroutine, once.
func (s *Subscription) end(err error) {
	if !s.joined { // nobody knows the subscription yet: Subscribe returns the error
		s.ready <- err
		return
	}
	s.handle(&Ended{err})
}

func (c *Client) subscribed(f *frame) {
	c.mu.Lock()
	s := c.subscribing[f.Ref]
	delete(c.subscribing, f.Ref)
	if s == nil || c.subs[s.channel] != s {
		c.mu.Unlock()
		return
	}
	// Only the first subscribed places the cursor. When we have resumed, our own position counts: were the server's another, the
	// next message would not follow it, and that must be seen.
	if !s.placed {
		s.at, s.placed = f.position(), true
	}
	s.latest = f.Deliver == "latest"
	first := !s.joined
	s.joined = true
	e := &Joined{s.at, s.latest}
	c.mu.Unlock()
	s.handle(e)
	if first {
		s.ready <- nil
	}
}

// subscribeFailed handles the refusal of a subscribe, and says whether it was one.
func (c *Client) subscribeFailed(f *frame) bool {
	c.mu.Lock()
	s := c.subscribing[f.Ref]
	delete(c.subscribing, f.Ref)
	known := s != nil && c.subs[s.channel] == s
	if known {
		delete(c.subs, s.channel)
	}
	c.mu.Unlock()
	if known {
		s.end(f.err())
	}
	return s != nil
}

// follow handles a frame of a subscription.
func (c *Client) follow(f *frame) {
	c.mu.Lock()
	s := c.subs[f.Channel]
	if s == nil {
		c.mu.Unlock()
		return
	}
	events := s.take(f)
	if f.Type == "unsubscribed" {
		delete(c.subs, f.Channel)
	}
	c.mu.Unlock()
	for _, e := range events {
		s.handle(e)
	}
}

// take moves the cursor by a frame and returns the events that it means.
func (s *Subscription) take(f *frame) []Event {
	switch f.Type {
	case "message":
		return s.takeMessage(f)
	case "skip":
		fault := s.place(f.position(), f.Prev)
		return withFault(fault, &Skip{f.position(), f.Prev})
	case "reset":
		s.at, s.placed = f.position(), true
		return []Event{&Reset{hub.Reset(f.Reason), s.at}}
	case "presence":
		e := &Presence{Action: f.Action, Version: f.Version, Members: f.Members}
		if f.Member != nil {
			e.Member = *f.Member
		}
		return []Event{e}
	default: // unsubscribed
		return []Event{&Ended{f.err()}}
	}
}

func (s *Subscription) takeMessage(f *frame) []Event {
	m, err := f.message()
	if err != nil {
		return []Event{&Fault{Text: err.Error()}}
	}
	if m.Ephemeral {
		return []Event{m}
	}
	fault := s.place(m.Position, m.Prev)
	if fault != nil {
		fault.Message = m
	} else {
		m.Position.Epoch = s.at.Epoch // one string for all messages, so that the frame's is not kept
	}
	return withFault(fault, m)
}

func withFault(fault *Fault, e Event) []Event {
	switch {
	case fault == nil:
		return []Event{e}
	case fault.Repeated:
		return []Event{fault}
	default:
		return []Event{fault, e}
	}
}

// place moves the cursor to p if p follows it, and says what is wrong if not.
func (s *Subscription) place(p hub.Position, prev uint64) *Fault {
	var fault *Fault
	switch {
	case !s.placed:
	case p.Epoch != s.at.Epoch:
		fault = s.fault("%s after %s: another epoch without a reset", p, s.at)
	case p.Offset <= s.at.Offset:
		fault = s.fault("%s after %s: delivered before", p, s.at)
		fault.Repeated = true
		return fault
	case prev > s.at.Offset && !s.latest:
		fault = s.fault("%s has prev %d, but the last one was %s: messages are missing", p, prev, s.at)
	case p.Epoch == s.at.Epoch:
		p.Epoch = s.at.Epoch
	}
	s.at, s.placed = p, true
	return fault
}

func (s *Subscription) fault(format string, args ...any) *Fault {
	return &Fault{Text: fmt.Sprintf("channel %q: "+format, append([]any{s.channel}, args...)...)}
}
