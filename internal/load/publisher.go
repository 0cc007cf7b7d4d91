package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/latency"
	"github.com/snoserver/sno/internal/verify"
)

// publisher sends numbered messages to one channel after the other; its client repeats each with the same id until it is answered.
type publisher struct {
	r      *runner
	number int
	client *client.Client
	slots  chan struct{} // one for each message under way
	sent   int

	mu       sync.Mutex
	answered int
	hopeless bool // what was refused will be refused again
}

// forPublishers are the options of a publisher's connection.
func (r *runner) forPublishers(n int) client.Options {
	o := r.o.Client
	o.Window = r.o.inFlight()
	o.WindowBytes = o.Window * (r.o.Size + 1024)
	o.BufferBytes = min(max(min(o.WindowBytes, 64<<20/n), 4<<10), 64<<10)
	return o
}

// publishers connects so many of them. m counts the connections.
func (r *runner) publishers(ctx context.Context, n int, ramp time.Duration, m *meter) []*publisher {
	var mu sync.Mutex
	var all []*publisher
	r.open(ctx, n, ramp, r.forPublishers(n), m, func(i int, cl *client.Client) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, &publisher{r: r, number: i, client: cl, slots: make(chan struct{}, r.o.inFlight())})
	})
	return all
}

// publishing has everybody publish for so long, or until ctx ends, and waits for the answers.
func (r *runner) publishing(ctx context.Context, all []*publisher, d time.Duration) {
	timed, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	p := &pacer{r: r, began: r.now()}
	p.end = p.began + d
	r.meters["publish"].begin(p.began)
	r.meters["deliver"].begin(p.began)
	var running sync.WaitGroup
	for _, pub := range all {
		running.Go(func() { pub.run(timed, p) })
	}
	running.Wait()
	grace, cancel := r.grace(ctx)
	defer cancel()
	for _, pub := range all {
		running.Go(func() { pub.flush(grace) })
	}
	running.Wait()
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context, pace *pacer) {
	for {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		due, ok := pace.wait(ctx)
		if !ok || p.isHopeless() {
			return
		}
		if err := p.publish(ctx, (p.number+p.sent)%len(p.r.channels), due); err != nil {
			p.r.left(ctx, "publishers have stopped", err)
			return
		}
	}
}

// publish puts a message on its way for which there is a slot.
func (p *publisher) publish(ctx context.Context, channel int, due time.Duration) error {
	number := p.sent
	id := fmt.Sprintf("p%d-%d", p.number, number)
	m := client.Publication{Channel: p.r.channels[channel], ID: id, Data: latency.Stamp(due, p.r.o.Size)}
	err := p.client.PublishAsync(ctx, m, func(a client.Ack, err error) {
		p.answer(channel, verify.Acked{Channel: m.Channel, ID: id, Position: a.Position, Publisher: p.number, Sequence: number}, due, err)
		<-p.slots
	})
	if err == nil {
		p.sent++
	}
	return err
}

func (p *publisher) answer(channel int, a verify.Acked, due time.Duration, err error) {
	if errors.Is(err, client.ErrClosed) {
		return // given up
	}
	p.mu.Lock()
	p.answered++
	p.hopeless = p.hopeless || hopeless(err)
	p.mu.Unlock()
	if err != nil {
		p.r.refusals.add(err)
		p.r.left(context.Background(), "messages were refused", err)
		return
	}
	now := p.r.now()
	p.r.meters["publish"].add(p.number, now, now-due)
	p.r.acked(channel, a)
}

func (p *publisher) isHopeless() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hopeless
}

// hopeless says whether a message was refused for what it is and who sends it.
func hopeless(err error) bool {
	e, ok := errors.AsType[*hub.Error](err)
	return ok && slices.Contains([]hub.Code{hub.CodeForbidden, hub.CodeBadRequest, hub.CodeMessageTooLarge}, e.Code)
}

// acked takes an acknowledgement.
func (r *runner) acked(channel int, a verify.Acked) {
	r.mu.Lock()
	if h := &r.heads[channel]; a.Position.Epoch != h.Epoch || a.Position.Offset > h.Offset {
		*h = a.Position
	}
	r.mu.Unlock()
	if r.ledgers != nil {
		r.ledgers[channel].Acked(a)
	}
}

// flush waits for the answers until ctx ends, and closes the client.
func (p *publisher) flush(ctx context.Context) {
	err := p.client.Close(ctx)
	p.mu.Lock()
	missing := p.sent - p.answered
	p.mu.Unlock()
	p.r.mu.Lock()
	p.r.unanswered += missing
	p.r.mu.Unlock()
	for range missing {
		p.r.left(context.Background(), "messages have no answer", err)
	}
}
