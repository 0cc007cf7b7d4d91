package load

import (
	"sync"
	"time"

	"github.com/snoserver/sno/internal/latency"
)

// meter counts one step of a run from many goroutines: how often, how fast, and how long each took.
type meter struct {
	shards [16]meterShard

	mu    sync.Mutex
	began time.Duration // of the window that is open
	spent time.Duration // in the windows before
}

type meterShard struct {
	mu    sync.Mutex
	times latency.Histogram
	last  time.Duration
}

// begin opens the window in which the next ones fall: what was spent lasts from there to the last of them.
func (m *meter) begin(now time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spent += m.open()
	m.began = now
}

func (m *meter) open() time.Duration {
	last := time.Duration(0)
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		last = max(last, s.last)
		s.mu.Unlock()
	}
	return max(last-m.began, 0)
}

// add counts one that is done now and took so long. Who adds has a number, so that few meet.
func (m *meter) add(who int, now, took time.Duration) {
	s := &m.shards[who%len(m.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times.Add(took)
	s.last = max(s.last, now)
}

func (m *meter) count() (n int) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += s.times.Count()
		s.mu.Unlock()
	}
	return n
}

// step sums up.
func (m *meter) step() Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all latency.Histogram
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		all.Merge(&s.times)
		s.mu.Unlock()
	}
	step := Step{Count: all.Count(), Seconds: (m.spent + m.open()).Seconds(), Latency: all.Percentiles()}
	if step.Seconds > 0 {
		step.PerSecond = float64(step.Count) / step.Seconds
	}
	return step
}
