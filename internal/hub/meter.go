package hub

import "time"

// Meter is told how the hub does. Its methods are called on the way of every message, some of them under locks: they are fast and do not block.
type Meter interface {
	// Published tells what became of the messages of one publish, took after it was accepted.
	Published(results []Result, took time.Duration)
	// Refused tells of a publish of n messages that was refused as a whole.
	Refused(n int, code Code)
	// Pulled tells what one Pull has taken.
	Pulled(Pulled)
	// Reset tells that a cursor could not be honoured.
	Reset(Reset)
}

// Pulled is what one Pull has taken.
type Pulled struct {
	// Messages is how many there were.
	Messages int
	// Live is how many of them are news: published in this process after their subscription began. What a client catches up on is none.
	Live int
	// Oldest and Newest are how long ago the first and the last of the Live were accepted, from the call of Publish on.
	Oldest, Newest time.Duration
}

type noMeter struct{}

func (noMeter) Published([]Result, time.Duration) {}
func (noMeter) Refused(int, Code)                 {}
func (noMeter) Pulled(Pulled)                     {}
func (noMeter) Reset(Reset)                       {}

// instant is a time of this process, counted from the start of its hub. 0 is none.
type instant int64

func (h *Hub) now() instant { return instant(max(1, time.Since(h.started))) }

// tally counts what one Pull takes. It costs the time of day once a Pull, not once a message.
type tally struct {
	messages, live int
	oldest, newest instant
}

func (t *tally) add(m *Message, began instant) {
	t.messages++
	if m.accepted <= began {
		return
	}
	if t.live++; t.live == 1 {
		t.oldest = m.accepted
	}
	t.newest = m.accepted
}

// tell hands the tally to the meter.
func (t *tally) tell(h *Hub) {
	if t.messages == 0 {
		return
	}
	p := Pulled{Messages: t.messages, Live: t.live}
	if t.live > 0 {
		now := h.now()
		p.Oldest, p.Newest = time.Duration(now-t.oldest), time.Duration(now-t.newest)
	}
	h.meter.Pulled(p)
}

// metered has the meter told of the results, before done gets them.
func (h *Hub) metered(accepted instant, done func([]Result)) func([]Result) {
	return func(r []Result) {
		h.meter.Published(r, time.Duration(h.now()-accepted))
		done(r)
	}
}

// messages is how many messages publications are, if they are well formed.
func messages(pubs []Publication) (n int) {
	for i := range pubs {
		n += max(1, len(pubs[i].Channels))
	}
	return n
}
