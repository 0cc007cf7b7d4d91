package outbox

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// testEvent is the type of an event that nothing has happened for, so that somebody can see whether an endpoint takes what is sent.
const testEvent = "test"

// Attempt is what came of a request.
type Attempt struct {
	Taken  bool
	Reason string // why it was not taken
	Took   time.Duration
}

// Try sends an endpoint an event of the type "test" at once and once, whatever waits for it, and says what came of that. It is a request like any other: signed, and to the same
// addresses. What is parked is tried at once if it is taken. The error is a *hub.Error if there is no such endpoint.
func (x *Outbox) Try(ctx context.Context, app, endpoint string) (Attempt, error) {
	c, err := x.courier(app, endpoint)
	switch {
	case err != nil:
		return Attempt{}, err
	case !c.loaded():
		return Attempt{}, hub.Errorf(hub.CodeUnavailable, "how far the webhook has got could not be read yet; the server's log says why")
	}
	began := time.Now()
	why := c.post(ctx, []record{{ID: rand.Text(), Time: began.UnixMilli(), Event: Event{Type: testEvent}}})
	a := Attempt{Taken: why == nil, Took: time.Since(began)}
	if why != nil { // that is no word on events: Failing stays as it is
		a.Reason = why.text
		return a, nil
	}
	c.succeeded(1, a.Took)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revive(time.Now())
	return a, nil
}
