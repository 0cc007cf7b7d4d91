package outbox

import (
	"context"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Log is where everything is kept. A hub.Log that is a hub.Lister is one.
type Log interface {
	Append(entries []hub.Entry, done func([]hub.Result))
	Read(ctx context.Context, ch hub.Channel, q hub.Query) (hub.Page, error)
	Head(ctx context.Context, ch hub.Channel, keep hub.Retention) (hub.Position, error)
	Trim(ctx context.Context, ch hub.Channel, through uint64) error
	Kept(ctx context.Context, ch hub.Channel, keep hub.Retention) (hub.Kept, error)
}

// The channels of an app where its webhooks are kept. No client can name them: they begin with a control character.
const (
	eventsChannel  = "\x01events"
	censusChannel  = "\x01census"
	progressPrefix = "\x01webhook:"
	deadPrefix     = "\x01dead:"
)

const (
	// DefaultBytes is how much is kept of an app's events unless configured.
	DefaultBytes = 256 << 20
	// logAge is how long they are kept at most: an event can be under way for DefaultLife from when it is read, and the server may be down before that.
	logAge = 3 * DefaultLife
	// Dead letters are kept so long and so many, the oldest go first.
	deadAge      = 30 * 24 * time.Hour
	deadMessages = 10_000
	deadBytes    = 64 << 20
)

var (
	progressKeep = hub.Retention{Messages: 1}
	deadKeep     = hub.Retention{Messages: deadMessages, Bytes: deadBytes, Age: deadAge}
)

func eventsOf(app string) hub.Channel { return hub.Channel{App: app, Name: eventsChannel} }
func censusOf(app string) hub.Channel { return hub.Channel{App: app, Name: censusChannel} }

func progressChannel(app, endpoint string) hub.Channel {
	return hub.Channel{App: app, Name: progressPrefix + endpoint}
}

func deadChannel(app, endpoint string) hub.Channel {
	return hub.Channel{App: app, Name: deadPrefix + endpoint}
}

// appended appends and waits for what became of the entries. If ctx ends first nobody knows.
func appended(ctx context.Context, log Log, entries []hub.Entry) ([]hub.Result, error) {
	done := make(chan []hub.Result, 1)
	log.Append(entries, func(r []hub.Result) { done <- r })
	select {
	case r := <-done:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// appendAll appends and returns when all is durable, or why it is not.
func appendAll(ctx context.Context, log Log, entries ...hub.Entry) error {
	results, err := appended(ctx, log, entries)
	for _, r := range results {
		if err == nil {
			err = r.Err
		}
	}
	return err
}

// each calls do for every message of a channel after a position, or from the oldest on, and returns the channel's head.
func each(ctx context.Context, log Log, ch hub.Channel, after *hub.Position, keep hub.Retention, do func(*hub.Message)) (hub.Position, error) {
	q := hub.Query{After: after, Limit: pageEvents, Bytes: pageBytes, Keep: keep}
	for {
		page, err := log.Read(ctx, ch, q)
		if err != nil {
			return hub.Position{}, err
		}
		for _, m := range page.Messages {
			do(m)
		}
		if !page.More {
			return page.Head, nil
		}
		at := page.Messages[len(page.Messages)-1].Position()
		q.After = &at
	}
}
