package contract

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/server"
)

const (
	patience = 60 * time.Second
	secret   = "a secret of the tests, of forty characters"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server in this process, with rules, and returns its URL and what stops it.
func serve(t *testing.T, rules ...config.Rule) (url string, stop func()) {
	t.Helper()
	cfg := config.Dev(filepath.Join(t.TempDir(), "messages"), secret)
	cfg.Listen = config.Addresses{"127.0.0.1:0"}
	cfg.Apps[0].Rules = rules
	s, err := server.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return s.URL(), stop
}

func dial(t *testing.T, url string) *client.Client {
	t.Helper()
	return dialWindow(t, url, 0)
}

// dialWindow connects with a window of so many unanswered requests; 0: the default.
func dialWindow(t *testing.T, url string, window int) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{URL: url, Key: "dev", Secret: secret, Window: window})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return c
}

// follower keeps what one subscription was given.
type follower struct {
	t        *testing.T
	messages chan *client.Message
	resets   chan *client.Reset
	presence chan *client.Presence
}

// follow subscribes; a fault that the client finds (a gap, a message twice) fails the test at once.
func follow(t *testing.T, c *client.Client, channel string, o client.SubscribeOptions) *follower {
	t.Helper()
	f := &follower{t: t, messages: make(chan *client.Message, 100_000), resets: make(chan *client.Reset, 100), presence: make(chan *client.Presence, 1000)}
	if _, err := c.Subscribe(t.Context(), channel, o, f.handle); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *follower) handle(e client.Event) {
	switch e := e.(type) {
	case *client.Message:
		f.messages <- e
	case *client.Reset:
		f.resets <- e
	case *client.Presence:
		f.presence <- e
	case *client.Fault:
		f.t.Errorf("%s", e.Text)
	}
}

func next[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s came", what)
		panic("not reached")
	}
}

// publishN publishes n messages with ids made of a prefix, in one go, and returns their positions.
func publishN(t *testing.T, c *client.Client, channel, prefix string, n int) []hub.Position {
	t.Helper()
	acks := make(chan client.Ack, n)
	for i := range n {
		p := client.Publication{Channel: channel, ID: fmt.Sprintf("%s-%d", prefix, i), Data: fmt.Appendf(nil, "%d", i)}
		err := c.PublishAsync(t.Context(), p, func(a client.Ack, err error) {
			if err != nil {
				t.Error(err)
			}
			acks <- a
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	positions := make([]hub.Position, n)
	for i := range positions {
		positions[i] = next(t, "acknowledgement", acks).Position
	}
	return positions
}

func publication(channel string, data []byte) client.Publication {
	return client.Publication{Channel: channel, Data: data}
}

func acked(to chan<- error) func(client.Ack, error) {
	return func(_ client.Ack, err error) { to <- err }
}
