package hub

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// MaxTokenLife is how long a token may last, and so how long a revocation has to be remembered.
const MaxTokenLife = 400 * 24 * time.Hour

const (
	// revocationChannel is the channel of an app that holds its revocations. No client's channel has a name with a control character.
	revocationChannel = "\x01revocations"
	// maxRevocations bounds those of an app that are remembered at once.
	maxRevocations = 1 << 20
	revocationPage = 1000
)

// revocationKeep lets a revocation go when every token that it ends has ended by itself.
var revocationKeep = Retention{Store: StoreDisk, Age: MaxTokenLife}

// Revocation ends tokens before their time: those of a client that were issued until now, or one by its id. One of the fields is set.
type Revocation struct {
	Client  string `json:"client,omitempty"`
	TokenID string `json:"token,omitempty"`
}

// revocations are those of the apps that have been asked for. They follow the log: what is in it when it is first read, and then what the log delivers. A
// revocation only ever adds, so it does no harm to take one twice.
type revocations struct {
	mu   sync.Mutex
	apps map[string]*revoked
}

// revoked are the revocations of an app.
type revoked struct {
	loading sync.Mutex // held while the log is read

	mu      sync.RWMutex
	loaded  bool
	clients map[string]int64 // when the tokens of a client were last revoked, in Unix milliseconds
	tokens  map[string]int64 // when a token was, by its id
}

func newRevocations() *revocations { return &revocations{apps: map[string]*revoked{}} }

func (r *revocations) of(app string) *revoked {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.apps[app]
	if s == nil {
		s = &revoked{clients: map[string]int64{}, tokens: map[string]int64{}}
		r.apps[app] = s
	}
	return s
}

func (s *revoked) isLoaded() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.loaded
}

// take adds the revocation in a message. Whoever can write to the log's files can write a message that is none; it is passed over.
func (s *revoked) take(m *Message) {
	var r Revocation
	if json.Unmarshal(m.Data, &r) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Client != "" {
		s.clients[r.Client] = max(s.clients[r.Client], m.Time)
	}
	if r.TokenID != "" {
		s.tokens[r.TokenID] = max(s.tokens[r.TokenID], m.Time)
	}
}

// ends reports whether a grant's token is revoked. Tokens say in whole seconds when they were issued: one of the second of the revocation is revoked too, and so is one
// that does not say.
func (s *revoked) ends(g *Grant) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, byID := s.tokens[g.TokenID]; byID && g.TokenID != "" {
		return true
	}
	at, byClient := s.clients[g.Client]
	return byClient && g.Client != "" && g.Issued.Unix() <= at/1000
}

// room makes room for another revocation by forgetting those that have done their work.
func (s *revoked) room(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients)+len(s.tokens) < maxRevocations {
		return nil
	}
	before := now.Add(-MaxTokenLife).UnixMilli()
	for _, all := range []map[string]int64{s.clients, s.tokens} {
		for id, at := range all {
			if at < before {
				delete(all, id)
			}
		}
	}
	if len(s.clients)+len(s.tokens) < maxRevocations {
		return nil
	}
	return Errorf(CodeLimit, "%d revocations are remembered, the limit; take the app's key out of the configuration instead: that ends all its tokens", maxRevocations)
}

// revoked is the one place that decides whether a grant counts no more. Keys are not revoked but taken out of the configuration.
func (h *Hub) revoked(g *Grant) *Error {
	if g.Server || g.Client == "" && g.TokenID == "" {
		return nil
	}
	from := g.Issued
	if from.IsZero() {
		from = time.Now()
	}
	if g.Expires.Sub(from) > MaxTokenLife+time.Minute {
		return Errorf(CodeUnauthorized, "the token lasts until %s; the limit is %d days, so that it can be revoked", g.Expires.UTC().Format(time.RFC3339), MaxTokenLife/(24*time.Hour))
	}
	s := h.revocations.of(g.App)
	if !s.isLoaded() {
		if err := h.loadRevocations(g.App, s); err != nil {
			h.logger.Error("read revocations", "app", g.App, "error", err)
			return Errorf(CodeOverloadedConnect, "the server cannot tell just now whether the token is revoked; try again shortly")
		}
	}
	if s.ends(g) {
		return Errorf(CodeRevoked, "the token has been revoked")
	}
	return nil
}

// loadRevocations reads what the log has. What it delivers meanwhile is taken by Deliver.
func (h *Hub) loadRevocations(app string, s *revoked) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	ch := Channel{app, revocationChannel}
	q := Query{Limit: revocationPage, Keep: revocationKeep}
	for {
		page, err := h.log.Read(context.Background(), ch, q)
		if err != nil {
			return err
		}
		for _, m := range page.Messages {
			s.take(m)
		}
		if !page.More {
			break
		}
		after := page.Messages[len(page.Messages)-1].Position()
		q.After = &after
	}
	s.mu.Lock()
	s.loaded = true
	s.mu.Unlock()
	return nil
}

// Revoke makes tokens worthless before their time (action admin on all channels): it returns when that is stored, and sessions and requests of theirs are refused from then on.
func (h *Hub) Revoke(ctx context.Context, g *Grant, r Revocation) error {
	if err := h.authoriseAdmin(g, ""); err != nil {
		return err
	}
	if (r.Client == "") == (r.TokenID == "") || len(r.Client) > MaxIDBytes || len(r.TokenID) > MaxIDBytes {
		return Errorf(CodeBadRequest, "name either the client whose tokens are to be revoked or the id of one token, of at most %d bytes", MaxIDBytes)
	}
	if err := h.revocations.of(g.App).room(time.Now()); err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	done := make(chan []Result, 1)
	h.log.Append([]Entry{{Message: &Message{Channel: Channel{g.App, revocationChannel}, OwnID: true, Data: data}, Keep: revocationKeep}}, func(r []Result) { done <- r })
	select {
	case results := <-done:
		return results[0].Err
	case <-ctx.Done():
		return Errorf(CodeUnavailable, "the revocation was not stored in time: it may or may not be stored later; ask for it again")
	}
}

// takeRevocation takes a message of a reserved channel that the log has delivered, and has the sessions looked at whose token it may end.
func (h *Hub) takeRevocation(m *Message) {
	if m.Channel.Name != revocationChannel {
		return
	}
	h.revocations.of(m.Channel.App).take(m)
	h.lookAtGrants()
}

// lookAtGrants ends every session whose grant counts no more, soon. What is revoked after a session was looked at has it looked at again.
func (h *Hub) lookAtGrants() {
	if h.looking.Swap(true) {
		return
	}
	h.work.Go(func() {
		h.look.Lock() // one looks and one waits, however many revocations come
		defer h.look.Unlock()
		h.looking.Store(false)
		h.Sessions(func(s *Session) {
			if err := h.revoked(s.Grant()); err != nil {
				s.End(err)
			}
		})
	})
}

// rereadRevocations is for after the log may have had some that it did not deliver.
func (h *Hub) rereadRevocations() {
	h.revocations.mu.Lock()
	defer h.revocations.mu.Unlock()
	for app, s := range h.revocations.apps {
		h.work.Go(func() {
			if err := h.loadRevocations(app, s); err != nil {
				h.logger.Error("read revocations", "app", app, "error", err)
				return
			}
			h.lookAtGrants()
		})
	}
}
