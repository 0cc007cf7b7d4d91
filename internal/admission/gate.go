package admission

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Limits are what a Gate lets in.
type Limits struct {
	Connections int // open at once
	Handshakes  int // sessions and TLS connections that begin, a second
	PerAddress  int // connections and sessions that begin from one address, a second
	Burst       int // so many from one address at once
}

const (
	// Patience is how long a handshake waits for its turn, where its client can be told when to come back.
	Patience = 2 * time.Second
	// Clients that were refused come back after a time between these two.
	soonest, latest = time.Second, 10 * time.Second
	// refusedPatience is how long a connection that is refused has for its request.
	refusedPatience = 5 * time.Second
)

// Options of a Gate.
type Options struct {
	Limits Limits
	// Refusals is how many connections beyond the limit may be there at once for their refusal. Further ones are closed without a word.
	Refusals int
	// Shared says of an address that many clients come from it: a proxy's, or this machine's own.
	Shared func(netip.Addr) bool
	// Refuse answers a request; the client should come back after the time given.
	Refuse func(http.ResponseWriter, *http.Request, *hub.Error, time.Duration)
}

// Gate keeps the limits. Safe for concurrent use.
type Gate struct {
	o        Options
	limits   atomic.Pointer[Limits]
	open     atomic.Int64
	refusals atomic.Int64
	from     addresses

	mu         sync.Mutex
	handshakes rate
}

// New makes a Gate.
func New(o Options) *Gate {
	g := &Gate{o: o, from: addresses{rates: map[netip.Addr]rate{}}}
	g.SetLimits(o.Limits)
	return g
}

// SetLimits replaces the limits. Who is in stays in.
func (g *Gate) SetLimits(l Limits) { g.limits.Store(&l) }

// Open is how many connections are open, and how many may be.
func (g *Gate) Open() (open, most int) { return int(g.open.Load()), g.limits.Load().Connections }

// turn books a handshake and says how long it has to wait, if that is not more than most.
func (g *Gate) turn(most time.Duration) (time.Duration, bool) {
	n := g.limits.Load().Handshakes
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.handshakes.wait(time.Now(), time.Second/time.Duration(n), max(n/10, 1), most)
}

// allowed counts a connection or session of an address.
func (g *Gate) allowed(from netip.Addr) bool {
	l := g.limits.Load()
	return !from.IsValid() || g.o.Shared(from) || g.from.allow(from, time.Now(), time.Second/time.Duration(l.PerAddress), l.Burst)
}

func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, why *hub.Error) {
	w.Header().Set("Connection", "close")
	g.o.Refuse(w, r, why, soonest+rand.N(latest-soonest))
}

func (l *Limits) full() *hub.Error {
	return hub.Errorf(hub.CodeOverloadedConnect, "the server has its %d connections (limits.connections); come back after the time in Retry-After", l.Connections)
}

func (l *Limits) busy() *hub.Error {
	return hub.Errorf(hub.CodeOverloadedConnect, "more clients connect than the %d a second of limits.handshakes; come back after the time in Retry-After", l.Handshakes)
}

func (l *Limits) often() *hub.Error {
	return hub.Errorf(hub.CodeRateLimited, "your address has begun more connections than %d a second (limits.connects_per_address); come back after the time in Retry-After", l.PerAddress)
}
