package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/latency"
)

// reader follows every channel with one client and records what it gets.
type reader struct {
	r      *runner
	name   string
	client *client.Client
	subs   map[string]*client.Subscription
	closed sync.Once
	stop   chan struct{}
	ended  chan struct{} // the dropper has ended

	// Of the client's reading goroutine until the client is closed.
	got    map[string]*Reader
	times  latency.Histogram
	faults int
}

// startReaders subscribes before anything is published, so that every reader has to get everything.
func (r *runner) startReaders(ctx context.Context) (all []*reader, err error) {
	for i := range r.o.Subscribers {
		cl, err := r.dial(ctx, 0)
		if err != nil {
			return all, err
		}
		s := &reader{
			r: r, name: fmt.Sprint("reader ", i), client: cl, subs: map[string]*client.Subscription{}, got: map[string]*Reader{},
			stop: make(chan struct{}), ended: make(chan struct{}),
		}
		all = append(all, s)
		go s.dropper()
		if err := s.subscribe(ctx); err != nil {
			return all, err
		}
	}
	return all, nil
}

func closeReaders(all []*reader) {
	for _, s := range all {
		s.closed.Do(func() {
			close(s.stop)
			<-s.ended
			closeNow(s.client)
		})
	}
}

func (s *reader) subscribe(ctx context.Context) error {
	for _, name := range s.r.channels {
		got := &Reader{Name: s.name, Channel: name}
		s.got[name] = got
		started := false
		sub, err := s.client.Subscribe(ctx, name, client.SubscribeOptions{}, func(e client.Event) {
			if joined, ok := e.(*client.Joined); ok && !started {
				got.Start, started = joined.Position, true
				return
			}
			s.handle(got, e)
		})
		if err != nil {
			return fmt.Errorf("subscribe to %q: %w", name, err)
		}
		s.subs[name] = sub
	}
	return nil
}

func (s *reader) handle(got *Reader, e client.Event) {
	switch e := e.(type) {
	case *client.Message:
		got.Events = append(got.Events, EventOf(e))
		s.r.received.Add(1)
		if sent, ok := latency.Stamped(e.Data); ok {
			s.times.Add(time.Since(s.r.began) - sent)
		}
	case *client.Reset:
		got.Events = append(got.Events, Event{Reset: e.Reason, Position: e.Position})
	case *client.Fault:
		switch {
		case e.Repeated:
			got.Events = append(got.Events, EventOf(e.Message)) // the client does not hand it on, but it came
		case e.Message == nil:
			s.faults++
		}
	}
}

// EventOf is what a reader records of a message.
func EventOf(m *client.Message) Event { return Event{ID: m.ID, Position: m.Position, Prev: m.Prev} }

// dropper breaks the connection now and then, at random times so that the readers do not do so together.
func (s *reader) dropper() {
	defer close(s.ended)
	if s.r.o.Drop <= 0 {
		return
	}
	for {
		select {
		case <-time.After(s.r.o.Drop/2 + rand.N(s.r.o.Drop)):
			s.client.Drop()
		case <-s.stop:
			return
		}
	}
}

// behind names the channels whose end the reader has not reached.
func (s *reader) behind(heads map[string]hub.Position) (names []string) {
	for name, sub := range s.subs {
		if at := sub.Position(); at.Epoch != heads[name].Epoch || at.Offset < heads[name].Offset {
			names = append(names, fmt.Sprintf("%s of %s is at %s, the channel at %s", s.name, name, at, heads[name]))
		}
	}
	return names
}

func (s *reader) records() (all []Reader) {
	for _, name := range s.r.channels {
		all = append(all, *s.got[name])
	}
	return all
}
