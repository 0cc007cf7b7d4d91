package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/latency"
)

// publisherWindow is how many messages of a publisher may be unacknowledged.
const publisherWindow = 128

// publisher sends numbered messages; its client repeats each with the same id until it is answered.
type publisher struct {
	r      *runner
	number int
	client *client.Client
	closed sync.Once
	sent   int

	mu       sync.Mutex
	acked    []Acked
	times    latency.Histogram
	refused  int
	refusal  error
	answered int
}

func (r *runner) startPublishers(ctx context.Context) (all []*publisher, err error) {
	for i := range r.o.Publishers {
		cl, err := r.dial(ctx, publisherWindow)
		if err != nil {
			return all, err
		}
		all = append(all, &publisher{r: r, number: i, client: cl})
	}
	return all, nil
}

func closePublishers(all []*publisher) {
	for _, p := range all {
		p.flush(0)
	}
}

// flush waits for the answers at most so long, and closes the client.
func (p *publisher) flush(timeout time.Duration) {
	p.closed.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		_ = p.client.Close(ctx) // what was not answered is counted
	})
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context) {
	for ctx.Err() == nil && p.pace(ctx) {
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.refuse(err)
			return
		}
	}
}

// pace waits until the next message is due.
func (p *publisher) pace(ctx context.Context) bool {
	if p.r.o.Rate == 0 {
		return true
	}
	interval := time.Duration(float64(time.Second) * float64(p.r.o.Publishers) / float64(p.r.o.Rate))
	offset := interval * time.Duration(p.number) / time.Duration(p.r.o.Publishers)
	wait := time.Until(p.r.began.Add(offset + interval*time.Duration(p.sent)))
	if wait <= 0 {
		return true
	}
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}

func (p *publisher) publish(ctx context.Context) error {
	number := p.sent
	channel := p.r.channels[(p.number+number)%len(p.r.channels)]
	id := fmt.Sprintf("p%d-%d", p.number, number)
	since := time.Since(p.r.began)
	err := p.client.PublishAsync(ctx, client.Publication{Channel: channel, ID: id, Data: latency.Stamp(since, p.r.o.Size)}, func(a client.Ack, err error) {
		p.answer(Acked{channel, id, a.Position, p.number, number}, since, err)
	})
	if err == nil {
		p.sent++
	}
	return err
}

func (p *publisher) answer(a Acked, since time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, client.ErrClosed) {
		return // given up
	}
	p.answered++
	if err != nil {
		p.refuse(err)
		return
	}
	p.acked = append(p.acked, a)
	p.times.Add(time.Since(p.r.began) - since)
	p.r.acked.Add(1)
}

// refuse notes why a message was not published. p.mu is held.
func (p *publisher) refuse(err error) {
	p.refused++
	p.refusal = err
}

func (p *publisher) report(record *Record, res *Result) {
	record.Acked = append(record.Acked, p.acked...)
	res.Refused += p.refused
	res.Unanswered += p.sent - p.answered
	if p.refusal != nil {
		res.Refusal = p.refusal.Error()
	}
}
