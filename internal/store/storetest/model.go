package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

// The model: for each channel the messages it keeps, in order, and where it ends.
type model struct {
	t        *rapid.T
	tb       testing.TB
	h        *Harness
	sink     *Collector
	channels []*modelChannel
	now      time.Duration // on the harness's clock, since the beginning
	next     int           // for new ids
}

type modelChannel struct {
	ch     hub.Channel
	keep   hub.Retention
	msgs   []*modelMessage // kept
	gone   []*modelMessage // removed, in order
	head   hub.Position
	known  []hub.Position // cursors that a client may have
	ids    map[string]hub.Result
	idTime map[string]time.Duration
}

type modelMessage struct {
	id     string
	offset uint64
	prev   uint64
	size   int64
	at     time.Duration
	ms     int64
}

// testModel does random things to a log and to the model, and compares all that can be seen.
func testModel(t *testing.T, open Opener) {
	rapid.Check(t, func(rt *rapid.T) {
		cleanup := &cleanups{TB: t}
		defer cleanup.run()
		sink := &Collector{}
		m := &model{t: rt, tb: t, sink: sink, h: open(cleanup, sink)}
		keeps := []hub.Retention{{}, {Messages: 3}, {Messages: 70}, {Bytes: 2000}, {Messages: 5, Bytes: 1600}}
		if m.h.Advance != nil {
			keeps = append(keeps, hub.Retention{Age: time.Minute}, hub.Retention{Age: time.Minute, Messages: 4})
		}
		stores := m.h.Stores
		if stores == nil {
			stores = []hub.Store{hub.StoreDisk, hub.StoreMemory}
		}
		for i := range 3 {
			keep := rapid.SampledFrom(keeps).Draw(rt, "keep")
			keep.Store = rapid.SampledFrom(stores).Draw(rt, "store")
			if keep.Store == hub.StoreNone {
				keep.Store = hub.StoreDisk
			}
			m.add(hub.Channel{App: "app", Name: fmt.Sprint(i)}, keep)
		}
		actions := map[string]func(*rapid.T){
			"append": m.append, "appendMany": m.appendMany, "repeat": m.repeat, "expect": m.expect, "after": m.after,
			"before": m.before, "last": m.last, "since": m.since, "oldest": m.oldest, "trim": m.trim, "": m.check,
		}
		if m.h.Advance != nil {
			actions["advance"] = m.advance
		}
		if m.h.Reopen != nil {
			actions["reopen"] = m.reopen
		}
		rt.Repeat(actions)
	})
}

// cleanups runs what a case of rapid's has to clean up when the case ends, not the test.
type cleanups struct {
	testing.TB
	fs []func()
}

func (c *cleanups) Cleanup(f func()) { c.fs = append(c.fs, f) }

func (c *cleanups) run() {
	for i := len(c.fs) - 1; i >= 0; i-- {
		c.fs[i]()
	}
}

func (m *model) add(ch hub.Channel, keep hub.Retention) {
	c := &modelChannel{ch: ch, keep: keep, ids: map[string]hub.Result{}, idTime: map[string]time.Duration{}}
	h, err := m.h.Log.Head(ctx, ch, keep)
	if err != nil {
		m.t.Fatalf("head: %v", err)
	}
	c.head = h
	c.known = []hub.Position{h}
	m.channels = append(m.channels, c)
}

func (m *model) channel(t *rapid.T) *modelChannel {
	return rapid.SampledFrom(m.channels).Draw(t, "channel")
}

func (m *model) newEntry(t *rapid.T, c *modelChannel) hub.Entry {
	m.next++
	e := entry(c.ch, c.keep, fmt.Sprintf("n%d", m.next))
	e.Message.Data = make([]byte, rapid.SampledFrom([]int{0, 1, 100, 500, 3000}).Draw(t, "size"))
	if e.Message.OwnID = rapid.Bool().Draw(t, "own"); e.Message.OwnID {
		e.Message.ID = ""
	}
	return e
}

// stored takes the result of a new message into the model.
func (m *model) stored(c *modelChannel, e hub.Entry, r hub.Result) {
	if r.Err != nil || r.Duplicate || r.Prev != c.head.Offset || r.Position.Offset <= c.head.Offset {
		m.t.Fatalf("%v: a new message got %+v (%v); the head was %v", c.ch, r, r.Err, c.head)
	}
	msg := &modelMessage{r.ID, r.Position.Offset, r.Prev, int64(e.Message.Size()), m.now, e.Message.Time}
	c.msgs = append(c.msgs, msg)
	c.head = r.Position
	c.known = append(c.known, r.Position)
	if !e.Message.OwnID {
		c.ids[r.ID], c.idTime[r.ID] = r, m.now
	}
	c.retain(m.now)
}

// retain removes what the channel does not keep.
func (c *modelChannel) retain(now time.Duration) {
	bytes := int64(0)
	for _, m := range c.msgs {
		bytes += m.size
	}
	k := c.keep
	for n := len(c.msgs); n > 0; n = len(c.msgs) {
		old := c.msgs[0]
		over := k.Messages > 0 && n > k.Messages || k.Bytes > 0 && bytes > k.Bytes && n > 1 || k.Age > 0 && old.at < now-k.Age
		if !over {
			return
		}
		bytes -= old.size
		c.remove()
	}
}

func (c *modelChannel) remove() {
	c.gone = append(c.gone, c.msgs[0])
	c.msgs = c.msgs[1:]
}

func (m *model) append(t *rapid.T) {
	c := m.channel(t)
	e := m.newEntry(t, c)
	m.stored(c, e, Append(m.tb, m.h.Log, e)[0])
}

func (m *model) appendMany(t *rapid.T) {
	var entries []hub.Entry
	var to []*modelChannel
	for range rapid.IntRange(2, 120).Draw(t, "n") {
		c := m.channels[m.next%len(m.channels)]
		m.next++
		e := entry(c.ch, c.keep, fmt.Sprintf("n%d", m.next))
		entries, to = append(entries, e), append(to, c)
	}
	for i, r := range Append(m.tb, m.h.Log, entries...) {
		m.stored(to[i], entries[i], r)
	}
}

// repeat sends an id again: it gets the first position while that is kept or not older than the window; never is one stored twice by then.
func (m *model) repeat(t *rapid.T) {
	c := m.channel(t)
	var some []string
	for id := range c.ids {
		if c.keeps(id) || m.now-c.idTime[id] < 9*time.Minute {
			some = append(some, id)
		}
	}
	if len(some) == 0 {
		t.Skip("no id")
	}
	id := some[0]
	for _, s := range some { // the map's order is not rapid's to repeat
		id = min(id, s)
	}
	r := Append(m.tb, m.h.Log, entry(c.ch, c.keep, id))[0]
	if first := c.ids[id]; r.Err != nil || !r.Duplicate || r.Position != first.Position || r.Prev != first.Prev {
		m.t.Fatalf("%v: the id %s again got %+v, first %+v", c.ch, id, r, first)
	}
}

func (c *modelChannel) keeps(id string) bool {
	for _, m := range c.msgs {
		if m.id == id {
			return true
		}
	}
	return false
}

func (m *model) expect(t *rapid.T) {
	c := m.channel(t)
	at := rapid.SampledFrom(c.known).Draw(t, "expected")
	e := m.newEntry(t, c)
	e.Expect = &at
	r := Append(m.tb, m.h.Log, e)[0]
	if at == c.head {
		m.stored(c, e, r)
	} else if e, ok := errors.AsType[*hub.Error](r.Err); !ok || e.Code != hub.CodeConflict {
		m.t.Fatalf("%v: expected at %v, the head is %v: %+v", c.ch, at, c.head, r)
	}
}

func (m *model) read(c *modelChannel, q hub.Query) hub.Page {
	q.Keep = c.keep
	c.retain(m.now)
	p, err := m.h.Log.Read(ctx, c.ch, q)
	if err != nil {
		m.t.Fatalf("%v: read %+v: %v", c.ch, q, err)
	}
	CheckPage(m.t, c.ch, q, p)
	if p.Head != c.head {
		m.t.Fatalf("%v: head %v, want %v", c.ch, p.Head, c.head)
	}
	return p
}

// want compares a page with the part of the channel's messages that it should hold.
func (m *model) want(c *modelChannel, p hub.Page, want []*modelMessage) {
	if len(p.Messages) != len(want) {
		m.t.Fatalf("%v: %d messages on the page, want %d", c.ch, len(p.Messages), len(want))
	}
	for i, w := range want {
		if g := p.Messages[i]; g.ID != w.id || g.Offset != w.offset || g.Prev != w.prev || g.Time != w.ms {
			m.t.Fatalf("%v: message %d is %q at %v after %d, want %q at %d after %d", c.ch, i, g.ID, g.Position(), g.Prev, w.id, w.offset, w.prev)
		}
	}
}

func limitOf(t *rapid.T) int { return rapid.SampledFrom([]int{1, 2, 10, 1000}).Draw(t, "limit") }

// forward checks a page that begins at the i-th message kept.
func (m *model) forward(c *modelChannel, p hub.Page, i, limit int) {
	end := min(len(c.msgs), i+limit)
	m.want(c, p, c.msgs[i:end])
	if p.More != (end < len(c.msgs)) {
		m.t.Fatalf("%v: more is %v", c.ch, p.More)
	}
}

func (m *model) oldest(t *rapid.T) {
	c, limit := m.channel(t), limitOf(t)
	m.forward(c, m.read(c, hub.Query{Limit: limit}), 0, limit)
}

func (m *model) after(t *rapid.T) {
	c, limit := m.channel(t), limitOf(t)
	at := rapid.SampledFrom(c.known).Draw(t, "cursor")
	p := m.read(c, hub.Query{After: &at, Limit: limit})
	i := 0
	if at.Epoch != c.head.Epoch {
		if p.Reset != hub.ResetEpoch {
			m.t.Fatalf("%v: cursor %v, epoch %v: reset %q", c.ch, at, c.head.Epoch, p.Reset)
		}
	} else {
		for i < len(c.msgs) && c.msgs[i].offset <= at.Offset {
			i++
		}
		want := hub.Reset("")
		if n := len(c.gone); n > 0 && c.gone[n-1].offset > at.Offset {
			want = hub.ResetExpired
		}
		if p.Reset != want {
			m.t.Fatalf("%v: cursor %v: reset %q, want %q", c.ch, at, p.Reset, want)
		}
	}
	m.forward(c, p, i, limit)
	if p.Reset != "" {
		again := m.read(c, hub.Query{After: &p.Start, Limit: limit})
		if again.Reset != "" {
			m.t.Fatalf("%v: reset to %v, and then again: %q", c.ch, p.Start, again.Reset)
		}
	}
}

func (m *model) before(t *rapid.T) {
	c, limit := m.channel(t), limitOf(t)
	at := rapid.SampledFrom(c.known).Draw(t, "before").Offset + uint64(rapid.IntRange(0, 1).Draw(t, "one more"))
	if at == 0 {
		t.Skip("0 is unset")
	}
	p := m.read(c, hub.Query{Before: at, Limit: limit})
	end := 0
	for end < len(c.msgs) && c.msgs[end].offset < at {
		end++
	}
	begin := max(0, end-limit)
	m.want(c, p, c.msgs[begin:end])
	if p.More != (begin > 0) {
		m.t.Fatalf("%v: more is %v before %d", c.ch, p.More, at)
	}
}

func (m *model) last(t *rapid.T) {
	c, limit := m.channel(t), limitOf(t)
	n := rapid.SampledFrom([]int{1, 2, 5, 50}).Draw(t, "last")
	p := m.read(c, hub.Query{Last: n, Limit: limit})
	m.forward(c, p, max(0, len(c.msgs)-n), limit)
}

func (m *model) since(t *rapid.T) {
	c, limit := m.channel(t), limitOf(t)
	c.retain(m.now)
	if len(c.msgs) == 0 {
		t.Skip("nothing is kept")
	}
	since := rapid.SampledFrom(c.msgs).Draw(t, "since").ms + int64(rapid.IntRange(0, 1).Draw(t, "one more"))
	p := m.read(c, hub.Query{Since: time.UnixMilli(since), Limit: limit})
	i := 0
	for i < len(c.msgs) && c.msgs[i].ms < since {
		i++
	}
	m.forward(c, p, i, limit)
}

func (m *model) trim(t *rapid.T) {
	c := m.channel(t)
	through := rapid.SampledFrom(c.known).Draw(t, "through").Offset
	if err := m.h.Log.Trim(ctx, c.ch, through); err != nil {
		m.t.Fatalf("trim: %v", err)
	}
	for len(c.msgs) > 0 && c.msgs[0].offset <= through {
		c.remove()
	}
}

func (m *model) advance(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 10 * time.Minute}).Draw(t, "d")
	m.h.Advance(d)
	m.now += d
}

func (m *model) reopen(*rapid.T) {
	m.h.Log = m.h.Reopen()
	for _, c := range m.channels {
		if c.keep.Store == hub.StoreDisk {
			continue
		}
		h, err := m.h.Log.Head(ctx, c.ch, c.keep)
		if err != nil || h.Epoch == c.head.Epoch {
			m.t.Fatalf("%v: in memory, and the head is %v (%v), was %v", c.ch, h, err, c.head)
		}
		c.msgs, c.gone, c.head = nil, nil, h
		c.known = append(c.known, h)
		clear(c.ids)
	}
}

// check runs after every action.
func (m *model) check(t *rapid.T) {
	for _, c := range m.channels {
		h, err := m.h.Log.Head(ctx, c.ch, c.keep)
		if err != nil || h != c.head {
			m.t.Fatalf("%v: the head is %v (%v), want %v", c.ch, h, err, c.head)
		}
	}
}
