package outbox

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
)

// Status is how an endpoint does.
type Status struct {
	App      string
	Endpoint Endpoint // without secrets
	// Oldest is when the oldest event came into the log that the endpoint has not taken and that is not a dead letter; zero: it has all.
	Oldest time.Time
	// Parked is how many channels the endpoint has not taken an event of; the others go around it.
	Parked int
	// Dead is how many dead letters there are.
	Dead uint64
	// LastSuccess and LastFailure are of this process; zero: there was none. Reason is why the last request failed that did.
	LastSuccess, LastFailure time.Time
	Reason                   string
}

// Lag is how long the oldest event waits.
func (s *Status) Lag() time.Duration {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(time.Since(s.Oldest), 0)
}

// Status says how the endpoints of an app do, in the order of their names; those of all apps if it is empty.
func (x *Outbox) Status(ctx context.Context, app string) (all []Status, err error) {
	boxes := *x.boxes.Load()
	for _, id := range slices.Sorted(maps.Keys(boxes)) {
		if app != "" && app != id {
			continue
		}
		couriers := boxes[id].all()
		slices.SortFunc(couriers, func(a, b *running) int { return cmp.Compare(a.endpoint.Name, b.endpoint.Name) })
		for _, c := range couriers {
			s := c.state()
			kept, err := x.o.Log.Kept(ctx, deadChannel(id, c.endpoint.Name), deadKeep)
			if err != nil {
				return nil, err
			}
			s.Dead = kept.Messages
			all = append(all, s)
		}
	}
	return all, nil
}

// state is the status but for what only the log knows.
func (c *courier) state() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{App: c.app, Endpoint: c.endpoint, LastSuccess: c.status.lastSuccess, LastFailure: c.status.lastFailure, Reason: c.status.reason}
	s.Endpoint.Secrets = nil
	if c.progress == nil { // it has not been read yet
		return s
	}
	s.Parked = len(c.progress.Parked)
	oldest := c.progress.oldest()
	if b := c.status.behind; b != 0 && (oldest == 0 || b < oldest) {
		oldest = b
	}
	if oldest != 0 {
		s.Oldest = time.UnixMilli(oldest)
	}
	return s
}
