package hub

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// SessionInfo is a session as it is just now.
type SessionInfo struct {
	ID, Client, Transport, Address string
	Started                        time.Time
	Subscriptions                  int
	// Lag is the largest of its cursors.
	Lag Lag
}

// Lag is how many messages a cursor is behind the tail: that is how many the transport has not taken yet.
type Lag struct {
	Messages int
	// AtLeast says that the cursor has fallen out of the tail and that there may be more: offsets are not dense, so nobody has counted them.
	AtLeast bool
}

func (l Lag) compare(other Lag) int {
	if l.Messages == other.Messages && l.AtLeast != other.AtLeast {
		if l.AtLeast {
			return 1
		}
		return -1
	}
	return cmp.Compare(l.Messages, other.Messages)
}

// SubscriptionInfo is a cursor of a session as it is just now.
type SubscriptionInfo struct {
	Channel string
	Cursor  Cursor
	Lag     Lag
}

// SessionFilter says which sessions are meant. An empty field means all.
type SessionFilter struct {
	Client  string
	Channel string // those that follow it
}

// MaxSessions is how many sessions SessionInfos lists at once.
const MaxSessions = 1000

// SessionInfos lists an app's sessions whose id comes after one, in the order of their ids (action admin on all channels). more says that there may be others.
func (h *Hub) SessionInfos(g *Grant, f SessionFilter, after string, limit int) (page []SessionInfo, more bool, err error) {
	if err := h.authoriseAdmin(g, ""); err != nil {
		return nil, false, err
	}
	if limit < 1 || limit > MaxSessions {
		return nil, false, Errorf(CodeBadRequest, "limit is %d; it must be from 1 to %d", limit, MaxSessions)
	}
	h.mu.Lock()
	ids := slices.Sorted(maps.Keys(h.sessions))
	h.mu.Unlock()
	from, found := slices.BinarySearch(ids, after)
	if found {
		from++
	}
	for _, id := range ids[from:] {
		s := h.Session(id)
		if s == nil || !s.matches(g.App, f) {
			continue
		}
		if len(page) == limit {
			return page, true, nil
		}
		page = append(page, s.info())
	}
	return page, false, nil
}

// SessionInfo says how a session is just now, and its cursors by channel (action admin on all channels).
func (h *Hub) SessionInfo(g *Grant, id string) (SessionInfo, []SubscriptionInfo, error) {
	s, err := h.administered(g, id)
	if err != nil {
		return SessionInfo{}, nil, err
	}
	return s.info(), s.subscriptions(), nil
}

// EndSession ends a session (action admin on all channels). With reconnect its client comes back at once, otherwise it stays away.
func (h *Hub) EndSession(g *Grant, id string, reconnect bool) error {
	s, err := h.administered(g, id)
	if err == nil {
		s.End(endedBy(reconnect))
	}
	return err
}

// EndSessions ends all sessions of a client, and returns how many there were (action admin on all channels).
func (h *Hub) EndSessions(g *Grant, client string, reconnect bool) (ended int, err error) {
	if err := h.authoriseAdmin(g, ""); err != nil {
		return 0, err
	}
	if client == "" {
		return 0, Errorf(CodeBadRequest, "client is missing; name the client whose sessions are to end")
	}
	h.Sessions(func(s *Session) {
		if s.matches(g.App, SessionFilter{Client: client}) {
			s.End(endedBy(reconnect))
			ended++
		}
	})
	return ended, nil
}

func endedBy(reconnect bool) *Error {
	if reconnect {
		return Errorf(CodeGoaway, "an administrator has ended the session; connect again")
	}
	return Errorf(CodeRevoked, "an administrator has ended the session")
}

func (h *Hub) administered(g *Grant, id string) (*Session, error) {
	if err := h.authoriseAdmin(g, ""); err != nil {
		return nil, err
	}
	if s := h.Session(id); s != nil && s.Grant().App == g.App {
		return s, nil
	}
	return nil, Errorf(CodeNotFound, "there is no session %q; it may have ended", clip(id))
}

func (s *Session) matches(app string, f SessionFilter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grant.App != app || f.Client != "" && s.grant.Client != f.Client {
		return false
	}
	return f.Channel == "" || s.subs.get(f.Channel) != nil
}

func (s *Session) info() SessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := SessionInfo{ID: s.id, Client: s.grant.Client, Transport: s.transport, Address: s.address, Started: time.UnixMilli(s.started), Subscriptions: len(s.subs.list)}
	for _, u := range s.subs.list {
		if l := u.lag(); l.compare(i.Lag) > 0 {
			i.Lag = l
		}
	}
	return i
}

func (s *Session) subscriptions() []SubscriptionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]SubscriptionInfo, 0, len(s.subs.list))
	for _, u := range s.subs.list {
		all = append(all, SubscriptionInfo{Channel: u.live.channel.Name, Cursor: u.cursor(), Lag: u.lag()})
	}
	slices.SortFunc(all, func(a, b SubscriptionInfo) int { return strings.Compare(a.Channel, b.Channel) })
	return all
}

// lag counts in the tail. Called with session.mu held.
func (u *subscription) lag() Lag {
	l := u.live
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := &l.tail
	next, inside := u.index, !u.behind && u.gen == t.gen && u.index >= t.first
	if !inside {
		next, inside = t.seek(u.read, u.verified)
	}
	if !inside {
		next = t.first // all of the tail is after the cursor
	}
	return Lag{Messages: len(u.buf) + int(t.next-next), AtLeast: !inside}
}
