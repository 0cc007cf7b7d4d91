package local

import (
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

const (
	trimStep   = 4096 // messages that one step of a trim removes: appends wait for a step
	sweepSlice = 1024 // heads that are read at once
	sweepShare = 50   // a sweep rests so many times as long as it works
)

// trimming removes the messages of a channel up to an offset, and those too old, in steps between other batches.
type trimming struct {
	ch      hub.Channel
	through uint64
	limits  limits
	done    func(error)
	last    bool // all is removed; what is left is to delete it from disk
}

// step runs in the committer, and again when what it did is durable, until all is done.
func (t *trimming) step(c *committer) {
	if err := c.in.fence.failed(); err != nil {
		t.after(c, func() { t.done(c.l.refusal(err)) })
		return
	}
	h, err := c.head(t.ch)
	if err != nil {
		err = c.in.readError("trim "+t.ch.String(), err)
		t.after(c, func() { t.done(err) })
		return
	}
	if h.cur.number == 0 {
		t.after(c, func() { t.done(nil) })
		return
	}
	c.reap(h, 1)
	more, _, err := c.retain(h, t.limits, min(t.through, h.cur.last), trimStep)
	if err != nil {
		err = c.in.readError("trim "+t.ch.String(), err)
		t.after(c, func() { t.done(err) })
		return
	}
	again := more || !t.last && h.cur.floor > h.cur.gone
	t.last = !more
	c.reclaim()
	l := c.l
	c.b.after = append(c.b.after, func(failed error) {
		switch {
		case failed != nil:
			t.done(l.unavailable(failed))
		case !again:
			t.done(nil)
		case !l.queue.command(t.step):
			t.done(errClosed)
		}
	})
}

func (t *trimming) after(c *committer, f func()) {
	c.b.after = append(c.b.after, func(error) { f() })
}

func (l *Log) sweepLoop() {
	t := time.NewTicker(l.o.SweepEvery)
	defer t.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-t.C:
			l.sweep()
		}
	}
}

// sweep removes what has become too old in channels that nobody writes to, forgets channels that have been empty for long, and deletes ids whose time has come.
func (l *Log) sweep() {
	l.sweeps.Lock()
	defer l.sweeps.Unlock()
	now := l.o.Now().UnixMilli()
	for _, m := range l.memory {
		m.sweep(now)
	}
	l.sweepHeads(now)
	l.sweepIDs(now)
}

func (l *Log) sweepHeads(now int64) {
	forget := now-l.lastForgot() >= forgetEvery.Milliseconds()
	var dead []hub.Channel
	from := []byte{kindHead}
	for from != nil {
		began := time.Now()
		var due []*trimming
		var err error
		from, err = l.headSlice(from, func(ch hub.Channel, st state) {
			if st.count > 0 && st.age > 0 && st.oldest < now-st.age || st.gone < st.floor {
				due = append(due, &trimming{ch: ch, limits: limits{since: sinceOf(st.age, now)}})
			}
			if forget && st.count == 0 && now-st.lastTime >= l.o.ForgetAfter.Milliseconds() && len(dead) < forgetMost {
				dead = append(dead, ch)
			}
		})
		if err != nil {
			l.o.Logger.Error("store: sweep", "dir", l.o.Dir, "err", err)
			return
		}
		if !l.runTrims(due) || !l.rest(time.Since(began)) {
			return
		}
	}
	if len(dead) > 0 {
		l.forget(dead, now)
	}
}

func sinceOf(age, now int64) int64 {
	if age == 0 {
		return 0
	}
	return now - age
}

// rest keeps a sweep to a small share of a processor. False: the log is closing.
func (l *Log) rest(worked time.Duration) bool {
	t := time.NewTimer(min(worked*sweepShare, time.Second))
	defer t.Stop()
	select {
	case <-l.closing:
		return false
	case <-t.C:
		return true
	}
}

// headSlice calls do with some heads from a key on and returns the key to go on from, nil at the end. It holds no iterator
// meanwhile: one that is open keeps tables from being deleted.
func (l *Log) headSlice(from []byte, do func(hub.Channel, state)) (next []byte, err error) {
	in := l.inst.Load()
	_, err = in.use(func() error {
		it, err := in.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: []byte{kindHead + 1}})
		if err != nil {
			return err
		}
		defer it.Close()
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			if n++; n > sweepSlice {
				next = append([]byte{}, it.Key()...)
				return nil
			}
			v, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			st, err := parseState(v)
			ch, ok := parseHeadKey(it.Key())
			if err != nil || !ok {
				return errBadState
			}
			do(ch, st)
		}
		return it.Error()
	})
	return next, err
}

// runTrims runs them and waits. False: the log is closing.
func (l *Log) runTrims(due []*trimming) bool {
	done := make(chan error, len(due))
	for _, t := range due {
		t.done = func(err error) { done <- err }
		if !l.queue.command(t.step) {
			return false
		}
	}
	for range due {
		if err := <-done; err != nil {
			l.o.Logger.Error("store: sweep", "dir", l.o.Dir, "err", err)
		}
	}
	return true
}

// sweepIDs deletes the ids that have outlived their messages for long enough.
func (l *Log) sweepIDs(now int64) {
	for {
		var keys [][]byte
		in := l.inst.Load()
		_, err := in.use(func() error {
			it, err := in.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindStale}, UpperBound: appendStaleKey(nil, now, 0, idHash{})})
			if err != nil {
				return err
			}
			defer it.Close()
			for ok := it.First(); ok && len(keys) < sweepSlice; ok = it.Next() {
				keys = append(keys, append(append([]byte{}, it.Key()...), it.Value()...))
			}
			return it.Error()
		})
		if err != nil || len(keys) == 0 {
			return
		}
		done := make(chan error, 1)
		ok := l.queue.command(func(c *committer) {
			c.deleteIDs(keys)
			c.b.after = append(c.b.after, func(failed error) { done <- failed })
		})
		if !ok || <-done != nil {
			return
		}
	}
}

// deleteIDs takes stale keys with their values behind them.
func (c *committer) deleteIDs(stale [][]byte) {
	if c.in.fence.failed() != nil {
		return
	}
	c.begin()
	for _, k := range stale {
		key, offset := k[:staleKeyLen], k[staleKeyLen:]
		c.b.pb.Delete(key, nil)
		_, number, hash, ok := parseStaleKey(key)
		if !ok {
			continue
		}
		id := appendIDKey(nil, number, hash)
		// A message may have taken the id since, with its own entry under the same key.
		if v, err := getCopy(c.in.db, id); err == nil && v != nil {
			if f, err := parseFirst(v); err == nil && string(appendOffset(nil, f.offset)) == string(offset) {
				c.b.pb.Delete(id, nil)
			}
		}
	}
}
