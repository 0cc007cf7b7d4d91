package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// open makes n connections, spread over the ramp and at most so many at once. Each is handed to ready as soon as it is there. m counts them.
func (r *runner) open(ctx context.Context, n int, ramp time.Duration, o client.Options, m *meter, ready func(i int, cl *client.Client)) {
	began := r.now()
	m.begin(began)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(r.o.Handshakes, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if !pause(ctx, began+ramp*time.Duration(i)/time.Duration(n)-r.now()) {
					return
				}
				since := r.now()
				cl := r.dial(ctx, o)
				if cl == nil {
					continue
				}
				now := r.now()
				m.add(i, now, now-since)
				ready(i, cl)
			}
		})
	}
	all.Wait()
}

// dial makes a connection, with patience for a server that has too much to do; nil if that was in vain.
func (r *runner) dial(ctx context.Context, o client.Options) *client.Client {
	o.Wait = true
	o.Before = r.gate.pass
	o.OnRetry = r.refusals.add
	o.OnState = func(s client.State, err error) { r.changed(ctx, s, err) }
	timed, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	cl, err := client.Dial(timed, o)
	if err != nil {
		if timed.Err() == nil { // else it was counted with the attempts
			r.refusals.add(err)
		}
		r.left(ctx, "connections were not made", err)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients = append(r.clients, cl)
	return cl
}

// changed hears what becomes of a connection that was made.
func (r *runner) changed(ctx context.Context, s client.State, err error) {
	switch {
	case s == client.StateConnected || r.closing.Load() || errors.Is(err, client.ErrDropped):
	case s == client.StateConnecting:
		r.refusals.add(err)
		if e, coded := errors.AsType[*hub.Error](err); !coded || e.Code != hub.CodeReplaced { // by a poll of its own that it had given up and that came late
			r.lost.Add(1)
		}
	case !errors.Is(err, client.ErrClosed):
		r.refusals.add(err)
		r.left(ctx, "connections were ended for good", err)
	}
}

// forConnections are the options of many connections.
func (r *runner) forConnections() client.Options {
	o := r.o.Client
	o.BufferBytes = r.o.bufferBytes()
	return o
}

// closeAll takes leave of the server with every connection.
func (r *runner) closeAll() {
	r.closing.Store(true)
	r.gate.open()
	r.mu.Lock()
	left := r.clients
	r.clients = nil
	r.mu.Unlock()
	each(r.o.Handshakes, len(left), func(i int) { r.closeClient(left[i]) })
}

// each calls do for 0 to n-1, so many at a time.
func each(atOnce, n int, do func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(atOnce, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

// closeClient closes a client that has nothing under way that matters.
func (r *runner) closeClient(cl *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = cl.Close(ctx)
}

// gate keeps connections from being begun while it is shut. The zero value is open.
type gate struct {
	mu   sync.Mutex
	shut chan struct{} // closed when it opens
}

func (g *gate) pass(ctx context.Context) error {
	g.mu.Lock()
	shut := g.shut
	g.mu.Unlock()
	if shut == nil {
		return nil
	}
	select {
	case <-shut:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// pacer says when the next of something is due that happens at a rate, whoever does it.
type pacer struct {
	r     *runner
	began time.Duration
	end   time.Duration // nothing is due from here on; 0: without an end
	next  atomic.Int64
}

// wait returns when the next one is due, with the moment at which it was: it may have passed. Without a rate it is due now. ok is false when there is no further one.
func (p *pacer) wait(ctx context.Context) (due time.Duration, ok bool) {
	if p.r.o.Rate == 0 {
		return p.r.now(), ctx.Err() == nil
	}
	n := p.next.Add(1) - 1
	due = p.began + time.Duration(float64(n)*float64(time.Second)/float64(p.r.o.Rate))
	if p.end > 0 && due >= p.end {
		return due, false
	}
	return due, pause(ctx, due-p.r.now())
}
