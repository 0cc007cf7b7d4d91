package contract

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
)

// TestP4NoSilentGap drops connections while messages are published: what comes is a chain without a gap, up to the last message. The client checks the chain
// and reports every break of it.
func TestP4NoSilentGap(t *testing.T) {
	url, _ := serve(t)
	publisher := dial(t, url)
	const messages, readers = 3000, 5
	dropped := make(chan struct{})
	var followers []*follower
	for range readers {
		c := dial(t, url)
		followers = append(followers, follow(t, c, "c", client.SubscribeOptions{}))
		go func() {
			defer func() { dropped <- struct{}{} }()
			for range 10 {
				c.Drop()
				wait(time.Duration(rand.IntN(40)) * time.Millisecond)
			}
		}()
	}
	positions := publishN(t, publisher, "c", "m", messages)
	for range readers {
		next(t, "end of the drops", dropped)
	}
	for _, f := range followers {
		for i, want := range positions {
			if m := next(t, "message", f.messages); m.Position != want {
				t.Fatalf("message %d is at %v, want %v", i, m.Position, want)
			}
		}
		if len(f.resets) > 0 {
			t.Errorf("a reset came although all is kept: %+v", <-f.resets)
		}
	}
}

// wait is time between drops: it only makes them fall at different places, nothing depends on it.
func wait(d time.Duration) { <-time.After(d) }

// TestP4ResetsSayWhy resumes cursors that cannot be honoured: each is told why, and reads on at a place that it is told.
func TestP4ResetsSayWhy(t *testing.T) {
	ten := 10
	url, _ := serve(t, config.Rule{Pattern: "short", Messages: &ten}, config.Rule{Pattern: "memory", Store: "memory"})
	c := dial(t, url)
	short := publishN(t, c, "short", "m", 30)
	memory := publishN(t, c, "memory", "m", 3)
	for _, test := range []struct {
		name, channel string
		at            hub.Position
		reason        hub.Reset
		then          uint64 // the next message's offset; 0: none
	}{
		{"trimmed", "short", short[5], hub.ResetExpired, short[20].Offset},
		{"from another life", "memory", hub.Position{Epoch: "gone", Offset: 1}, hub.ResetEpoch, memory[0].Offset},
		{"from the future", "short", hub.Position{Epoch: short[29].Epoch, Offset: short[29].Offset + 1000}, hub.ResetAhead, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := follow(t, dial(t, url), test.channel, client.SubscribeOptions{After: &test.at})
			if r := next(t, "reset", f.resets); r.Reason != test.reason {
				t.Errorf("the reason is %q, want %q", r.Reason, test.reason)
			}
			if test.then == 0 {
				test.then = publishN(t, c, test.channel, "next", 1)[0].Offset
			}
			if m := next(t, "message", f.messages); m.Position.Offset != test.then {
				t.Errorf("reading goes on with %d, want %d", m.Position.Offset, test.then)
			}
		})
	}
}
