package local

import (
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	// Forgetting channels raises the floor where unknown channels begin, and whoever waits for the first message of an unknown channel then
	// gets a reset for nothing. So it is done seldom, not minute by minute.
	forgetEvery = 24 * time.Hour
	forgetMost  = 100_000 // at once; the rest another day
)

// lastForgot is when channels were last forgotten, in Unix milliseconds.
func (l *Log) lastForgot() (t int64) {
	in := l.inst.Load()
	_, _ = in.use(func() error {
		m, err := readMeta(in.db)
		t = m.floors.Time
		return err
	})
	return t
}

// forget removes the heads of channels that are still empty. What is left of them is the floor.
func (l *Log) forget(dead []hub.Channel, now int64) {
	for len(dead) > 0 {
		some := dead[:min(len(dead), sweepSlice)]
		dead = dead[len(some):]
		done := make(chan error, 1)
		ok := l.queue.command(func(c *committer) {
			c.forget(some, now)
			c.b.after = append(c.b.after, func(failed error) { done <- failed })
		})
		if !ok || <-done != nil {
			return
		}
	}
}

func (c *committer) forget(dead []hub.Channel, now int64) {
	if c.in.fence.failed() != nil {
		return
	}
	c.begin()
	floor := c.in.floor.Load()
	for _, ch := range dead {
		h, err := c.head(ch)
		if err != nil || h.cur.number == 0 || h.cur.count > 0 || now-h.cur.lastTime < c.l.o.ForgetAfter.Milliseconds() || h.cur.gone < h.cur.floor {
			continue
		}
		floor = max(floor, h.cur.last)
		c.b.pb.Delete(appendHeadKey(nil, ch), nil)
		c.b.forgotten = append(c.b.forgotten, h)
	}
	for _, h := range c.b.forgotten {
		h.cur = state{last: floor, floor: floor, gone: floor}
		h.saved = h.cur
		h.trim = trimQueue{}
	}
	c.in.floor.Store(floor)
	c.b.pb.Set(keyFloor, mustJSON(floors{Offset: floor, Time: now}), nil)
}
