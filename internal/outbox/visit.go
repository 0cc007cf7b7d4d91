package outbox

import (
	"context"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// visitRequests is how many requests a visit makes before others that are due have their turn.
const visitRequests = 16

// visitAll visits parked channels when they are due, until stop ends.
func (c *courier) visitAll(stop, abort context.Context) {
	for stop.Err() == nil {
		k, due := c.claim()
		if k != nil {
			c.visitOne(stop, abort, k)
			continue
		}
		d := time.Hour
		if !due.IsZero() {
			d = time.Until(due)
		}
		if !wait(stop, d, c.visit) {
			return
		}
	}
}

// claim takes the parked channel whose visit is due, or says when there is one.
func (c *courier) claim() (k *parked, due time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, due = c.progress.next(time.Now())
	if k == nil {
		return nil, due
	}
	k.visiting = true
	if another, _ := c.progress.next(time.Now()); another != nil {
		poke(c.visit)
	}
	return k, due
}

// visitOne sends a parked channel's events until one fails, or there is none left. After a failure it begins with one by itself, and goes on with more at a time.
func (c *courier) visitOne(stop, abort context.Context, k *parked) {
	defer func() {
		c.mu.Lock()
		k.visiting = false
		c.mu.Unlock()
		poke(c.visit)
	}()
	size := 1
	for range visitRequests {
		if stop.Err() != nil {
			return
		}
		records, next, err := c.ahead(stop, k, size)
		if err != nil {
			c.logger.Error("read the events for the webhook", "error", err)
			c.postpone(k, storePatience)
			return
		}
		if len(records) > 0 {
			c.stands(k, &records[0])
			if why := c.send(abort, records); why != nil {
				c.retreat(abort, k, &records[0], why)
				return
			}
			size = min(2*size, c.endpoint.batch())
		}
		if c.advance(abort, k, next, len(records) > 0) {
			return
		}
	}
}

// ahead returns the next records of a parked channel, at most size of them, and the offset from which to go on behind them.
func (c *courier) ahead(ctx context.Context, k *parked, size int) (records []record, next uint64, err error) {
	c.mu.Lock()
	from, taken := hub.Position{Epoch: c.progress.Epoch, Offset: max(k.At, 1) - 1}, c.progress.taken
	c.mu.Unlock()
	page, err := c.log.Read(ctx, eventsOf(c.app), hub.Query{After: &from, Limit: pageEvents, Bytes: pageBytes, Keep: hub.Retention{}})
	if err != nil {
		return nil, 0, err
	}
	if page.Reset == hub.ResetExpired {
		c.missed(&page)
	}
	next = taken + 1
	if page.More {
		next = page.Messages[len(page.Messages)-1].Offset + 1
	}
	for _, m := range page.Messages {
		if m.Offset > taken {
			return records, taken + 1, nil
		}
		r, err := readRecord(m)
		if err != nil || r.Channel != k.Channel || !c.endpoint.wants(&r) {
			continue
		}
		records = append(records, r)
		if len(records) == size {
			return records, m.Offset + 1, nil
		}
	}
	return records, next, nil
}

// stands notes at which record a parked channel stands.
func (c *courier) stands(k *parked, r *record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.At != r.Offset {
		k.At, k.Failures, k.inRow = r.Offset, 0, 0
	}
	k.Time = r.Logged
}

// advance goes on behind what the endpoint has taken. It reports whether the channel is not parked any more.
func (c *courier) advance(ctx context.Context, k *parked, next uint64, sent bool) (unparked bool) {
	c.mu.Lock()
	if k.At = next; sent {
		k.Failures, k.inRow = 0, 0
	}
	unparked = c.progress.unpark(k)
	c.mu.Unlock()
	if unparked {
		poke(c.news) // there is room
	}
	if sent || unparked {
		c.settled(ctx)
	}
	return unparked
}

// postpone has a channel visited later.
func (c *courier) postpone(k *parked, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k.due = time.Now().Add(d)
}

// retreat has the channel wait for its next visit, or gives up the record that the endpoint has not taken.
func (c *courier) retreat(ctx context.Context, k *parked, r *record, why *failure) {
	if ctx.Err() != nil {
		return // it was not the endpoint that failed
	}
	now := time.Now()
	c.mu.Lock()
	k.Failures++
	k.inRow++
	k.due = now.Add(max(backoff(k.inRow), why.after))
	dead := c.isDead(k, now)
	failures := k.Failures
	c.mu.Unlock()
	if dead {
		if err := c.bury(ctx, r, failures, why.text); err != nil {
			c.logger.Error("keep a dead letter of the webhook; the event is tried again", "event", r.ID, "error", err)
			return
		}
		c.mu.Lock()
		k.At, k.Failures, k.inRow, k.due = r.Offset+1, 0, 0, now
		c.mu.Unlock()
	}
	c.settled(ctx)
}

// isDead says whether the event at which a parked channel stands is given up. Called with mu held.
func (c *courier) isDead(k *parked, now time.Time) bool {
	before := now.Add(-c.life).UnixMilli()
	if k.Time > before {
		return false
	}
	return k.Failures >= lastTries || c.progress.Failing != 0 && c.progress.Failing <= before
}
