package pusher

import (
	"fmt"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	countEvent = "pusher_internal:subscription_count"
	// Above so many subscribers a channel's count is told every countPause, and not at each change: else each who comes would cost as much as there are.
	manySubscribers = 100
	countPause      = 5 * time.Second
)

// counts remembers which channels have been told their count a moment ago.
type counts struct {
	mu      sync.Mutex
	resting map[hub.Channel]bool // true: it has changed since
}

// countChanged tells a channel how many follow it, if its app wants that. It is a message like any other, so that it needs no way of its own.
func (p *Protocol) countChanged(a *app, channel string, k kind) {
	if a.SubscriptionCount && !k.presence && !k.user {
		p.counts.tell(p, a, channel)
	}
}

func (c *counts) tell(p *Protocol, a *app, channel string) {
	now, err := p.Hub.Occupancy(a.server, channel)
	if err != nil {
		return
	}
	if now.Subscribers > manySubscribers && !c.rest(hub.Channel{App: a.ID, Name: channel}, func() { c.tell(p, a, channel) }) {
		return
	}
	p.Backends.SubscriptionCount(hub.Channel{App: a.ID, Name: channel}, now.Subscribers)
	if now.Subscribers == 0 {
		return
	}
	data := fmt.Appendf(nil, `{"subscription_count":%d}`, now.Subscribers)
	err = p.Hub.Publish(a.server, []hub.Publication{{Channels: []string{channel}, Event: countEvent, Data: data, Ephemeral: true}}, func([]hub.Result) {})
	if err != nil {
		p.Logger.Error("tell a subscription count", "channel", channel, "error", err)
	}
}

// rest lets a channel rest for countPause, and has again called if it has changed by then. False: it rests already.
func (c *counts) rest(ch hub.Channel, again func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, rests := c.resting[ch]; rests {
		c.resting[ch] = true
		return false
	}
	if c.resting == nil {
		c.resting = map[hub.Channel]bool{}
	}
	c.resting[ch] = false
	time.AfterFunc(countPause, func() {
		c.mu.Lock()
		changed := c.resting[ch]
		delete(c.resting, ch)
		c.mu.Unlock()
		if changed {
			again()
		}
	})
	return true
}
