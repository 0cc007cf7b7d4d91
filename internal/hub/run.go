package hub

import "time"

// Run is a stretch of a channel's newest messages, as all sessions get it that are at the same place: made once, and encoded once. It belongs to a lane's goroutine.
type Run struct {
	channel  *live
	gen      uint64 // of the tail
	first    uint64 // the tail's entry it begins with, and the one after it
	next     uint64
	hold     uint64
	messages []*Message
	stored   uint64   // offset of the first message that is stored; 0: none is
	end      Position // of the last that is stored
	excludes bool     // some session is not to get some message
	cut      bool     // it ended for its size
	encoded  [formats]any
}

// runBytes is about how much a run has, by Message.Size; it has at least one message.
const runBytes = 64 << 10

// Messages are what the run has, in log order. They are shared, and so is the slice.
func (r *Run) Messages() []*Message { return r.messages }

// Encoded is what encode has made of the run for a format, at its first call.
func (r *Run) Encoded(f Format, encode func(*Run) any) any {
	if r.encoded[f] == nil {
		r.encoded[f] = encode(r)
	}
	return r.encoded[f]
}

// PullRun is Pull for a session that has nothing to get but the next messages of one channel, from its tail: the usual case, and a crowd gets the same run. nil: Pull
// says what there is. more is as for Pull. It is for the goroutine of the session's lane only.
func (s *Session) PullRun() (r *Run, more bool) {
	s.woken.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	hold := s.lane.watermark.Load() // before the mark is taken, as in Pull
	u := s.ready.Load()
	if u == nil || u.after != nil || s.lane.host == nil || s.busy() || !u.plain() || !s.ready.CompareAndSwap(u, nil) {
		return nil, false
	}
	u.marked.Store(false) // before the tail is looked at: what comes after that marks again
	r = s.lane.run(u, hold)
	if r == nil || r.excludes || r.stored > 0 && r.stored <= u.read.Offset {
		u.mark()
		return nil, false
	}
	u.index = r.next
	if r.stored > 0 {
		u.pos, u.read = r.end, r.end
	}
	if s.lane.tally.add(r, u.began); !s.lane.serving {
		s.lane.tally.tell(s.lane)
	}
	if r.cut {
		u.mark()
	}
	return r, s.ready.Load() != nil
}

// busy reports whether there is something besides the ready subscriptions. Called with mu held.
func (s *Session) busy() bool {
	return len(s.notices) > 0 || len(s.active) > 0 || len(s.due) > 0 || s.leaving != nil
}

// plain reports whether nothing is to be told of u but the messages of the tail, all of them, and to others too. Called with session.mu held.
func (u *subscription) plain() bool {
	return u.live.crowd.Load() > 1 && !u.gone && !u.active && !u.behind && u.index >= u.first && u.reset == "" && len(u.buf) == 0 && (!u.presence || u.checked && u.seen == u.live.presence.Load()) &&
		u.live.rule.Load().Deliver != DeliverLatest
}

// run is the run that begins where u is, or nil if there is none up to hold in the tail.
func (l *lane) run(u *subscription, hold uint64) *Run {
	for _, r := range l.runs {
		if r != nil && r.first == u.index && r.channel == u.live && r.hold == hold && r.gen == u.gen {
			return r
		}
	}
	r := u.live.run(u.gen, u.index, hold)
	if r != nil && l.serving { // between two rounds nobody else gets it
		l.runs[l.nextRun] = r
		l.nextRun = (l.nextRun + 1) % len(l.runs)
	}
	return r
}

func (l *live) run(gen, first, hold uint64) *Run {
	l.mu.RLock()
	defer l.mu.RUnlock()
	t := &l.tail
	if gen != t.gen || first < t.first {
		return nil
	}
	r := &Run{channel: l, gen: gen, first: first, next: first, hold: hold}
	for size := 0; r.next < t.next; r.next++ {
		m := t.at(r.next)
		if !m.Ephemeral && m.Offset > hold {
			break
		}
		if size += m.Size(); size > runBytes && len(r.messages) > 0 {
			r.cut = true
			break
		}
		r.messages = append(r.messages, m)
		r.excludes = r.excludes || m.Exclude != ""
		if !m.Ephemeral {
			r.end = m.Position()
			if r.stored == 0 {
				r.stored = m.Offset
			}
		}
	}
	if len(r.messages) == 0 {
		return nil
	}
	return r
}

// laneTally counts what the sessions of a stretch take: the meter is told of all that take the same at once.
type laneTally struct {
	run      *Run
	messages int
	live     bool // the messages of run are news to some session
}

func (t *laneTally) add(r *Run, began instant) {
	if t.run != r {
		t.run, t.live = r, false
	}
	t.messages += len(r.messages)
	t.live = t.live || r.messages[0].accepted > began
}

// tell hands the tally to the meter, and begins another. Of several runs the last is timed.
func (t *laneTally) tell(l *lane) {
	if t.messages == 0 {
		return
	}
	p := Pulled{Messages: t.messages}
	if t.live {
		now, run := l.now(), t.run.messages
		p.Live = len(run)
		p.Oldest = time.Duration(now - run[0].accepted)
		p.Newest = min(p.Oldest, time.Duration(now-run[len(run)-1].accepted)) // one of another process does not say
	}
	l.meter.Pulled(p)
	*t = laneTally{}
}
