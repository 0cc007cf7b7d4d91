package verify

import (
	"cmp"
	"slices"
	"sync"

	"github.com/snoserver/sno/internal/hub"
)

// Ledger checks one channel while messages come, for thousands of readers: each message is kept once, whoever got it, and a reader is little more than
// where it is. The chain of prev says that a reader has got everything up to there, and a count that the chain told the truth. Its methods may be called from
// any goroutine.
type Ledger struct {
	mu      sync.Mutex
	c       *checker
	ch      *channel
	epochs  map[string]*epoch
	acked   []Acked
	readers []*Follower
	// Of all that was acknowledged, for Finish.
	oldest, newest hub.Position
	oneEpoch       bool
}

// epoch holds what anybody got of one epoch, by offset.
type epoch struct{ entries []entry }

type entry struct {
	offset uint64
	id     string
}

// Follower is one subscription. Got is called for it by one goroutine at a time.
type Follower struct {
	l     *Ledger
	name  string
	start hub.Position
	// spans are the stretches that it read without a gap; the last one is where it is.
	spans   []span
	excuses []excuse
	late    map[hub.Position]bool // what came when it was not in the way any more
	hint    int                   // where its next message may be among the entries
}

// span is the messages after from up to to, of which got were counted.
type span struct {
	from, to hub.Position
	got      int
}

func (s *span) covers(p hub.Position) bool {
	return p.Epoch == s.to.Epoch && p.Offset > s.from.Offset && p.Offset <= s.to.Offset
}

// NewLedger makes one for the channel of that name.
func NewLedger(name string) *Ledger {
	c := &checker{report: Report{Broken: map[Kind]int{}, Violations: []Violation{}}, channels: map[string]*channel{}}
	return &Ledger{c: c, ch: c.channel(name), epochs: map[string]*epoch{}}
}

// Acked takes an acknowledged publish.
func (l *Ledger) Acked(a Acked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, a)
}

// Follow adds a reader of all that comes after start.
func (l *Ledger) Follow(name string, start hub.Position) *Follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := &Follower{l: l, name: name, start: start, spans: []span{{from: start, to: start}}}
	l.readers = append(l.readers, f)
	return f
}

// Got takes what came next: a message or a reset.
func (f *Follower) Got(e Event) {
	f.l.mu.Lock()
	defer f.l.mu.Unlock()
	here := &f.spans[len(f.spans)-1]
	if e.Reset != "" {
		f.excuses = append(f.excuses, excuse{here.to, e.Position})
		f.spans = append(f.spans, span{from: e.Position, to: e.Position})
		return
	}
	f.l.c.report.Received++
	f.place(e)
	at := here.to
	switch {
	case e.Position.Epoch != at.Epoch:
		f.broken(KindGap, e.ID, "%s got it at %s after %s: another epoch without a reset", f.name, e.Position, at)
		f.begin(hub.Position{Epoch: e.Position.Epoch, Offset: e.Prev}, e)
	case e.Position.Offset <= at.Offset:
		f.outOfTurn(e, at)
	case e.Prev > at.Offset:
		f.broken(KindGap, e.ID, "%s got it at %s with prev %d after %s", f.name, e.Position, e.Prev, at)
		f.begin(hub.Position{Epoch: e.Position.Epoch, Offset: e.Prev}, e)
	default:
		here.to = e.Position
		here.got++
	}
}

// begin takes the message behind a gap.
func (f *Follower) begin(from hub.Position, e Event) {
	f.spans = append(f.spans, span{from, e.Position, 1})
}

// outOfTurn takes a message that is not after the one before.
func (f *Follower) outOfTurn(e Event, at hub.Position) {
	if f.late[e.Position] || slices.ContainsFunc(f.spans, func(s span) bool { return s.covers(e.Position) }) {
		f.broken(KindRepeated, e.ID, "%s got it again at %s", f.name, e.Position)
		return
	}
	f.broken(KindNotIncreasing, e.ID, "%s got it at %s after %s", f.name, e.Position, at)
	if f.late == nil {
		f.late = map[hub.Position]bool{}
	}
	f.late[e.Position] = true
}

func (f *Follower) broken(kind Kind, id, format string, args ...any) {
	f.l.c.broken(kind, f.l.ch, f.name, id, format, args...)
}

// place notes a message, or compares it with what others got at its position.
func (f *Follower) place(e Event) {
	ep := f.l.epochs[e.Position.Epoch]
	if ep == nil {
		ep = &epoch{}
		f.l.epochs[e.Position.Epoch] = ep
	}
	if f.hint >= len(ep.entries) || ep.entries[f.hint].offset != e.Position.Offset {
		i, there := ep.find(e.Position.Offset)
		if !there {
			ep.entries = slices.Insert(ep.entries, i, entry{e.Position.Offset, e.ID})
		}
		f.hint = i
	}
	if other := ep.entries[f.hint].id; other != e.ID {
		f.broken(KindDisagreement, e.ID, "%s has it at %s, where %q was seen before", f.name, e.Position, other)
	}
	f.hint++
}

func (ep *epoch) find(offset uint64) (i int, there bool) {
	if n := len(ep.entries); n == 0 || ep.entries[n-1].offset < offset {
		return n, false
	}
	return slices.BinarySearchFunc(ep.entries, offset, func(e entry, offset uint64) int { return cmp.Compare(e.offset, offset) })
}

// Finish judges when nothing more comes. unanswered is how many publishes had no answer: as many messages may be there that were not acknowledged.
func (l *Ledger) Finish(unanswered int) Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.c.report.Acked = len(l.acked)
	l.c.acks(l.acked)
	l.acked = l.ch.acked
	l.bounds()
	l.everybody(unanswered)
	for _, f := range l.readers {
		l.c.report.Resets += len(f.excuses)
		f.counted()
		f.complete()
	}
	return l.c.report
}

// bounds finds between which positions everything was acknowledged.
func (l *Ledger) bounds() {
	l.oneEpoch = true
	for i, a := range l.acked {
		if i == 0 {
			l.oldest, l.newest = a.Position, a.Position
		}
		l.oneEpoch = l.oneEpoch && a.Position.Epoch == l.oldest.Epoch
		l.oldest.Offset, l.newest.Offset = min(l.oldest.Offset, a.Position.Offset), max(l.newest.Offset, a.Position.Offset)
	}
}

// everybody checks what all readers together got.
func (l *Ledger) everybody(unanswered int) {
	acked := map[string]bool{}
	for _, a := range l.acked {
		acked[a.ID] = true
		if !l.has(a.Position) && slices.ContainsFunc(l.readers, func(f *Follower) bool { return f.passed(a.Position) }) {
			l.c.broken(KindMissed, l.ch, "", a.ID, "acknowledged at %s, and nobody got it, though readers have got what comes after it", a.Position)
		}
	}
	strangers, example := 0, entry{}
	for name, ep := range l.epochs {
		for _, e := range ep.entries {
			l.c.place(l.ch, "a reader", e.id, hub.Position{Epoch: name, Offset: e.offset})
			if !acked[e.id] {
				strangers, example = strangers+1, e
			}
		}
	}
	if strangers > unanswered && len(l.readers) > 0 {
		l.c.broken(KindPhantom, l.ch, "", example.id, "%d messages came that were not acknowledged, and only %d publishes have no answer", strangers, unanswered)
	}
}

func (l *Ledger) has(p hub.Position) bool {
	ep := l.epochs[p.Epoch]
	if ep == nil {
		return false
	}
	_, there := ep.find(p.Offset)
	return there
}

// passed says whether the reader claims to have got what is at p.
func (f *Follower) passed(p hub.Position) bool {
	return f.late[p] || slices.ContainsFunc(f.spans, func(s span) bool { return s.covers(p) })
}

// counted compares each span with what others got there: a message that was left out together with its link in the chain is missed here.
func (f *Follower) counted() {
	for _, s := range f.spans {
		ep := f.l.epochs[s.to.Epoch]
		if ep == nil {
			continue
		}
		first, _ := ep.find(s.from.Offset + 1)
		end, _ := ep.find(s.to.Offset + 1)
		if there := end - first; s.got < there {
			f.broken(KindMissed, "", "%s got %d messages after %s up to %s, where others got %d", f.name, s.got, s.from, s.to, there)
		}
	}
}

// complete finds the acknowledged messages that the reader did not get. Those that are still before it are late, which is not the same.
func (f *Follower) complete() {
	if s := &f.spans[0]; len(f.spans) == 1 && f.l.oneEpoch && (len(f.l.acked) == 0 || s.covers(f.l.oldest) && s.covers(f.l.newest)) {
		return // as it should be: there may be thousands of readers
	}
	late := 0
	for i := range f.l.acked {
		switch a := &f.l.acked[i]; {
		case f.passed(a.Position) || excused(a.Position, f.start, f.excuses):
		case f.before(a.Position):
			late++
		default:
			f.broken(KindMissed, a.ID, "acknowledged at %s, and %s did not get it, though no reset said so; it is at %s", a.Position, f.name, f.at())
		}
	}
	if late > 0 {
		f.l.c.report.Behind++
	}
}

func (f *Follower) at() hub.Position { return f.spans[len(f.spans)-1].to }

// before says whether the reader may still come to p.
func (f *Follower) before(p hub.Position) bool {
	if at := f.at(); p.Epoch == at.Epoch {
		return p.Offset > at.Offset
	}
	return !slices.ContainsFunc(f.spans, func(s span) bool { return s.to.Epoch == p.Epoch })
}
