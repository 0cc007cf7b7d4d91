package load

import (
	"context"
	"fmt"
	"sync"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/latency"
	"github.com/snoserver/sno/internal/verify"
)

// subscriber is one subscription of a connection.
type subscriber struct {
	r       *runner
	number  int
	channel int
	client  *client.Client
	cut     bool // in the newest storm; of the goroutine that makes it

	// Of the client's reading goroutine.
	follower *verify.Follower
	joined   bool
	returns

	mu sync.Mutex
	at hub.Position // of what was handled last. The subscription's own is ahead of that for a moment
}

func (s *subscriber) position() hub.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// subscribeTo subscribes a connection to a channel; nil if it was refused. due is when it was to begin.
func (r *runner) subscribeTo(ctx context.Context, number int, cl *client.Client, channel int) *subscriber {
	since := r.now()
	s := &subscriber{r: r, number: number, channel: channel, client: cl}
	timed, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	_, err := cl.Subscribe(timed, r.channels[channel], client.SubscribeOptions{}, s.handle)
	if err != nil {
		if ctx.Err() == nil {
			r.refusals.add(err)
		}
		r.left(ctx, "subscribes failed", err)
		return nil
	}
	now := r.now()
	r.meters["subscribe"].add(number, now, now-since)
	return s
}

// handle takes what comes.
func (s *subscriber) handle(e client.Event) {
	switch e := e.(type) {
	case *client.Joined:
		s.join(e)
		s.back()
		s.reads(e.Position)
	case *client.Message:
		now := s.r.now()
		if due, ok := latency.Stamped(e.Data); ok {
			s.r.meters["deliver"].add(s.number, now, now-due)
		}
		s.saw(verify.EventOf(e))
		s.reads(e.Position)
	case *client.Reset:
		s.r.resets.Add(1)
		s.saw(verify.Event{Reset: e.Reason, Position: e.Position})
		s.reads(e.Position)
	case *client.Fault:
		s.r.faults.Add(1)
		if e.Repeated { // the client does not hand it on, but it came
			s.saw(verify.EventOf(e.Message))
		}
	case *client.Ended:
		s.r.left(context.Background(), "subscriptions were ended", e.Err)
	}
}

func (s *subscriber) join(e *client.Joined) {
	if s.joined {
		return
	}
	s.joined = true
	if e.Latest {
		s.r.conflated.Store(true)
		return
	}
	if s.r.ledgers != nil {
		s.follower = s.r.ledgers[s.channel].Follow(fmt.Sprint("subscriber ", s.number), e.Position)
	}
}

func (s *subscriber) saw(e verify.Event) {
	if s.follower != nil {
		s.follower.Got(e)
	}
}

// reached says whether a cursor is where a channel ended.
func reached(at, head hub.Position) bool {
	return head == hub.Position{} || at.Epoch == head.Epoch && at.Offset >= head.Offset
}

// drain waits until every subscriber has got what was acknowledged.
func (r *runner) drain(ctx context.Context, all []*subscriber) {
	grace, cancel := r.grace(ctx)
	defer cancel()
	r.mu.Lock()
	heads := append([]hub.Position(nil), r.heads...)
	r.mu.Unlock()
	behind := all
	complete := until(grace, func() bool {
		var still []*subscriber
		for _, s := range behind {
			if !reached(s.position(), heads[s.channel]) {
				still = append(still, s)
			}
		}
		behind = still
		return len(behind) == 0
	})
	if complete {
		return
	}
	for _, s := range behind {
		r.left(context.WithoutCancel(ctx), "subscribers did not get all messages in time",
			fmt.Errorf("number %d is at %s, and %q ends at %s", s.number, s.position(), r.channels[s.channel], heads[s.channel]))
	}
}

// judge has the ledgers say what was broken.
func (r *runner) judge(subscribers int) {
	if !r.o.Verify {
		return
	}
	r.mu.Lock()
	unanswered := r.unanswered
	r.mu.Unlock()
	var reports []verify.Report
	acked, received := 0, 0
	for _, l := range r.ledgers {
		report := l.Finish(unanswered)
		acked, received = acked+report.Acked, received+report.Received
		reports = append(reports, report)
	}
	nothing := ""
	switch {
	case r.conflated.Load():
		nothing = `the channels' rule has deliver = "latest": who is behind gets only the newest message, and need not get every one`
	case acked == 0:
		nothing = "no message was acknowledged"
	case subscribers == 0:
		nothing = "nobody was subscribed"
	}
	v := &Verification{Checked: fmt.Sprintf("%d acknowledged messages, %d received by %d subscribers", acked, received, subscribers), Nothing: nothing}
	r.verified(v, "nothing lost, doubled or out of order", reports...)
}
