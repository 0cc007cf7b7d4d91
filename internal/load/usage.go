package load

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/snoserver/sno/internal/latency"
)

// Usage is how much of its machine the client took while it measured.
type Usage struct {
	Cores int `json:"cores"`
	// CPUSeconds of this process, and its share of all cores, from 0 to 1.
	CPUSeconds float64 `json:"cpu_seconds"`
	CPUShare   float64 `json:"cpu_share"`
	// MachineShare is how busy the machine was, with everything that runs there; 0 where that is not known.
	MachineShare float64 `json:"machine_share,omitempty"`
	// Late is by how much a timer of 10 ms was late: what the client adds to the times that it measures.
	Late latency.Percentiles `json:"timer_late_ms"`
	// PeakBytes is the most memory that the process had (resident).
	PeakBytes int64 `json:"peak_memory_bytes"`
}

const (
	// busyShare is from when the client counts as the limit, and busyMachine the machine.
	busyShare   = 0.85
	busyMachine = 0.95
	timerEvery  = 10 * time.Millisecond
)

// gauge measures the client itself.
type gauge struct {
	stop, stopped chan struct{}

	mu       sync.Mutex
	began    reading
	late     latency.Histogram
	measured bool
	result   Usage
}

// reading is the clocks at one moment.
type reading struct {
	at            time.Time
	cpu           time.Duration
	busy, machine float64 // clock ticks of all cores; 0 where they are not known
}

func read() reading {
	r := reading{at: time.Now()}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err == nil {
		r.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	r.busy, r.machine = machineTicks()
	return r
}

func startGauge() *gauge {
	g := &gauge{stop: make(chan struct{}), stopped: make(chan struct{}), began: read()}
	go g.watch()
	return g
}

// watch sees how late a timer is.
func (g *gauge) watch() {
	defer close(g.stopped)
	for due := time.Now().Add(timerEvery); ; due = time.Now().Add(timerEvery) {
		select {
		case <-time.After(time.Until(due)):
			g.mu.Lock()
			g.late.Add(time.Since(due))
			g.mu.Unlock()
		case <-g.stop:
			return
		}
	}
}

// begin starts the measured part.
func (g *gauge) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.began, g.late = read(), latency.Histogram{}
}

// end ends the measured part; the first call counts.
func (g *gauge) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.measured {
		return
	}
	g.measured = true
	now := read()
	cores := runtime.GOMAXPROCS(0)
	u := Usage{Cores: cores, CPUSeconds: (now.cpu - g.began.cpu).Seconds(), Late: g.late.Percentiles()}
	if wall := now.at.Sub(g.began.at).Seconds(); wall > 0 {
		u.CPUShare = min(u.CPUSeconds/(wall*float64(cores)), 1)
	}
	if all := now.machine - g.began.machine; all > 0 {
		u.MachineShare = (now.busy - g.began.busy) / all
	}
	g.result = u
}

// close stops and gives what was measured.
func (g *gauge) close() Usage {
	close(g.stop)
	<-g.stopped
	g.end()
	g.result.PeakBytes = peakBytes()
	return g.result
}

// peakBytes is the largest resident size of the process so far.
func peakBytes() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" { // bytes there, kilobytes elsewhere
		return u.Maxrss
	}
	return u.Maxrss * 1024
}

// limit says whether the numbers are the client's own rather than the server's.
func (u *Usage) limit() string {
	switch {
	case u.CPUShare >= busyShare:
		return fmt.Sprintf("the client was the limit: it took %.0f %% of its %d cores. The server may carry more: run several clients, or one on a machine with more cores", 100*u.CPUShare, u.Cores)
	case u.MachineShare >= busyMachine:
		return fmt.Sprintf("this machine was the limit: it was %.0f %% busy, %.0f %% of it with this client. If the server runs here, they took the cores from each other: run the client on another machine",
			100*u.MachineShare, 100*min(u.CPUShare/u.MachineShare, 1))
	}
	return ""
}
