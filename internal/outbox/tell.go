package outbox

import (
	"bytes"
	"crypto/rand"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// What only a protocol knows, it tells by these, through an interface of its own. None of them blocks, and where nobody wants to hear of it they cost a look-up.

// ClientEvent tells of an event that a client has sent to the others of a channel. data is one JSON value; member is who sent it, if that is known.
func (x *Outbox) ClientEvent(ch hub.Channel, name string, data []byte, session, member string) {
	x.tell(ch.App, Event{Type: ClientEvent, Channel: ch.Name, Name: name, Data: data, Session: session, Member: member})
}

// CacheMiss tells that somebody who came to a channel found nothing there of what new subscribers get. A crowd that finds the same is one event.
func (x *Outbox) CacheMiss(ch hub.Channel) {
	x.tell(ch.App, Event{Type: CacheMiss, Channel: ch.Name})
}

// SubscriptionCount tells how many follow a channel now.
func (x *Outbox) SubscriptionCount(ch hub.Channel, count int) {
	x.tell(ch.App, Event{Type: SubscriptionCount, Channel: ch.Name, Count: count})
}

// tell has an event stored, if an endpoint wants it.
func (x *Outbox) tell(app string, e Event) {
	b := (*x.boxes.Load())[app]
	if b == nil || !b.wants(&e) {
		return
	}
	if err := b.enqueue(e); err != nil {
		b.o.Meter.Unrecorded(app)
		b.complain("an event was not recorded for the webhooks", err)
	}
}

// enqueue has the recorder store an event.
func (b *box) enqueue(e Event) error {
	if err := e.check(); err != nil {
		return err
	}
	if e.Type == CacheMiss && !b.misses.first(e.Channel, time.Now()) {
		return nil
	}
	e.Data = bytes.Clone(e.Data) // its owner may use it again
	if err := b.queue.put(record{Event: e, ID: rand.Text()}); err != nil {
		return err
	}
	poke(b.wake)
	return nil
}

const (
	// missAgain is after how long a channel that is still empty is told of again.
	missAgain = 10 * time.Second
	// maxMisses bounds the channels that are remembered for it. Beyond, some are told of again sooner.
	maxMisses = 10_000
)

// misses remembers which channels have been told to be empty a moment ago.
type misses struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// first says whether a miss is to be told.
func (m *misses) first(channel string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, known := m.told[channel]; known && now.Sub(at) < missAgain {
		return false
	}
	if m.told == nil || len(m.told) >= maxMisses {
		m.told = map[string]time.Time{}
	}
	m.told[channel] = now
	return true
}
