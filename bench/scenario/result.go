//go:build linux

package scenario

import (
	"time"

	"github.com/snoserver/sno/bench/crowd"
)

// Result is one line of output.
type Result struct {
	Scenario      string  `json:"scenario"`
	Connections   int     `json:"connections"`
	InFlight      int     `json:"in_flight,omitempty"`
	Seconds       float64 `json:"seconds,omitempty"`
	Published     uint64  `json:"published,omitempty"`
	Count         uint64  `json:"count,omitempty"`          // deliveries, subscriptions or connections
	PerSecond     float64 `json:"per_second,omitempty"`     // of the clock
	PerCPUSecond  float64 `json:"per_cpu_second,omitempty"` // of the server's processor time
	ServerCores   float64 `json:"server_cores,omitempty"`
	ClientCores   float64 `json:"client_cores,omitempty"`
	P50           float64 `json:"p50_us,omitempty"`
	P99           float64 `json:"p99_us,omitempty"`
	P999          float64 `json:"p999_us,omitempty"`
	Lost          int64   `json:"lost,omitempty"`
	BytesEach     float64 `json:"bytes_per_connection,omitempty"`
	ResidentBytes int64   `json:"resident_bytes,omitempty"`
}

// Run is what scenarios work on.
type Run struct {
	Crowd   *crowd.Crowd
	Server  crowd.Processes
	Payload int  // bytes of a payload
	Spin    bool // look for events without sleeping, so that the client's waking up is not in the latency

	fresh int64 // the server's memory before the first connection
}

// New reads the server's memory, so it is called before the crowd connects.
func New(c *crowd.Crowd, server crowd.Processes, payload int) (*Run, error) {
	fresh, err := server.Resident()
	return &Run{Crowd: c, Server: server, Payload: payload, fresh: fresh}, err
}

// meter measures between two moments.
type meter struct {
	run           *Run
	begun         time.Time
	server, own   time.Duration
	count         uint64
	counter       func() uint64
	publishedThen uint64
}

// measure begins to count.
func (r *Run) measure(counter func() uint64) meter {
	return meter{r, time.Now(), r.Server.CPU(), crowd.OwnCPU(), counter(), counter, r.Crowd.Published()}
}

// end fills in what has been counted since.
func (m *meter) end(name string) Result {
	wall := time.Since(m.begun).Seconds()
	server, own := (m.run.Server.CPU() - m.server).Seconds(), (crowd.OwnCPU() - m.own).Seconds()
	n := m.counter() - m.count
	res := Result{
		Scenario: name, Connections: m.run.Crowd.Subscribers(), Seconds: wall, Count: n, Published: m.run.Crowd.Published() - m.publishedThen,
		PerSecond: float64(n) / wall, ServerCores: server / wall, ClientCores: own / wall,
	}
	if server > 0 {
		res.PerCPUSecond = float64(n) / server
	}
	return res
}

// latency fills in what the crowd's histogram says.
func (r *Run) latency(res *Result) {
	us := func(q float64) float64 { return float64(r.Crowd.Latency.Quantile(q)) / 1e3 }
	res.P50, res.P99, res.P999 = us(.5), us(.99), us(.999)
}

// pump handles events, or waits for them for a moment.
func (r *Run) pump(wait time.Duration) error {
	if r.Spin {
		wait = 0
	}
	return r.Crowd.Pump(wait)
}

// pumpFor handles events for so long.
func (r *Run) pumpFor(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := r.Crowd.Pump(min(left, 50*time.Millisecond)); err != nil {
			return err
		}
	}
}
