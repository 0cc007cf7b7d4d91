package load

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/snoserver/sno/internal/client"
)

// connect makes connections and lets them be for a while.
func (r *runner) connect(ctx context.Context) {
	var mu sync.Mutex
	var all []*client.Client
	r.gauge.begin()
	r.open(ctx, r.o.Connections, r.o.Ramp, r.forConnections(), r.meters["connect"], func(_ int, cl *client.Client) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, cl)
		r.made.Add(1)
	})
	r.gauge.end()
	pause(ctx, r.o.Duration)
	if r.o.Verify {
		r.verifyConnections(ctx, all)
	}
}

// verifyConnections wants an answer on every connection.
func (r *runner) verifyConnections(ctx context.Context, all []*client.Client) {
	grace, cancel := r.grace(ctx)
	defer cancel()
	var mu sync.Mutex
	silent := 0
	each(r.o.Handshakes, len(all), func(i int) {
		if err := all[i].Ping(grace); err != nil {
			r.left(context.WithoutCancel(ctx), "connections did not answer at the end", err)
			mu.Lock()
			silent++
			mu.Unlock()
		}
	})
	nothing := ""
	if len(all) == 0 {
		nothing = "no connection was made"
	}
	lost := r.lost.Load()
	v := &Verification{Checked: fmt.Sprintf("%d of %d connections answered at the end, and %d were lost meanwhile", len(all)-silent, len(all), lost), Nothing: nothing}
	v.Late = silent + int(lost)
	r.verified(v, "all are as they were")
}

// subscribe has every connection subscribe to many channels, as after a deploy.
func (r *runner) subscribe(ctx context.Context) {
	clients := make([]*client.Client, r.o.Connections)
	r.open(ctx, r.o.Connections, r.o.Ramp, r.forConnections(), r.meters["connect"], func(i int, cl *client.Client) {
		clients[i] = cl
		r.made.Add(1)
	})
	r.gauge.begin()
	pace := &pacer{r: r, began: r.now()}
	r.meters["subscribe"].begin(pace.began)
	var mu sync.Mutex
	var subs []*subscriber
	var running sync.WaitGroup
	for i, cl := range clients {
		if cl == nil {
			continue
		}
		running.Go(func() {
			each(r.o.inFlight(), r.o.Subscriptions, func(n int) {
				if _, ok := pace.wait(ctx); !ok {
					return
				}
				number := i*r.o.Subscriptions + n
				if s := r.subscribeTo(ctx, number, cl, number%len(r.channels)); s != nil {
					mu.Lock()
					defer mu.Unlock()
					subs = append(subs, s)
				}
			})
		})
	}
	running.Wait()
	r.gauge.end()
	if r.o.Verify {
		r.onceEach(ctx)
		r.drain(ctx, subs)
		r.judge(len(subs))
	}
}

// onceEach publishes a message to each channel.
func (r *runner) onceEach(ctx context.Context) {
	all := r.publishers(ctx, 1, 0, &meter{})
	r.meters["publish"].begin(r.now())
	r.meters["deliver"].begin(r.now())
	for _, p := range all {
		p.slots = make(chan struct{}, len(r.channels))
		for c := range r.channels {
			p.slots <- struct{}{}
			if err := p.publish(ctx, c, r.now()); err != nil {
				r.left(ctx, "messages were not published", err)
				break
			}
		}
		grace, cancel := r.grace(ctx)
		p.flush(grace)
		cancel()
	}
}

// subscribers opens the connections of a scenario, each subscribed to one channel.
func (r *runner) subscribers(ctx context.Context) []*subscriber {
	var mu sync.Mutex
	var all []*subscriber
	r.meters["subscribe"].begin(r.now())
	r.open(ctx, r.o.Connections, r.o.Ramp, r.forConnections(), r.meters["connect"], func(i int, cl *client.Client) {
		r.made.Add(1)
		if s := r.subscribeTo(ctx, i, cl, i%len(r.channels)); s != nil {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, s)
		}
	})
	return all
}

// fanout publishes to many subscribers.
func (r *runner) fanout(ctx context.Context) {
	subs := r.subscribers(ctx)
	all := r.publishers(ctx, r.o.Publishers, 0, &meter{})
	r.gauge.begin()
	r.publishing(ctx, all, r.o.Duration)
	r.drain(ctx, subs)
	r.gauge.end()
	r.judge(len(subs))
}

// publish has many publish. With Options.Verify one reader follows each channel.
func (r *runner) publish(ctx context.Context) {
	var subs []*subscriber
	if r.o.Verify {
		subs = r.readers(ctx)
	}
	all := r.publishers(ctx, r.o.Connections, r.o.Ramp, r.meters["connect"])
	r.made.Store(int64(len(all)))
	r.gauge.begin()
	r.publishing(ctx, all, r.o.Duration)
	r.gauge.end()
	r.drain(ctx, subs)
	r.judge(len(subs))
}

// readers follow each channel with a connection of its own.
func (r *runner) readers(ctx context.Context) (all []*subscriber) {
	for c := range r.channels {
		cl := r.dial(ctx, r.forConnections())
		if cl == nil {
			continue
		}
		if s := r.subscribeTo(ctx, c, cl, c); s != nil {
			all = append(all, s)
		}
	}
	if len(all) < len(r.channels) {
		r.left(ctx, "channels have no reader", errors.New("so they are not verified"))
	}
	return all
}
