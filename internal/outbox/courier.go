package outbox

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	// concurrency is how many requests of rounds are under way to an endpoint at once, visitors how many of visits to parked channels.
	concurrency = 8
	visitors    = 4
	// A round takes a page of the log.
	pageEvents = 256
	pageBytes  = 1 << 20
	// DefaultLife is how old an event becomes that an endpoint does not take.
	DefaultLife = 24 * time.Hour
	// lastTries is how often an event is tried that is older than that, unless everything has failed for so long.
	lastTries = 5
	// quiet is after how long without success the next one has everything parked tried at once, and after how long without a failure the next one is logged.
	quiet = 10 * time.Second
	// lastWords is how long requests that are under way have to end when a courier stops.
	lastWords = 3 * time.Second
	// storePatience is the wait after the log could not be read or written.
	storePatience = 2 * time.Second
)

// courier brings the events of an app to one endpoint. Its rounds read the log on from the cursor and send each channel's events in order. What fails is parked, and its
// visitors try that again. See DESIGN.md.
type courier struct {
	app      string
	endpoint Endpoint
	log      Log
	logger   *slog.Logger
	meter    Meter
	life     time.Duration
	post     func(context.Context, []record) *failure

	news  chan struct{} // there may be something for a round: an event, or room to park
	visit chan struct{} // there may be something for the visitors

	mu       sync.Mutex
	progress *progress
	skipped  int // records that were not for the endpoint since progress was kept
	status   health

	exhuming sync.Mutex // held while dead letters are taken from their list
	keeping  sync.Mutex // held while progress is being kept, so that what is kept last is the newest
}

// health is what is remembered of how an endpoint does, since the process began.
type health struct {
	lastSuccess, lastFailure time.Time
	reason                   string // of the last failure
	behind                   int64  // when the oldest event of the round that goes on came into the log, in Unix milliseconds; 0: none does
}

func newCourier(app string, e Endpoint, o *Options, post func(context.Context, []record) *failure) *courier {
	return &courier{
		app: app, endpoint: e, log: o.Log, logger: o.Logger.With("app", app, "webhook", e.Name), meter: o.Meter, life: o.Life, post: post,
		news: make(chan struct{}, 1), visit: make(chan struct{}, 1),
	}
}

// poke puts something into a channel that holds one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run works until stop ends. Requests that are under way then may end, until abort does.
func (c *courier) run(stop, abort context.Context) {
	for !c.loaded() {
		if !wait(stop, storePatience, nil) {
			return
		}
		c.load(stop)
	}
	var working sync.WaitGroup
	for range visitors {
		working.Go(func() { c.visitAll(stop, abort) })
	}
	c.rounds(stop, abort)
	working.Wait()
	if err := c.keep(abort); err != nil {
		c.logger.Warn("keep how far the webhook has got; some events will be sent again", "error", err)
	}
}

// wait waits for a time, or until something comes; false: until ctx has ended.
func wait(ctx context.Context, d time.Duration, or <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-or:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// load reads how far the endpoint has got, if the log lets it. One that is new begins at the end, and that is kept.
func (c *courier) load(ctx context.Context) {
	p, err := c.kept(ctx)
	if err != nil {
		c.logger.Error("read how far the webhook has got", "error", err)
		return
	}
	c.mu.Lock()
	c.progress = p
	c.mu.Unlock()
	c.settled(ctx)
}

func (c *courier) loaded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.progress != nil
}

func (c *courier) kept(ctx context.Context) (*progress, error) {
	page, err := c.log.Read(ctx, progressChannel(c.app, c.endpoint.Name), hub.Query{Last: 1, Limit: 1, Keep: progressKeep})
	if err != nil {
		return nil, err
	}
	if len(page.Messages) > 0 {
		p, err := readProgress(page.Messages[0].Data)
		if err == nil {
			return p, nil
		}
		c.logger.Error("what is kept of the webhook cannot be read; it begins anew, at the newest event", "error", err)
	}
	head, err := c.log.Head(ctx, eventsOf(c.app), hub.Retention{})
	return &progress{Epoch: head.Epoch, Offset: head.Offset, taken: head.Offset}, err
}

// keep stores how far the endpoint has got, and returns when that is durable.
func (c *courier) keep(ctx context.Context) error {
	c.keeping.Lock()
	defer c.keeping.Unlock()
	c.mu.Lock()
	data, err := json.Marshal(c.progress)
	c.skipped = 0
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return appendAll(ctx, c.log, hub.Entry{Message: &hub.Message{Channel: progressChannel(c.app, c.endpoint.Name), OwnID: true, Data: data}, Keep: progressKeep})
}

// settled keeps the progress, or says why not: then some of what the endpoint has will be sent again after a start.
func (c *courier) settled(ctx context.Context) {
	if err := c.keep(ctx); err != nil && ctx.Err() == nil {
		c.logger.Error("keep how far the webhook has got", "error", err)
	}
}

// succeeded notes that the endpoint has taken events.
func (c *courier) succeeded(events int, took time.Duration) {
	c.meter.Sent(c.app, c.endpoint.Name, events, took)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.status.lastSuccess) > quiet {
		c.revive(now)
	}
	c.status.lastSuccess, c.progress.Failing = now, 0
}

// revive has everything that is parked tried at once: the endpoint is back. Called with mu held.
func (c *courier) revive(now time.Time) {
	for _, k := range c.progress.Parked {
		k.due, k.inRow = now, 0
	}
	poke(c.visit)
}

// failed notes that it has not.
func (c *courier) failed(why *failure) {
	c.meter.Failed(c.app, c.endpoint.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.progress.Failing == 0 {
		c.progress.Failing = now.UnixMilli()
	}
	if now.Sub(c.status.lastFailure) > quiet {
		c.logger.Warn("the webhook fails", "reason", why.text)
	}
	c.status.lastFailure, c.status.reason = now, why.text
}

// send is post, noted.
func (c *courier) send(ctx context.Context, records []record) *failure {
	began := time.Now()
	why := c.post(ctx, records)
	switch {
	case why == nil:
		c.succeeded(len(records), time.Since(began))
	case ctx.Err() == nil: // what was given up says nothing of the endpoint
		c.failed(why)
	}
	return why
}
