package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// rounds goes on with the log until stop ends.
func (c *courier) rounds(stop, abort context.Context) {
	for stop.Err() == nil {
		more, err := c.round(stop, abort)
		switch {
		case err != nil && stop.Err() == nil:
			c.logger.Error("read the events for the webhook", "error", err)
			wait(stop, storePatience, nil)
		case !more:
			select {
			case <-c.news:
			case <-stop.Done():
			}
		}
	}
}

// round sends what a page of the log has for the endpoint. When it ends each event of the page is settled or parked. more: there may be another page.
func (c *courier) round(stop, abort context.Context) (more bool, err error) {
	c.mu.Lock()
	from, full := c.progress.cursor(), len(c.progress.Parked) >= maxParked
	c.mu.Unlock()
	if full {
		return false, nil // until a visitor makes room
	}
	page, err := c.log.Read(stop, eventsOf(c.app), hub.Query{After: &from, Limit: pageEvents, Bytes: pageBytes, Keep: hub.Retention{}})
	if err != nil {
		return false, err
	}
	c.missed(&page)
	c.mu.Lock()
	c.progress.honour(&page)
	records := c.progress.take(page.Messages, c.endpoint.wants)
	end := c.progress.taken
	c.skipped += len(page.Messages) - len(records)
	if len(records) > 0 {
		c.status.behind = records[0].Logged
	}
	c.mu.Unlock()
	c.deliver(stop, abort, records)
	c.mu.Lock()
	c.progress.Offset = end
	c.status.behind = 0
	kept := len(records) == 0 && page.Reset == "" && c.skipped < pageEvents // not worth a write
	c.mu.Unlock()
	if !kept {
		c.settled(abort)
	}
	return page.More || len(page.Messages) > 0 && end < page.Messages[len(page.Messages)-1].Offset, nil
}

// missed tells of events that the log has let go before the endpoint had them.
func (c *courier) missed(page *hub.Page) {
	if page.Reset != "" {
		c.logger.Error("events were removed before the webhook had them; it goes on with the oldest that are kept", "reason", page.Reset, "from", page.Start)
		c.meter.Missed(c.app, c.endpoint.Name)
	}
}

// deliver sends the records of a round, those of a channel in order, and parks the channels of those that fail.
func (c *courier) deliver(stop, abort context.Context, records []record) {
	if c.endpoint.batch() > 1 {
		c.deliverBatches(stop, abort, records)
		return
	}
	slots := make(chan struct{}, concurrency)
	var sending sync.WaitGroup
	for _, of := range byChannel(records) {
		slots <- struct{}{}
		sending.Go(func() {
			defer func() { <-slots }()
			for i := range of {
				if !c.sendOrPark(stop, abort, of[i:i+1]) {
					return
				}
			}
		})
	}
	sending.Wait()
}

// sendOrPark sends records, or parks their channels from the first of each on if the endpoint does not take them or stop has ended.
func (c *courier) sendOrPark(stop, abort context.Context, records []record) (sent bool) {
	failures, due := 0, time.Now()
	if stop.Err() == nil {
		why := c.send(abort, records)
		if why == nil {
			return true
		}
		if abort.Err() == nil {
			failures, due = 1, due.Add(max(backoff(1), why.after))
		}
	}
	c.mu.Lock()
	for _, of := range byChannel(records) {
		c.progress.park(&of[0], failures, due)
	}
	c.mu.Unlock()
	poke(c.visit)
	return false
}

// deliverBatches sends records many at a time, in the order of the log. Of a batch that fails each channel is parked, so that what cannot be taken is found without
// holding up the rest.
func (c *courier) deliverBatches(stop, abort context.Context, records []record) {
	parked := map[string]bool{}
	for len(records) > 0 {
		var batch []record
		for size := 0; len(records) > 0 && len(batch) < c.endpoint.batch(); records = records[1:] {
			r := records[0]
			if parked[r.Channel] {
				continue
			}
			if size += len(r.Data); len(batch) > 0 && size > maxBatchBytes {
				break
			}
			batch = append(batch, r)
		}
		if len(batch) == 0 || c.sendOrPark(stop, abort, batch) {
			continue
		}
		for i := range batch {
			parked[batch[i].Channel] = true
		}
	}
}

// byChannel divides records by their channels, which are in the order of their first records.
func byChannel(records []record) (all [][]record) {
	index := map[string]int{}
	for _, r := range records {
		i, known := index[r.Channel]
		if !known {
			i = len(all)
			index[r.Channel] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], r)
	}
	return all
}
