package hub

import (
	"context"
	"sync"
	"time"
)

// Answer is what somebody whom a grant names says that a client may do on one channel.
type Answer struct {
	Actions Action // none: nothing
	// For is how long the answer counts; 0: as long as the session.
	For time.Duration
}

// Asker asks what a client may do on a channel. It may take its time: it is called by a session's own requests only, never while something is delivered.
type Asker func(ctx context.Context, session, channel string) (Answer, error)

// answers are those that a session has got. They outlive its grant, which a fresh token replaces.
type answers struct {
	mu sync.Mutex
	on map[string]answer // by channel name; at most Limits.Subscriptions
}

type answer struct {
	actions Action
	until   time.Time // zero: no end
}

func (a *answers) get(name string) (answer, bool) {
	if a == nil {
		return answer{}, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	got, found := a.on[name]
	if found && !got.until.IsZero() && !time.Now().Before(got.until) {
		delete(a.on, name)
		return answer{}, false
	}
	return got, found
}

func (a *answers) put(name string, got Answer, most int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, there := a.on[name]; !there && len(a.on) >= most {
		return Errorf(CodeLimit, "this session has asked for %d channels that its token does not allow; the limit is %d", len(a.on), most)
	}
	made := answer{actions: got.Actions}
	if got.For > 0 {
		made.until = time.Now().Add(got.For)
	}
	a.on[name] = made
	return nil
}

// forSession is the grant with room for the answers of a session, which takes over those to its grant before.
func (g *Grant) forSession(before *Grant) *Grant {
	if g.Ask == nil {
		return g
	}
	own := *g
	if before != nil && before.answers != nil {
		own.answers = before.answers
	} else {
		own.answers = &answers{on: map[string]answer{}}
	}
	return &own
}

// admit authorises a subscription. What the grant refuses, whoever the grant names is asked about: once for each channel while the answer counts, and
// never for what the grant allows.
func (s *Session) admit(grant *Grant, name string, presence bool) (Channel, *Rule, error) {
	ch, rule, err := s.hub.subscribable(grant, name, presence)
	if err == nil || rule == nil || grant.Ask == nil || presence && rule.NoPresence {
		return ch, rule, err
	}
	if _, known := grant.answers.get(name); known {
		return ch, rule, err
	}
	if err := s.ask(grant, name); err != nil {
		return ch, rule, err
	}
	return s.hub.subscribable(grant, name, presence)
}

// subscribable authorises a subscription by the grant alone. The rule is nil if the name cannot be a channel's.
func (h *Hub) subscribable(g *Grant, name string, presence bool) (Channel, *Rule, error) {
	ch, rule, err := h.authorise(g, ActionSubscribe, name)
	if err == nil && presence {
		err = g.Authorise(ActionPresence, name, rule)
	}
	return ch, rule, err
}

func (s *Session) ask(g *Grant, name string) error {
	got, err := g.Ask(s.Context(), s.id, name)
	if err != nil {
		return err
	}
	return g.answers.put(name, got, s.hub.Limits().Subscriptions)
}
