package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// DeadLetter is an event that an endpoint has not taken and that is not tried any more.
type DeadLetter struct {
	Offset   uint64 // its place in the list
	ID       string // of the event
	Time     time.Time
	Event    Event
	Failures int
	Reason   string // of the last failure
	Died     time.Time
}

// deadLetter is how the log has one. The type is the message's event.
type deadLetter struct {
	stored          // To, ID and Time are set
	Failures int    `json:"failures"`
	Reason   string `json:"reason"`
	Died     int64  `json:"died"` // in Unix milliseconds
}

func readDeadLetter(m *hub.Message) (d deadLetter, r record, err error) {
	if err = json.Unmarshal(m.Data, &d); err == nil {
		r = d.record(m.Event)
		err = r.check()
	}
	if err != nil {
		err = fmt.Errorf("dead letter %s: %w", m.Position(), err)
	}
	return d, r, err
}

// bury makes a dead letter of a record.
func (c *courier) bury(ctx context.Context, r *record, failures int, reason string) error {
	own := *r
	own.To = c.endpoint.Name
	data, err := json.Marshal(deadLetter{own.stored(), failures, reason, time.Now().UnixMilli()})
	if err != nil {
		return err
	}
	m := &hub.Message{Channel: deadChannel(c.app, c.endpoint.Name), Event: r.Type, Data: data}
	m.ID = r.ID + ":" + strconv.FormatUint(r.Offset, 10) // once, also if the server is killed now; and again if it is sent again and dies again
	if err := appendAll(ctx, c.log, hub.Entry{Message: m, Keep: deadKeep}); err != nil {
		return err
	}
	c.meter.Died(c.app, c.endpoint.Name)
	c.logger.Error("the webhook has not taken an event in time: it is a dead letter now", "event", r.ID, "type", r.Type, "failures", failures, "reason", reason)
	return nil
}

// DeadLetters lists an endpoint's dead letters whose place comes after an offset, the oldest first; more says that there are others behind them. The error is a
// *hub.Error if there is no such endpoint.
func (x *Outbox) DeadLetters(ctx context.Context, app, endpoint string, after uint64, limit int) (letters []DeadLetter, more bool, err error) {
	if _, err := x.courier(app, endpoint); err != nil {
		return nil, false, err
	}
	ch := deadChannel(app, endpoint)
	head, err := x.o.Log.Head(ctx, ch, deadKeep)
	if err != nil {
		return nil, false, err
	}
	page, err := x.o.Log.Read(ctx, ch, hub.Query{After: &hub.Position{Epoch: head.Epoch, Offset: min(after, head.Offset)}, Limit: limit, Bytes: pageBytes, Keep: deadKeep})
	if err != nil {
		return nil, false, err
	}
	for _, m := range page.Messages {
		letters = append(letters, letterOf(m))
	}
	return letters, page.More, nil
}

// DeadLetter returns the one of an event. The error is a *hub.Error if there is none.
func (x *Outbox) DeadLetter(ctx context.Context, app, endpoint, id string) (d DeadLetter, err error) {
	if _, err := x.courier(app, endpoint); err != nil {
		return d, err
	}
	_, err = each(ctx, x.o.Log, deadChannel(app, endpoint), nil, deadKeep, func(m *hub.Message) {
		if found := letterOf(m); found.ID == id {
			d = found
		}
	})
	if err == nil && d.Offset == 0 {
		err = errNoLetter
	}
	return d, err
}

var errNoLetter = hub.Errorf(hub.CodeNotFound, "there is no dead letter of that event; it may have been sent again or discarded")

// letterOf reads a dead letter. One that cannot be read says so, since whoever looks has to see it to discard it.
func letterOf(m *hub.Message) DeadLetter {
	d, r, err := readDeadLetter(m)
	if err != nil {
		d.Reason = err.Error()
	}
	return DeadLetter{Offset: m.Offset, ID: r.ID, Time: time.UnixMilli(r.Time), Event: r.Event, Failures: d.Failures, Reason: d.Reason, Died: time.UnixMilli(d.Died)}
}

// Resend has an endpoint's dead letters sent again, all (nil) or those of some events, and returns how many they are when that is stored. They come after what has happened since.
// The error is a *hub.Error if there is none of these events.
func (x *Outbox) Resend(ctx context.Context, app, endpoint string, ids []string) (n int, err error) {
	return x.exhume(ctx, app, endpoint, ids, true)
}

// Discard removes dead letters likewise.
func (x *Outbox) Discard(ctx context.Context, app, endpoint string, ids []string) (n int, err error) {
	return x.exhume(ctx, app, endpoint, ids, false)
}

// exhume takes dead letters from their list. Those that stay are put behind them before they are removed: whatever the server is killed in, none is lost,
// and some may be there, or be sent, twice.
func (x *Outbox) exhume(ctx context.Context, app, endpoint string, ids []string, resend bool) (n int, err error) {
	c, err := x.courier(app, endpoint)
	if err != nil {
		return 0, err
	}
	c.exhuming.Lock()
	defer c.exhuming.Unlock()
	var entries []hub.Entry
	var last uint64
	var failed error
	_, err = each(ctx, x.o.Log, deadChannel(app, endpoint), nil, deadKeep, func(m *hub.Message) {
		last = m.Offset
		_, r, err := readDeadLetter(m)
		chosen := ids == nil || slices.Contains(ids, r.ID)
		if err != nil {
			chosen = ids == nil && !resend // what cannot be read cannot be sent
		}
		if !chosen {
			again := &hub.Message{Channel: m.Channel, OwnID: true, Event: m.Event, Data: m.Data}
			entries = append(entries, hub.Entry{Message: again, Keep: deadKeep})
			return
		}
		n++
		if resend {
			again, err := r.message(app)
			failed = errors.Join(failed, err)
			entries = append(entries, hub.Entry{Message: again, Keep: x.keepOf(app)})
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return 0, err
	}
	if n == 0 && ids != nil {
		return 0, errNoLetter
	}
	if n == 0 {
		return 0, nil
	}
	for some := range slices.Chunk(entries, maxRecords) {
		if err := appendAll(ctx, x.o.Log, some...); err != nil {
			return 0, err
		}
	}
	poke(c.news)
	return n, x.o.Log.Trim(ctx, deadChannel(app, endpoint), last)
}
