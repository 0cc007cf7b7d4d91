//go:build linux

package scenario

import (
	"errors"
	"fmt"
	"time"
)

// Subscribe has each connection ask for so many channels of its own, without waiting for answers, and tells how many subscriptions are confirmed in a second.
func (r *Run) Subscribe(each int) (Result, error) {
	c := r.Crowd
	names := make([]string, each)
	wanted := c.Subscriptions() + each*c.Subscribers()
	m := r.measure(func() uint64 { return uint64(c.Subscriptions()) })
	for i := range c.Subscribers() {
		for j := range names {
			names[j] = fmt.Sprintf("bench-%d-%d", i, j)
		}
		if err := c.Ask(i, names); err != nil {
			return Result{}, err
		}
		if err := c.Pump(0); err != nil { // answers to those before
			return Result{}, err
		}
	}
	for c.Subscriptions() < wanted {
		if err := errors.Join(r.pump(50*time.Millisecond), c.Err()); err != nil {
			return Result{}, err
		}
	}
	return m.end("subscribe"), nil
}
