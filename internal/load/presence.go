package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/latency"
	"github.com/snoserver/sno/internal/verify"
)

// member is a connection that is a member of its channel and follows who else is.
type member struct {
	r       *runner
	number  int
	channel int
	name    string
	client  *client.Client
	version atomic.Uint64 // what it knows

	watcher *verify.Watcher // with Options.Verify
	roster  *verify.Roster
}

// presence has every connection enter, change its data, and leave, under the eyes of all others of its channel.
func (r *runner) presence(ctx context.Context) {
	rosters := make([]*verify.Roster, len(r.channels))
	for c, name := range r.channels {
		rosters[c] = verify.NewRoster(name)
	}
	all := r.members(ctx, rosters)
	r.gauge.begin()
	r.changing(ctx, all, "enter", len(all), 0)
	r.settle(ctx, all, rosters)
	r.changing(ctx, all, "update", 0, r.o.Duration)
	r.settle(ctx, all, rosters)
	r.changing(ctx, all, "leave", len(all), 0)
	r.settle(ctx, all, rosters)
	r.gauge.end()
	r.judgePresence(all, rosters)
}

// members connects everybody, before anybody enters, so that all hear of all.
func (r *runner) members(ctx context.Context, rosters []*verify.Roster) []*member {
	var mu sync.Mutex
	var all []*member
	r.meters["subscribe"].begin(r.now())
	o := r.forConnections()
	o.BufferBytes = max(o.BufferBytes, min(r.o.Size+1024, 64<<10))
	r.open(ctx, r.o.Connections, r.o.Ramp, o, r.meters["connect"], func(i int, cl *client.Client) {
		r.made.Add(1)
		m := &member{r: r, number: i, channel: i % len(r.channels), name: fmt.Sprint("member-", i), client: cl, roster: rosters[i%len(r.channels)]}
		if r.o.Verify {
			m.watcher = m.roster.Watch(m.name)
		}
		since := r.now()
		timed, cancel := context.WithTimeout(ctx, r.o.Timeout)
		defer cancel()
		if _, err := cl.Subscribe(timed, r.channels[m.channel], client.SubscribeOptions{Presence: true}, m.handle); err != nil {
			if ctx.Err() == nil {
				r.refusals.add(err)
			}
			r.left(ctx, "subscribes failed", err)
			return
		}
		now := r.now()
		r.meters["subscribe"].add(i, now, now-since)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, m)
	})
	return all
}

// handle takes what comes of the channel's presence.
func (m *member) handle(e client.Event) {
	switch e := e.(type) {
	case *client.Presence:
		m.hear(e)
	case *client.Ended:
		m.r.left(context.Background(), "subscriptions were ended", e.Err)
	}
}

func (m *member) hear(e *client.Presence) {
	if e.Action == "snapshot" {
		if m.watcher != nil {
			there := map[string]string{}
			for _, other := range e.Members {
				there[other.ID] = string(other.Data)
			}
			m.watcher.Snapshot(e.Version, there)
		}
		m.version.Store(e.Version)
		return
	}
	if due, ok := latency.Stamped(e.Member.Data); ok && e.Action != "leave" { // whose data is that of its last change
		now := m.r.now()
		m.r.meters["hear"].add(m.number, now, now-due)
	}
	if m.watcher != nil {
		m.watcher.Change(e.Version, e.Action, e.Member.ID, string(e.Member.Data))
	}
	m.version.Store(e.Version)
}

// changing has members change, one after the other: n of them, or for so long. Of one member never two changes are under way.
func (r *runner) changing(ctx context.Context, all []*member, step string, n int, d time.Duration) {
	if len(all) == 0 || ctx.Err() != nil {
		return
	}
	pace := &pacer{r: r, began: r.now()}
	r.meters[step].begin(pace.began)
	if step != "leave" {
		r.meters["hear"].begin(pace.began)
	}
	timed, cancel := ctx, context.CancelFunc(func() {})
	if n == 0 {
		timed, cancel = context.WithTimeout(ctx, d)
		pace.end = pace.began + d
	}
	defer cancel()
	workers := min(r.o.inFlight(), len(all))
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := w; n == 0 || i < n; i += workers {
				due, ok := pace.wait(timed)
				if !ok {
					return
				}
				all[i%len(all)].change(ctx, step, due)
				if n == 0 && i+workers >= len(all) { // round again, among its own
					i = w - workers
				}
			}
		})
	}
	running.Wait()
}

// change enters, updates or leaves, and waits for the answer.
func (m *member) change(ctx context.Context, step string, due time.Duration) {
	grace, cancel := m.r.grace(ctx)
	defer cancel()
	var err error
	if step == "leave" {
		err = m.client.Leave(grace, m.r.channels[m.channel], m.name)
	} else {
		data := latency.Stamp(due, m.r.o.Size)
		if err = m.client.Enter(grace, m.r.channels[m.channel], m.name, data); err == nil {
			m.roster.Present(m.name, string(data))
		}
	}
	switch {
	case err != nil:
		m.roster.Unsure(m.name)
		m.r.refusals.add(err)
		m.r.left(context.WithoutCancel(ctx), "changes of presence failed", err)
		return
	case step == "leave":
		m.roster.Absent(m.name)
	}
	now := m.r.now()
	m.r.meters[step].add(m.number, now, now-due)
}

// settle waits until everybody knows what the server knows.
func (r *runner) settle(ctx context.Context, all []*member, rosters []*verify.Roster) {
	grace, cancel := r.grace(ctx)
	defer cancel()
	of := map[int][]*member{}
	for _, m := range all {
		of[m.channel] = append(of[m.channel], m)
	}
	for c, members := range of {
		_, version, err := members[0].client.Members(grace, r.channels[c])
		if err != nil {
			r.left(context.WithoutCancel(ctx), "channels did not say who is there", err)
			continue
		}
		until(grace, func() bool {
			for _, m := range members {
				if m.version.Load() < version {
					return false
				}
			}
			return true
		})
		for _, m := range members {
			if at := m.version.Load(); at < version {
				r.left(context.WithoutCancel(ctx), "members did not hear of all changes in time", fmt.Errorf("%s knows version %d of %q, which is at %d", m.name, at, r.channels[c], version))
			}
		}
		rosters[c].Settled(version)
	}
}

// judgePresence has the rosters say what was broken.
func (r *runner) judgePresence(all []*member, rosters []*verify.Roster) {
	if !r.o.Verify {
		return
	}
	var reports []verify.Report
	received := 0
	for _, roster := range rosters {
		report := roster.Finish()
		received += report.Received
		reports = append(reports, report)
	}
	nothing := ""
	if r.meters["enter"].count() == 0 {
		nothing = "nobody has entered"
	}
	v := &Verification{Checked: fmt.Sprintf("%d changes and snapshots received by %d members", received, len(all)), Nothing: nothing}
	r.verified(v, "all agree who was there", reports...)
}
