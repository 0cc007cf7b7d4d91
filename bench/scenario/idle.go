//go:build linux

package scenario

import "time"

// Idle waits until the server's memory has settled, for so long, and tells how much of it each connection takes in user space. What the kernel holds for sockets is not in it.
func (r *Run) Idle(settle time.Duration) (Result, error) {
	if err := r.pumpFor(settle); err != nil {
		return Result{}, err
	}
	resident, err := r.Server.Resident()
	if err != nil {
		return Result{}, err
	}
	n := r.Crowd.Subscribers()
	return Result{Scenario: "idle", Connections: n, Seconds: settle.Seconds(), BytesEach: float64(resident-r.fresh) / float64(n), ResidentBytes: resident}, r.Crowd.Err()
}

// Connect opens all connections and tells how fast: until they are subscribed, where they subscribe.
func (r *Run) Connect() (Result, error) {
	m := r.measure(func() uint64 { return 0 })
	if err := r.Crowd.Connect(); err != nil {
		return Result{}, err
	}
	n := uint64(r.Crowd.Subscribers())
	m.counter = func() uint64 { return n }
	return m.end("connect"), nil
}
