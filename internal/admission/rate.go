package admission

import (
	"net/netip"
	"sync"
	"time"
)

// rate lets events through at even distances (the generic cell rate algorithm): all it keeps is when the next one is due.
type rate struct{ due time.Time }

// wait books an event and says how long it has to wait: not at all for a burst of some. With a wait beyond most nothing is booked.
func (r *rate) wait(now time.Time, each time.Duration, burst int, most time.Duration) (wait time.Duration, ok bool) {
	due := r.due
	if due.Before(now) {
		due = now
	}
	due = due.Add(each)
	wait = due.Sub(now) - time.Duration(burst)*each
	if wait > most {
		return 0, false
	}
	r.due = due
	return max(wait, 0), true
}

// maxAddresses bounds what is remembered: about 5 MiB.
const maxAddresses = 1 << 16

// addresses counts what comes from each address.
type addresses struct {
	mu    sync.Mutex
	rates map[netip.Addr]rate
	swept time.Time
}

// allow says whether an address may begin another connection. One that is not remembered, as there are too many, may.
func (a *addresses) allow(from netip.Addr, now time.Time, each time.Duration, burst int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := block(from)
	r, there := a.rates[key]
	if !there && !a.room(now) {
		return true
	}
	_, ok := r.wait(now, each, burst, 0)
	a.rates[key] = r
	return ok
}

// room makes room for another address, by forgetting those that have been quiet; at most once a second, for it looks at all.
func (a *addresses) room(now time.Time) bool {
	if len(a.rates) < maxAddresses {
		return true
	}
	if now.Sub(a.swept) < time.Second {
		return false
	}
	a.swept = now
	for key, r := range a.rates {
		if !r.due.After(now) {
			delete(a.rates, key)
		}
	}
	return len(a.rates) < maxAddresses
}

// block is what one client can easily have of addresses: a /64 of IPv6.
func block(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is4() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
