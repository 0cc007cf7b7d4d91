package outbox

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// maxRecords is how many events go to the log at once.
const maxRecords = 256

// box is an app with webhooks: what it tracks, the events on their way into the log, and a courier for each endpoint.
type box struct {
	app     string
	o       *Options
	keep    atomic.Pointer[hub.Retention]
	tracker *tracker
	queue   queue
	wake    chan struct{}

	stop context.Context
	end  context.CancelFunc
	done chan struct{} // closed when the recorder has ended

	couriers atomic.Pointer[map[string]*running] // by the endpoint's name; replaced as a whole
	misses   misses

	complained atomic.Int64 // when complain has logged last, in Unix nanoseconds

	// The recorder's own.
	at                  hub.Position // the end of the log of events
	since, sinceBytes   int          // events since the last census
	lastCensus, penalty time.Time    // penalty: the log is not asked before
}

// running is a courier at work.
type running struct {
	*courier
	close func() // ends it, and returns when it has ended
}

func newBox(app string, o *Options) *box {
	b := &box{app: app, o: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	b.couriers.Store(&map[string]*running{})
	b.tracker = newTracker(o.Grace, func() { poke(b.wake) })
	b.stop, b.end = context.WithCancel(context.Background())
	return b
}

// record is the box's recorder: it puts what happens into the log, until the box ends.
func (b *box) record() {
	defer close(b.done)
	defer b.abandon()
	for !b.load() {
		if !wait(b.stop, storePatience, nil) {
			return
		}
	}
	for b.stop.Err() == nil {
		next, busy := b.step()
		if busy {
			continue
		}
		d := censusEvery
		if !next.IsZero() {
			d = min(d, time.Until(next))
		}
		wait(b.stop, d, b.wake)
	}
	b.finish()
}

// load begins with what the log says is there.
func (b *box) load() bool {
	told, head, err := readCensus(b.stop, b.o.Log, b.app)
	if err != nil {
		if b.stop.Err() == nil {
			b.o.Logger.Error("read which channels were occupied", "app", b.app, "error", err)
		}
		return false
	}
	b.at, b.lastCensus, b.since = head, time.Now(), 1
	b.tracker.begin(told, time.Now().Add(b.o.Return))
	b.o.Observe(b.app)
	return true
}

// step records what there is to record. busy: there may be more; else next is when there will be (zero: when the box is woken).
func (b *box) step() (next time.Time, busy bool) {
	if time.Now().Before(b.penalty) {
		return b.penalty, false
	}
	changes, next := b.tracker.take(maxRecords)
	events := b.queue.head(maxRecords)
	if len(changes)+len(events) > 0 {
		b.put(changes, events)
		return next, true
	}
	if due := b.lastCensus.Add(censusEvery); b.since > 0 && (b.since >= max(censusEvents, b.tracker.size()) || b.sinceBytes >= censusBytes || !time.Now().Before(due)) {
		b.census(b.stop)
	}
	return next, false
}

// put has the log take changes and events, in that order, and tells the couriers. What it does not take for now stays.
func (b *box) put(changes []change, events []record) {
	order := new(hub.Order)
	entries := make([]hub.Entry, 0, len(changes)+len(events))
	add := func(r *record) {
		m, err := r.message(b.app)
		if err != nil { // nothing in a record cannot be JSON
			m = &hub.Message{Channel: eventsOf(b.app), OwnID: true}
			b.o.Logger.Error("encode an event", "app", b.app, "error", err)
		}
		b.sinceBytes += len(m.Data)
		entries = append(entries, hub.Entry{Message: m, Keep: *b.keep.Load(), Order: order})
	}
	for _, c := range changes {
		add(&record{ID: c.id, Event: Event{Type: c.kind(), Channel: c.channel, Member: c.member}})
	}
	for i := range events {
		add(&events[i])
	}
	results, err := appended(context.Background(), b.o.Log, entries) // it answers, also when it closes
	if err != nil {
		return
	}
	b.took(changes, results)
	for _, c := range *b.couriers.Load() {
		poke(c.news)
	}
}

// took takes the log's word on what it was asked to take.
func (b *box) took(changes []change, results []hub.Result) {
	for i, c := range changes {
		b.tracker.recorded(c, results[i].Err == nil)
	}
	settled := 0
	for _, r := range results[len(changes):] {
		if hub.Retryable(r.Err) {
			break
		}
		if settled++; r.Err != nil {
			b.o.Meter.Unrecorded(b.app)
		}
	}
	b.queue.drop(settled)
	for _, r := range results {
		if r.Err == nil {
			b.at = r.Position
			b.since++
			continue
		}
		b.penalty = time.Now().Add(tryAgain)
		b.complain("store events for the webhooks", r.Err)
		return
	}
}

// complaints is how often an app's log says why events are not recorded: there may be thousands a second.
const complaints = 10 * time.Second

func (b *box) complain(what string, err error) {
	now := time.Now().UnixNano()
	if last := b.complained.Load(); now-last >= int64(complaints) && b.complained.CompareAndSwap(last, now) {
		b.o.Logger.Error(what, "app", b.app, "error", err)
	}
}

func (b *box) census(ctx context.Context) {
	b.lastCensus = time.Now() // also if it fails: then it is taken later
	if err := keepCensus(ctx, b.o.Log, b.app, b.tracker.told(), b.at); err != nil {
		if ctx.Err() == nil {
			b.o.Logger.Error("keep which channels are occupied", "app", b.app, "error", err)
		}
		return
	}
	b.since, b.sinceBytes = 0, 0
}

// finish stores what waits, if the log takes it, and what is there: the next process goes on with that.
func (b *box) finish() {
	for b.penalty = (time.Time{}); b.penalty.IsZero(); {
		events := b.queue.head(maxRecords)
		if len(events) == 0 {
			break
		}
		b.put(nil, events)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	b.census(ctx)
}

// abandon counts the events that have not been stored.
func (b *box) abandon() {
	for range b.queue.close() {
		b.o.Meter.Unrecorded(b.app)
	}
}

// all are the couriers.
func (b *box) all() []*running { return slices.Collect(maps.Values(*b.couriers.Load())) }

// wants says whether any endpoint wants an event.
func (b *box) wants(e *Event) bool {
	for _, c := range *b.couriers.Load() {
		if c.endpoint.wantsType(e.Type) && c.endpoint.wantsChannel(e.Channel) {
			return true
		}
	}
	return false
}
