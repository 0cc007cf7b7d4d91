package outbox

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Options of an Outbox. Log is needed.
type Options struct {
	Log Log
	// Observe has the outbox told of everything that is there in an app: hub.Hub.Observe. Default: there is nothing.
	Observe func(app string)
	Logger  *slog.Logger
	Meter   Meter
	// Grace is how long after its end a channel is vacated and a member removed, if it is not back by then. Default DefaultGrace.
	Grace time.Duration
	// Return is how long clients have to come back after a start. Default DefaultReturn.
	Return time.Duration
	// Life is how old an event becomes that an endpoint does not take. Default DefaultLife.
	Life time.Duration
	// Resolver finds the addresses of endpoints. Default: the system's.
	Resolver *net.Resolver
}

// App is an app with its endpoints, whose names are unique in it.
type App struct {
	ID        string
	Endpoints []Endpoint
	// Hidden are patterns of channels whose coming and going no endpoint is told of: those that a protocol has for itself.
	Hidden []string
	// Bytes is how much of its events is kept for endpoints that do not take them. 0: DefaultBytes.
	Bytes int64
}

// Meter is told how the endpoints do. It is fast and does not block.
type Meter interface {
	// Sent tells of a request that an endpoint has taken.
	Sent(app, webhook string, events int, took time.Duration)
	// Failed tells of a request that it has not.
	Failed(app, webhook string)
	// Died tells of an event that became a dead letter.
	Died(app, webhook string)
	// Missed tells that events were removed from the log before the endpoint had them.
	Missed(app, webhook string)
	// Unrecorded tells of an event of an app that was not stored.
	Unrecorded(app string)
}

type noMeter struct{}

func (noMeter) Sent(string, string, int, time.Duration) {}
func (noMeter) Failed(string, string)                   {}
func (noMeter) Died(string, string)                     {}
func (noMeter) Missed(string, string)                   {}
func (noMeter) Unrecorded(string)                       {}

// Outbox brings events of apps to their endpoints. It is a hub.Observer. Safe for concurrent use.
type Outbox struct {
	o     Options
	boxes atomic.Pointer[map[string]*box]

	setting sync.Mutex // held by Start, SetApps and Close
	closed  bool
}

var _ hub.Observer = (*Outbox)(nil)

// New makes an Outbox, which does nothing until Start.
func New() *Outbox {
	x := &Outbox{}
	x.boxes.Store(&map[string]*box{})
	return x
}

// Start has it begin. Until then, and until SetApps, it is told of things in vain.
func (x *Outbox) Start(o Options) {
	x.setting.Lock()
	defer x.setting.Unlock()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Meter == nil {
		o.Meter = noMeter{}
	}
	if o.Observe == nil {
		o.Observe = func(string) {}
	}
	o.Grace, o.Return, o.Life = cmp.Or(o.Grace, DefaultGrace), cmp.Or(o.Return, DefaultReturn), cmp.Or(o.Life, DefaultLife)
	x.o = o
}

// SetApps replaces all apps. Endpoints of the same name go on where they are.
func (x *Outbox) SetApps(apps []App) {
	x.setting.Lock()
	defer x.setting.Unlock()
	if x.closed {
		return
	}
	before := *x.boxes.Load()
	after := map[string]*box{}
	for i := range apps {
		app := &apps[i]
		if len(app.Endpoints) == 0 {
			continue
		}
		b, known := before[app.ID]
		if !known {
			b = newBox(app.ID, &x.o)
		}
		b.keep.Store(&hub.Retention{Age: logAge, Bytes: cmp.Or(app.Bytes, DefaultBytes)})
		b.tracker.want(tracked(app))
		after[app.ID] = b
		b.employ(app.Endpoints)
		if known {
			x.o.Observe(app.ID)
		}
	}
	x.boxes.Store(&after)
	for id, b := range after {
		if before[id] == nil {
			go b.record() // it asks for what is there, and so has to be found before
		}
	}
	for id, b := range before {
		if after[id] == nil {
			b.tracker.want(func(key) bool { return false }) // what was there is nobody's to know
			b.close()
		}
	}
}

// tracked says what has to be known for the endpoints of an app.
func tracked(app *App) func(key) bool {
	var channels, members []Endpoint
	for _, e := range app.Endpoints {
		if e.wantsType(ChannelOccupied) || e.wantsType(ChannelVacated) {
			channels = append(channels, e)
		}
		if e.wantsType(MemberAdded) || e.wantsType(MemberRemoved) {
			members = append(members, e)
		}
	}
	hidden := slices.Clone(app.Hidden)
	return func(k key) bool {
		if slices.ContainsFunc(hidden, func(p string) bool { return hub.Match(p, k.channel) }) {
			return false
		}
		who := channels
		if k.member != "" {
			who = members
		}
		return slices.ContainsFunc(who, func(e Endpoint) bool { return e.wantsChannel(k.channel) })
	}
}

// employ has a courier for each endpoint and no other. Those of endpoints that have changed are exchanged.
func (b *box) employ(endpoints []Endpoint) {
	before := maps.Clone(*b.couriers.Load())
	after := map[string]*running{}
	for _, e := range endpoints {
		if c := before[e.Name]; c != nil && c.endpoint.equal(&e) {
			after[e.Name] = c
			delete(before, e.Name)
		}
	}
	closeAll(slices.Collect(maps.Values(before)))
	for _, e := range endpoints {
		if after[e.Name] == nil {
			after[e.Name] = b.hire(e)
		}
	}
	b.couriers.Store(&after)
}

// hire starts a courier.
func (b *box) hire(e Endpoint) *running {
	post := newSender(b.app, &e, b.o.Resolver)
	c := newCourier(b.app, e, b.o, post.send)
	soon, cancel := context.WithTimeout(context.Background(), storePatience)
	defer cancel()
	c.load(soon) // so that what happens from now on is for it
	stop, end := context.WithCancel(context.Background())
	abort, giveUp := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(stop, abort)
	}()
	return &running{c, func() {
		end()
		timer := time.AfterFunc(lastWords, giveUp)
		<-done
		timer.Stop()
		giveUp()
		post.close()
	}}
}

func closeAll(all []*running) {
	var closing sync.WaitGroup
	for _, c := range all {
		closing.Go(c.close)
	}
	closing.Wait()
}

// close ends the recorder and the couriers.
func (b *box) close() {
	b.end()
	<-b.done
	closeAll(b.all())
}

// Drain has no channel vacated and no member removed any more, for the time in which sessions are sent away: they come back to the next process, and what does not is told by that.
func (x *Outbox) Drain() {
	for _, b := range *x.boxes.Load() {
		b.tracker.part()
	}
}

// Close stores what is on its way and ends everything. The log is not used any more afterwards.
func (x *Outbox) Close() {
	x.setting.Lock()
	defer x.setting.Unlock()
	x.closed = true
	var closing sync.WaitGroup
	for _, b := range *x.boxes.Load() {
		closing.Go(b.close)
	}
	closing.Wait()
}

func (x *Outbox) set(ch hub.Channel, member string, there bool) {
	if b := (*x.boxes.Load())[ch.App]; b != nil {
		b.tracker.set(key{ch.Name, member}, there)
	}
}

// Occupied implements hub.Observer.
func (x *Outbox) Occupied(ch hub.Channel) { x.set(ch, "", true) }

// Vacated implements hub.Observer.
func (x *Outbox) Vacated(ch hub.Channel) { x.set(ch, "", false) }

// Entered implements hub.Observer.
func (x *Outbox) Entered(ch hub.Channel, member string) { x.set(ch, member, true) }

// Left implements hub.Observer.
func (x *Outbox) Left(ch hub.Channel, member string) { x.set(ch, member, false) }

// courier returns that of an endpoint. The error is a *hub.Error.
func (x *Outbox) courier(app, endpoint string) (*running, error) {
	if b := (*x.boxes.Load())[app]; b != nil {
		if c := (*b.couriers.Load())[endpoint]; c != nil {
			return c, nil
		}
	}
	return nil, hub.Errorf(hub.CodeNotFound, "there is no webhook %.64q; the configuration has them, as [[app.webhook]]", endpoint)
}

// keepOf is how much is kept of an app's events.
func (x *Outbox) keepOf(app string) hub.Retention {
	if b := (*x.boxes.Load())[app]; b != nil {
		return *b.keep.Load()
	}
	return hub.Retention{Age: logAge, Bytes: DefaultBytes}
}
