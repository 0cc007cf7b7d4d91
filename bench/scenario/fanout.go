//go:build linux

package scenario

import (
	"errors"
	"math/rand/v2"
	"time"
)

// lostAfter is how long nothing is delivered before what is missing counts as lost: protocols that promise nothing drop messages under load.
const lostAfter = 1500 * time.Millisecond

// Fanout keeps a number of publishes in flight, for a while to warm up and then for so long, and tells how many deliveries the server makes in a second of its processor time.
// With channels of the subscribers' own each publish goes to a random one. Where there is never more than one publish in flight the measurement begins and ends between two of them,
// at most twice as long after its time, so that what the server has done and what has been counted is the same.
func (r *Run) Fanout(inFlight int, warm, long time.Duration) (Result, error) {
	c := r.Crowd
	flow := newFlow(r)
	m := r.measure(c.Delivered)
	begun, measuring := time.Now(), false
	for {
		t := time.Now()
		late := t.Sub(begun) - warm
		between := inFlight > 1 || flow.missing() == 0
		if !measuring && late >= 0 && (between || late >= long) {
			measuring, begun = true, t.Add(-warm)
			c.Latency.Reset()
			m = r.measure(c.Delivered)
		} else if measuring && late >= long && (between || late >= 3*long) {
			break
		}
		for flow.inFlight() < inFlight {
			if err := r.publish(); err != nil {
				return Result{}, err
			}
		}
		if err := r.pump(50 * time.Millisecond); err != nil {
			return Result{}, err
		}
		flow.observe(t)
	}
	name := "fanout"
	if c.Names() > 0 {
		name = "channels"
	}
	res := m.end(name)
	res.InFlight = inFlight
	r.latency(&res)
	return r.finish(res, flow)
}

// Rate publishes so many messages a second and tells the latency of their deliveries.
func (r *Run) Rate(perSecond float64, long time.Duration) (Result, error) {
	c := r.Crowd
	flow := newFlow(r)
	c.Latency.Reset()
	m := r.measure(c.Delivered)
	pause := time.Duration(float64(time.Second) / perSecond)
	for begun, n := time.Now(), 0; ; {
		passed := time.Since(begun)
		if passed >= long {
			break
		}
		wait := time.Duration(n)*pause - passed
		if wait <= 0 {
			n++
			if err := r.publish(); err != nil {
				return Result{}, err
			}
			continue
		}
		if err := r.pump(wait); err != nil {
			return Result{}, err
		}
	}
	res := m.end("rate")
	res, err := r.finish(res, flow)
	r.latency(&res) // with those that came late
	return res, err
}

// finish waits for what is still under way and counts what has been lost.
func (r *Run) finish(res Result, f *flow) (Result, error) {
	last, before := time.Now(), r.Crowd.Delivered()
	for f.missing() > 0 && time.Since(last) < 2*lostAfter {
		if err := r.Crowd.Pump(50 * time.Millisecond); err != nil {
			return res, err
		}
		if d := r.Crowd.Delivered(); d != before {
			last, before = time.Now(), d
		}
	}
	res.Lost = f.missing() + f.given
	err := r.Crowd.Err()
	if res.Count == 0 {
		err = errors.Join(err, errors.New("nothing was delivered"))
	}
	return res, err
}

// publish publishes one message.
func (r *Run) publish() error {
	channel := 0
	if n := r.Crowd.Names(); n > 0 {
		channel = rand.IntN(n)
	}
	return r.Crowd.Publish(channel, r.Payload)
}

// flow knows how many deliveries are still to come.
type flow struct {
	run                  *Run
	fan                  int64 // deliveries of a publish
	published, delivered uint64
	given                int64 // up as lost
	last                 time.Time
	seen                 uint64
}

func newFlow(r *Run) *flow {
	f := &flow{run: r, fan: 1, published: r.Crowd.Published(), delivered: r.Crowd.Delivered(), last: time.Now()}
	if r.Crowd.Names() == 0 {
		f.fan = int64(r.Crowd.Subscribers())
	}
	return f
}

// missing is how many deliveries are still to come.
func (f *flow) missing() int64 {
	return int64(f.run.Crowd.Published()-f.published)*f.fan - int64(f.run.Crowd.Delivered()-f.delivered) - f.given
}

// inFlight is how many publishes have not been delivered to all.
func (f *flow) inFlight() int { return int((f.missing() + f.fan - 1) / f.fan) }

// observe gives up what does not come any more.
func (f *flow) observe(t time.Time) {
	if d := f.run.Crowd.Delivered(); d != f.seen {
		f.seen, f.last = d, t
	} else if t.Sub(f.last) > lostAfter {
		f.given += f.missing()
		f.last = t
	}
}
