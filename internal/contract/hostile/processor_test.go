package hostile

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// processor says how much of the time in which this process wanted a processor it had one. The tests run beside other things: what a bystander waits because the whole
// process does is nobody's attack. Threads of this process that wait for each other do not count as such, as Go runs no more of them than there are processors.
type processor struct{ run, wait atomic.Int64 }

// watch reads the kernel's account until ctx ends. Where there is none (not Linux) all time counts.
func (p *processor) watch(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if run, wait := account(); run > 0 {
			p.run.Store(run)
			p.wait.Store(wait)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// account is for how long threads of this process have run, and for how long they have waited for a processor, in nanoseconds (sched-stats.rst of the kernel).
func account() (run, wait int64) {
	threads, _ := filepath.Glob("/proc/self/task/*/schedstat") // the pattern is good
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		var r, w int64
		if _, err := fmt.Sscan(string(text), &r, &w); err == nil {
			run, wait = run+r, wait+w
		}
	}
	return run, wait
}

// own is the part of a time that was spent with a processor, given the account at its beginning.
func (p *processor) own(took time.Duration, run, wait int64) time.Duration {
	run, wait = p.run.Load()-run, p.wait.Load()-wait
	if run <= 0 || wait < 0 {
		return took
	}
	return time.Duration(float64(took) * float64(run) / float64(run+wait))
}
