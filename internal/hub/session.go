package hub

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what a session can have under way.
const (
	maxOutstanding      = 256
	maxOutstandingBytes = 1 << 20
)

// Session is one connected client, whatever its transport: its cursors, its grant, its members. Requests (Subscribe, …) come from one goroutine at a
// time; Pull is called by one goroutine at a time, which may be another.
type Session struct {
	id        string
	hub       *Hub
	lane      *lane
	key       string
	transport string
	address   string
	started   int64 // Unix milliseconds
	// waker tells the transport that Pull has something. It may be called from anywhere, also under s.mu. If the lane is a transport's, it is a Drainer.
	waker Waker
	ready atomic.Pointer[subscription] // marked since the last Pull; linked by after
	woken atomic.Bool                  // until the next Pull

	most    int32 // SessionOptions.Subscriptions
	expiry  int32 // its place in hub.expiries, from 1; 0: its grant does not end. Guarded by their lock
	called  bool  // is in lane.sessions; the lane's goroutine's own
	closed  bool  // with the rest guarded by mu
	mu      sync.Mutex
	ctx     *sessionContext // nil: nobody has asked for it
	grant   *Grant
	subs    subscriptions
	members map[memberKey]struct{}
	notices []Event // answers and notices, before messages
	// outstanding requests are reserved and not yet answered to the socket; with answers they have so many bytes.
	outstanding, bytes int32
	room               chan struct{} // nil: nobody has waited for it
	leaving            *Event        // the end, when it is next
	why                *Error        // the first that End was given

	// Pull's, under mu: subscriptions with something to emit, and those whose members are to be looked at.
	active byOffset
	due    []*subscription
}

// Waker is the transport of a session.
type Waker interface {
	// Wake tells that Pull may have something. It must not block and may be called from anywhere.
	Wake()
}

// WakeFunc is a Waker.
type WakeFunc func()

// Wake implements Waker.
func (f WakeFunc) Wake() { f() }

// Drainer is a Waker of a session that has a lane.
type Drainer interface {
	// Drain takes what there is, now. It is called by the lane's goroutine only.
	Drain()
}

// sessionContext ends with the session.
type sessionContext struct {
	context.Context
	cancel context.CancelFunc
}

type memberKey struct {
	channel Channel
	id      string
}

// SessionOptions tell about a session's connection. The zero value is a session of no transport in particular.
type SessionOptions struct {
	// Key is the secret from which the session's id follows, together with the grant's app and client: only who knows it can have a session
	// of that id again. Default: a new one.
	Key string
	// Transport is what the client is connected by, a word of the server's: "websocket", "stream", "sse", "poll".
	Transport string
	// Address is the client's, without the port.
	Address string
	// Lane drains the session, whose Waker then has to be a Drainer. Default: none, it is only woken.
	Lane Lane
	// Subscriptions bounds them where the transport can carry fewer than Limits.Subscriptions; 0: it can carry all.
	Subscriptions int
}

// sessionID is the id of a session with this key: as hard to guess as the key, and no help in finding it.
func sessionID(g *Grant, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", g.App, g.Client, key))
	return strings.Clone(base32.StdEncoding.EncodeToString(sum[:])[:26]) // the rest need not be kept
}

// NewSession starts a session. A session of the same key that is still there is replaced: it ends, and its members stay members.
func (h *Hub) NewSession(g *Grant, o SessionOptions, transport Waker) *Session {
	if o.Key == "" {
		o.Key = rand.Text()
	}
	s := &Session{
		id: sessionID(g, o.Key), hub: h, lane: h.lane(o.Lane), key: o.Key, transport: o.Transport, address: o.Address, most: int32(min(o.Subscriptions, math.MaxInt32)),
		started: time.Now().UnixMilli(), waker: transport, grant: g.forSession(nil),
	}
	s.mu.Lock()
	s.watchExpiry()
	s.mu.Unlock()
	h.mu.Lock()
	old := h.sessions[s.id]
	h.sessions[s.id] = s
	refusal := h.refusal
	h.mu.Unlock()
	if old != nil {
		old.End(Errorf(CodeReplaced, "another connection goes on with this session"))
	}
	s.tellBegin()
	if refusal != nil {
		s.End(refusal)
	} else if err := h.revoked(g); err != nil { // asked when the session can be found, so that a revocation meets it before or after
		s.End(err)
	}
	return s
}

// ID is the session's id: unguessable, and public: it names the session in Publication.Exclude.
func (s *Session) ID() string { return s.id }

// Key is the secret behind the id: who has it can go on with the session by another connection.
func (s *Session) Key() string { return s.key }

// Transport is what the client is connected by.
func (s *Session) Transport() string { return s.transport }

// Address is the client's, without the port.
func (s *Session) Address() string { return s.address }

// Started is when the session began.
func (s *Session) Started() time.Time { return time.UnixMilli(s.started) }

// Grant returns what the session may do just now.
func (s *Session) Grant() *Grant {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grant
}

// Context ends with the session.
func (s *Session) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.context()
}

// context is Context with mu held. Most sessions never need one, and it costs as much as all else of an idle session.
func (s *Session) context() context.Context {
	if s.ctx == nil {
		ctx, cancel := context.WithCancel(context.Background())
		s.ctx = &sessionContext{ctx, cancel}
		if s.closed {
			cancel()
		}
	}
	return s.ctx
}

// Wake tells the transport to Pull, once until it does.
func (s *Session) Wake() {
	if !s.woken.Swap(true) {
		s.waker.Wake()
	}
}

// SetGrant replaces the grant. Subscriptions and members that the new one does not allow end.
func (s *Session) SetGrant(g *Grant) error {
	s.mu.Lock()
	if g.App != s.grant.App || g.Client != s.grant.Client {
		s.mu.Unlock()
		return Errorf(CodeUnauthorized, "the new token is for another app or client id; connect anew with it")
	}
	old := s.grant
	s.grant = g.forSession(old)
	s.watchExpiry()
	for _, u := range slices.Clone(s.subs.list) {
		if err := s.allowed(u); err != nil {
			s.drop(u)
			s.note(Event{Kind: EventUnsubscribed, Channel: u.live.channel.Name, Detail: &Detail{Err: err}})
		}
	}
	for m := range s.members {
		s.remain(m, old)
	}
	s.mu.Unlock()
	if err := s.hub.revoked(g); err != nil { // asked when the session has the grant, so that a revocation meets it before or after
		s.End(err)
		return err
	}
	return nil
}

// remain keeps a member as the new grant says: it leaves if it is not allowed any more, and has the data that the new grant vouches for. Called with mu held.
func (s *Session) remain(m memberKey, old *Grant) {
	if s.grant.Authorise(ActionPresence, m.channel.Name, s.hub.rule(m.channel)) != nil {
		delete(s.members, m)
		s.hub.presence.Leave(m.channel, s.id, m.id)
		return
	}
	if data := s.grant.Member; data != nil && !bytes.Equal(data, old.Member) {
		if err := s.hub.presence.Enter(m.channel, s.id, Member{ID: m.id, Data: data}); err != nil {
			s.hub.logger.Warn("a member keeps the data of an older token", "channel", m.channel.String(), "error", err)
		}
	}
}

func (s *Session) allowed(u *subscription) *Error {
	_, _, err := s.hub.subscribable(s.grant, u.live.channel.Name, u.presence)
	if err == nil {
		return nil
	}
	shown, _ := Show(err)
	return shown
}

// watchExpiry ends the session when its grant does. Called with mu held.
func (s *Session) watchExpiry() {
	var at time.Time
	if !s.closed {
		at = s.grant.ends()
	}
	s.hub.expiries.watch(s, at)
}

// expire ends the session, unless it has got another grant just now.
func (s *Session) expire() {
	g := s.Grant()
	if at := g.ends(); !at.IsZero() && !at.After(time.Now()) {
		s.End(Errorf(CodeTokenExpired, "the token expired at %s; connect with a fresh one", g.Expires.UTC().Format(time.RFC3339)))
	}
}

// Reserve takes a place for the answer to a request of n bytes, waiting while too many answers have not been taken by the
// client yet: who does not read is not read from. It fails when the session has ended. Each place is given back by one Answer or Release.
func (s *Session) Reserve(n int) error {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return Errorf(CodeUnavailable, "the session has ended")
		}
		if s.outstanding == 0 || s.outstanding < maxOutstanding && s.bytes < maxOutstandingBytes {
			s.outstanding++
			s.bytes += int32(n)
			s.mu.Unlock()
			return nil
		}
		if s.room == nil {
			s.room = make(chan struct{}, 1)
		}
		room, over := s.room, s.context().Done()
		s.mu.Unlock()
		select {
		case <-room:
		case <-over:
		}
	}
}

// Answer queues the answer to a request for which n bytes were reserved. The protocol knows what answer is; size is about what it
// costs in memory until it is sent.
func (s *Session) Answer(n int, answer any, size int) {
	s.mu.Lock()
	s.bytes += int32(size - n)
	s.note(Event{Kind: EventAnswer, Detail: &Detail{Answer: answer, size: size}})
	s.mu.Unlock()
}

// Waiting reports whether a request has not been answered to the socket yet.
func (s *Session) Waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outstanding > 0
}

// Release gives back a place without an answer.
func (s *Session) Release(n int) {
	s.mu.Lock()
	s.release(n)
	s.mu.Unlock()
}

func (s *Session) release(n int) {
	s.outstanding--
	s.bytes -= int32(n)
	select {
	case s.room <- struct{}{}: // never while it is nil
	default:
	}
}

// note queues a notice. Called with mu held. Notices that no request of the client has reserved a place for are bounded by its subscriptions.
func (s *Session) note(e Event) {
	if s.closed {
		return
	}
	s.notices = append(s.notices, e)
	s.Wake()
}

// End asks the transport to say err to the client and to close the connection.
func (s *Session) End(err *Error) {
	s.mu.Lock()
	if s.why == nil {
		s.why = err
	}
	s.note(Event{Kind: EventEnd, Detail: &Detail{Err: err}})
	s.mu.Unlock()
}

// Goaway asks the client to connect again after a delay, and to go on until then.
func (s *Session) Goaway(delay time.Duration, err *Error) {
	s.mu.Lock()
	s.note(Event{Kind: EventGoaway, Detail: &Detail{Err: err, Delay: delay}})
	s.mu.Unlock()
}

// Enter makes the session stand for a member of a channel (action presence), or changes the member's data. member is the grant's
// client id, or empty for that; others only for backends and anonymous clients. data is one JSON value or nil; a client whose grant has Member gives none.
func (s *Session) Enter(name, member string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, key, err := s.member(name, member)
	if err != nil {
		return err
	}
	if own := s.grant.Member; own != nil {
		if data != nil && !bytes.Equal(data, own) {
			return Errorf(CodeForbidden, "the data of member %q comes from the client's token and cannot be changed by the client; enter without data", clip(key.id))
		}
		data = own
	}
	limits := s.hub.Limits()
	if len(data) > limits.MemberBytes {
		return Errorf(CodeLimit, "a member's data has %d bytes; the limit is %d", len(data), limits.MemberBytes)
	}
	if _, there := s.members[key]; !there && len(s.members) >= limits.Members {
		return Errorf(CodeLimit, "this session is a member of %d channels; the limit is %d", len(s.members), limits.Members)
	}
	if s.closed {
		return Errorf(CodeUnavailable, "the session has ended")
	}
	if err := s.hub.presence.Enter(ch, s.id, Member{ID: key.id, Data: data}); err != nil {
		return err
	}
	if s.members == nil {
		s.members = map[memberKey]struct{}{}
	}
	s.members[key] = struct{}{}
	return nil
}

// Leave ends what Enter began.
func (s *Session) Leave(name, member string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, key, err := s.member(name, member)
	if err != nil {
		return err
	}
	delete(s.members, key)
	s.hub.presence.Leave(ch, s.id, key.id)
	return nil
}

func (s *Session) member(name, member string) (Channel, memberKey, error) {
	ch, _, err := s.hub.authorise(s.grant, ActionPresence, name)
	if err != nil {
		return ch, memberKey{}, err
	}
	switch own := s.grant.Client; {
	case member == "" && own == "":
		return ch, memberKey{}, Errorf(CodeBadRequest, "member is missing: this credential has no client id, so name the member")
	case member == "":
		member = own
	case member != own && own != "" && !s.grant.Server:
		return ch, memberKey{}, Errorf(CodeForbidden, "member %q: a client can only be the member of its own client id %q", clip(member), clip(own))
	case len(member) > MaxIDBytes:
		return ch, memberKey{}, Errorf(CodeLimit, "a member id has %d bytes; the limit is %d", len(member), MaxIDBytes)
	}
	return ch, memberKey{ch, member}, nil
}

// Close ends the session: its cursors are gone, its members leave. lastHeard is when the client last gave a sign of life, in Unix milliseconds, so
// that members stay for the grace; 0 says that the client said goodbye. Safe to call twice.
func (s *Session) Close(lastHeard int64) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	// If it is not the transport that closes, it has still to hear of the end.
	s.notices = slices.DeleteFunc(s.notices, func(e Event) bool { return e.Kind != EventEnd })
	if len(s.notices) == 0 {
		s.note(Event{Kind: EventEnd, Detail: &Detail{Err: Errorf(CodeGoaway, "the session has ended; connect again")}})
	}
	s.closed = true
	s.watchExpiry()
	for _, u := range slices.Clone(s.subs.list) {
		s.drop(u)
	}
	if s.ctx != nil {
		s.ctx.cancel()
	}
	why := s.why
	s.mu.Unlock()
	s.tellEnd(why)
	s.hub.mu.Lock()
	last := s.hub.sessions[s.id] == s // nobody has replaced it
	if last {
		delete(s.hub.sessions, s.id)
	}
	s.hub.mu.Unlock()
	if last {
		s.hub.presence.Lost(s.id, lastHeard)
	}
}
