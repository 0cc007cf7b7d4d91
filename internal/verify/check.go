package verify

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/snoserver/sno/internal/hub"
)

// evidencePerKind is how many violations of a kind are kept; the others are counted.
const evidencePerKind = 10

// Check compares what was acknowledged, received and stored.
func Check(r Record) Report {
	c := &checker{report: Report{Broken: map[Kind]int{}, Violations: []Violation{}}, channels: map[string]*channel{}}
	c.report.Acked = len(r.Acked)
	for i := range r.Channels {
		c.history(&r.Channels[i])
	}
	c.acks(r.Acked)
	for i := range r.Readers {
		c.reader(&r.Readers[i])
	}
	return c.report
}

type checker struct {
	report   Report
	channels map[string]*channel
}

// channel is what is known of a channel from all sides.
type channel struct {
	name  string
	acked []Acked
	// byID and at are what everybody must agree on: where a message is, and which message is at a position.
	byID map[string]hub.Position
	at   map[hub.Position]string
	// stored are the ids in the channel at the end, floor the position up to which retention may have removed messages; known if history was read.
	stored map[string]bool
	floor  hub.Position
	known  bool
}

func (c *checker) channel(name string) *channel {
	ch := c.channels[name]
	if ch == nil {
		ch = &channel{name: name, byID: map[string]hub.Position{}, at: map[hub.Position]string{}, stored: map[string]bool{}}
		c.channels[name] = ch
	}
	return ch
}

func (c *checker) broken(kind Kind, ch *channel, reader, id, format string, args ...any) {
	if c.report.Broken[kind]++; c.report.Broken[kind] > evidencePerKind {
		return
	}
	c.report.Violations = append(c.report.Violations, Violation{Promises[kind], kind, ch.name, reader, id, fmt.Sprintf(format, args...)})
}

// place notes that somebody saw a message at a position.
func (c *checker) place(ch *channel, who, id string, p hub.Position) {
	if other, seen := ch.byID[id]; !seen {
		ch.byID[id] = p
	} else if other != p {
		c.broken(KindDuplicate, ch, who, id, "%s has it at %s, but it was seen at %s before", who, p, other)
	}
	if other, seen := ch.at[p]; !seen {
		ch.at[p] = id
	} else if other != id {
		c.broken(KindDisagreement, ch, who, id, "%s has it at %s, where %q was seen before", who, p, other)
	}
}

// history takes what a channel holds at the end: the measure for what must not be lost.
func (c *checker) history(h *Channel) {
	ch := c.channel(h.Name)
	ch.known = true
	c.report.Stored += len(h.Events)
	ch.floor = hub.Position{Epoch: h.Head.Epoch}
	if len(h.Events) > 0 {
		ch.floor = hub.Position{Epoch: h.Events[0].Position.Epoch, Offset: h.Events[0].Prev}
	}
	c.sequence(ch, "history", ch.floor, h.Events)
	for _, e := range h.Events {
		ch.stored[e.ID] = true
	}
}

// mustHold says whether the channel has to hold what was at a position: it is not older than the oldest message kept. A position of another epoch
// than the channel's end is one that the log has lost.
func (ch *channel) mustHold(p hub.Position) bool {
	return ch.known && (p.Epoch != ch.floor.Epoch || p.Offset > ch.floor.Offset)
}

func (c *checker) acks(acked []Acked) {
	for _, a := range acked {
		ch := c.channel(a.Channel)
		ch.acked = append(ch.acked, a)
		c.place(ch, "the acknowledgement", a.ID, a.Position)
		if !ch.stored[a.ID] && ch.mustHold(a.Position) {
			c.broken(KindLost, ch, "", a.ID, "acknowledged at %s, and not in the channel at the end, which holds everything after %s", a.Position, ch.floor)
		}
	}
	for _, ch := range c.channels {
		c.publishers(ch)
	}
}

// publishers checks that the messages of each publisher have the order in which it sent them.
func (c *checker) publishers(ch *channel) {
	slices.SortStableFunc(ch.acked, func(a, b Acked) int {
		return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.Sequence, b.Sequence))
	})
	for i := 1; i < len(ch.acked); i++ {
		a, b := &ch.acked[i-1], &ch.acked[i]
		if a.Publisher == b.Publisher && a.Position.Epoch == b.Position.Epoch && a.Position.Offset >= b.Position.Offset && a.ID != b.ID {
			c.broken(KindPublisherOrder, ch, "", b.ID, "publisher %d sent it after %q, but it is at %s and the other at %s", b.Publisher, a.ID, b.Position, a.Position)
		}
	}
}

func (c *checker) reader(r *Reader) {
	ch := c.channel(r.Channel)
	got, excuses := c.sequence(ch, r.Name, r.Start, r.Events)
	for _, e := range r.Events {
		if e.Reset == "" && !ch.stored[e.ID] && ch.mustHold(e.Position) {
			c.broken(KindPhantom, ch, r.Name, e.ID, "%s got it at %s, and the channel does not hold it", r.Name, e.Position)
		}
	}
	c.report.Received += len(r.Events) - len(excuses)
	c.report.Resets += len(excuses)
	for i := range ch.acked {
		a := &ch.acked[i]
		if !got[a.ID] && !excused(a.Position, r.Start, excuses) {
			c.broken(KindMissed, ch, r.Name, a.ID, "acknowledged at %s, and %s did not get it, though no reset said so", a.Position, r.Name)
		}
	}
}

// excuse is a reset: a reader that stood at From goes on at To.
type excuse struct {
	from, to hub.Position
}

// excused says whether a reader that began at start may have missed the message at p.
func excused(p, start hub.Position, excuses []excuse) bool {
	if p.Epoch == start.Epoch && p.Offset <= start.Offset {
		return true
	}
	for i, e := range excuses {
		// A reader also misses an epoch that came and went while it was away.
		if e.covers(p) || e.from.Epoch != e.to.Epoch && !visited(p.Epoch, start, excuses[:i+1]) {
			return true
		}
	}
	return false
}

// covers says whether the reader may have missed the message at p because of this reset.
func (e excuse) covers(p hub.Position) bool {
	inTo := p.Epoch == e.to.Epoch && p.Offset <= e.to.Offset
	switch {
	case e.from.Epoch != e.to.Epoch:
		return inTo || p.Epoch == e.from.Epoch && p.Offset > e.from.Offset
	case e.from.Offset > e.to.Offset: // ahead: where it goes on, others may have written since
		return inTo
	default:
		return inTo && p.Offset > e.from.Offset
	}
}

func visited(epoch string, start hub.Position, excuses []excuse) bool {
	return epoch == start.Epoch || slices.ContainsFunc(excuses, func(e excuse) bool { return e.to.Epoch == epoch })
}

// sequence checks what somebody saw in the order in which it came: that it goes forward and each message follows the one before. It returns the ids and
// the resets.
func (c *checker) sequence(ch *channel, who string, at hub.Position, events []Event) (got map[string]bool, excuses []excuse) {
	got = make(map[string]bool, len(events))
	for _, e := range events {
		if e.Reset != "" {
			excuses = append(excuses, excuse{at, e.Position})
			at = e.Position
			continue
		}
		c.place(ch, who, e.ID, e.Position)
		switch {
		case got[e.ID]:
			c.broken(KindRepeated, ch, who, e.ID, "%s got it again at %s", who, e.Position)
			continue // the first one moved the cursor
		case e.Position.Epoch != at.Epoch:
			c.broken(KindGap, ch, who, e.ID, "%s got it at %s after %s: another epoch without a reset", who, e.Position, at)
		case e.Position.Offset <= at.Offset:
			c.broken(KindNotIncreasing, ch, who, e.ID, "%s got it at %s after %s", who, e.Position, at)
		case e.Prev > at.Offset:
			c.broken(KindGap, ch, who, e.ID, "%s got it at %s with prev %d after %s", who, e.Position, e.Prev, at)
		}
		got[e.ID] = true
		at = e.Position
	}
	return got, excuses
}
