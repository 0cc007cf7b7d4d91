package hub

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Hub.
type Options struct {
	// Open opens the log, giving it the hub as its sink. Needed.
	Open func(Sink) (Log, error)
	// Presence makes the presence; changed is to be called after each change of a channel's members. Default: presence of this process, with Grace.
	Presence func(changed func(Channel)) Presence
	// Grace is how long a member stays after its session was lost without a goodbye. Default DefaultGrace.
	Grace  time.Duration
	Limits Limits
	Logger *slog.Logger
	// Meter is told how the hub does. Default: nobody is.
	Meter Meter
	// Observer is told who comes to the channels and goes; of members only if Presence is the default. Default: nobody is.
	Observer Observer
}

// DefaultGrace is how long a lost member stays unless configured.
const DefaultGrace = 10 * time.Second

// Limits bound what clients can ask for. A zero field takes its value from DefaultLimits.
type Limits struct {
	MessageBytes  int // event, data and headers of one message
	ChannelBytes  int // a channel's name
	Subscriptions int // of one session
	Members       int // of one session, over all channels
	MemberBytes   int // data of one member
}

// DefaultLimits are the limits unless configured.
var DefaultLimits = Limits{MessageBytes: 1 << 20, ChannelBytes: 1024, Subscriptions: 10_000, Members: 1000, MemberBytes: 16 << 10}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits
	for _, f := range []struct{ have, def *int }{
		{&l.MessageBytes, &d.MessageBytes}, {&l.ChannelBytes, &d.ChannelBytes}, {&l.Subscriptions, &d.Subscriptions},
		{&l.Members, &d.Members}, {&l.MemberBytes, &d.MemberBytes},
	} {
		if *f.have == 0 {
			*f.have = *f.def
		}
	}
	return l
}

// Hub is the core of one process: it publishes to the log and brings what the log stored to the sessions. Safe for concurrent use.
type Hub struct {
	log      Log
	presence Presence
	logger   *slog.Logger
	meter    Meter
	observer Observer // nil: there is none
	started  time.Time

	limits   atomic.Pointer[Limits]
	apps     atomic.Pointer[map[string]*App]
	registry *registry
	lanes    lanes
	expiries expiries
	// delivered is Deliver's, whose calls do not overlap.
	delivered []*live

	revocations *revocations
	looking     atomic.Bool    // lookAtGrants is about to begin
	look        sync.Mutex     // held while it goes on
	work        sync.WaitGroup // what goes on in the background

	mu       sync.Mutex
	sessions map[string]*Session // by id
	refusal  *Error              // what new sessions are told
	refusing chan struct{}       // closed when there is a refusal
}

// New opens the log and starts the hub.
func New(o Options) (*Hub, error) {
	h := &Hub{logger: o.Logger, meter: o.Meter, observer: o.Observer, started: time.Now(), registry: newRegistry(), sessions: map[string]*Session{}, revocations: newRevocations(), refusing: make(chan struct{})}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.meter == nil {
		h.meter = noMeter{}
	}
	own := newLane(0, nil, h)
	own.start()
	h.lanes.all.Store(&[]*lane{own})
	h.SetLimits(o.Limits)
	h.apps.Store(&map[string]*App{})
	if o.Presence == nil {
		grace := o.Grace
		if grace == 0 {
			grace = DefaultGrace
		}
		o.Presence = func(changed func(Channel)) Presence {
			p := newMembers(grace, changed)
			p.observer = o.Observer
			return p
		}
	}
	h.presence = o.Presence(h.presenceChanged)
	log, err := o.Open(h)
	if err != nil {
		h.lanes.list()[0].stop()
		return nil, err
	}
	h.log = log
	return h, nil
}

// Limits returns the limits in force.
func (h *Hub) Limits() Limits { return *h.limits.Load() }

// SetLimits replaces all limits, from the next request on. What a session has already is not taken from it.
func (h *Hub) SetLimits(l Limits) {
	l = l.withDefaults()
	h.limits.Store(&l)
}

// Check returns why the log could not store a message just now, or nil. It is an *Error if the log knows the reason.
func (h *Hub) Check() error {
	if c, ok := h.log.(Checker); ok {
		return c.Check()
	}
	return nil
}

// SetApps replaces all apps; they must not be changed afterwards. Channels that are live follow their new rules at once.
func (h *Hub) SetApps(apps []App) {
	byID := make(map[string]*App, len(apps))
	for i := range apps {
		byID[apps[i].ID] = &apps[i]
	}
	h.apps.Store(&byID)
	for _, l := range h.registry.all() {
		l.rule.Store(h.rule(l.channel))
	}
	for id := range byID { // so that the first client need not wait, nor be refused if the disk fails later
		if s := h.revocations.of(id); !s.isLoaded() {
			if err := h.loadRevocations(id, s); err != nil {
				h.logger.Error("read revocations", "app", id, "error", err)
			}
		}
	}
}

func (h *Hub) rule(ch Channel) *Rule {
	if app := (*h.apps.Load())[ch.App]; app != nil {
		return app.RuleFor(ch.Name)
	}
	return &DefaultRule
}

// authorise checks a channel's name and asks the grant; it returns the channel and its rule.
func (h *Hub) authorise(g *Grant, a Action, name string) (Channel, *Rule, error) {
	ch := Channel{g.App, name}
	if err := h.checkName(name); err != nil {
		return ch, nil, err
	}
	if err := h.revoked(g); err != nil {
		return ch, nil, err
	}
	rule := h.rule(ch)
	return ch, rule, g.Authorise(a, name, rule)
}

// authoriseAdmin asks the grant for the action admin on all channels that begin with prefix.
func (h *Hub) authoriseAdmin(g *Grant, prefix string) error {
	if err := h.revoked(g); err != nil {
		return err
	}
	return g.AuthoriseAll(ActionAdmin, prefix)
}

// Administers says why a grant may not administer its whole app (action admin on all channels), or nil: for rooms that keep something of the app's beside the hub.
func (h *Hub) Administers(g *Grant) error { return h.authoriseAdmin(g, "") }

// History reads a page of a channel (action history). Query.Keep is set from the channel's rule; a Limit of 0 is an error.
func (h *Hub) History(ctx context.Context, g *Grant, name string, q Query) (Page, error) {
	ch, rule, err := h.authorise(g, ActionHistory, name)
	if err != nil {
		return Page{}, err
	}
	if q.Limit < 1 || q.Before > MaxOffset || q.After != nil && q.After.Offset > MaxOffset {
		return Page{}, Errorf(CodeBadRequest, "limit must be at least 1 and an offset at most %d", uint64(MaxOffset))
	}
	q.Keep = rule.Keep
	return h.log.Read(ctx, ch, q)
}

// Members returns who is in a channel (action presence) and the version of the channel's members.
func (h *Hub) Members(g *Grant, name string) ([]Member, uint64, error) {
	ch, _, err := h.authorise(g, ActionPresence, name)
	if err != nil {
		return nil, 0, err
	}
	members, version := h.presence.Members(ch)
	return members, version, nil
}

func (h *Hub) presenceChanged(ch Channel) {
	if l := h.registry.find(ch); l != nil {
		l.presence.Add(1)
		h.changed([]*live{l}, 0)
	}
}

// Sessions calls f for each session there is just now.
func (h *Hub) Sessions(f func(*Session)) {
	h.mu.Lock()
	all := make([]*Session, 0, len(h.sessions))
	for _, s := range h.sessions {
		all = append(all, s)
	}
	h.mu.Unlock()
	for _, s := range all {
		f(s)
	}
}

// Session returns the session of an id, or nil.
func (h *Hub) Session(id string) *Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[id]
}

// Refuse ends every session that begins from now on with err, and every HistoryWait.
func (h *Hub) Refuse(err *Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refusal == nil {
		close(h.refusing)
	}
	h.refusal = err
}

// Close ends every session and closes the log, which stores what it has accepted.
func (h *Hub) Close() error {
	h.Refuse(Errorf(CodeGoaway, "the server has shut down; connect again"))
	h.Sessions(func(s *Session) { s.Close(0) })
	err := h.log.Close()
	h.work.Wait() // nothing of the log begins more
	h.lanes.list()[0].stop()
	return err
}
