package wire

import (
	"sync"
	"time"
)

// Watch gives a sign of life every Heartbeat and looks Patience later what came of it. It costs no goroutine.
type Watch struct {
	beat  func()
	check func(asked time.Time) (goOn bool)

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// NewWatch starts a watch. Both functions are called one at a time, from goroutines of their own; after check returned false neither is.
func NewWatch(beat func(), check func(asked time.Time) (goOn bool)) *Watch {
	w := &Watch{beat: beat, check: check}
	w.after(Heartbeat, w.ask)
	return w
}

// Stop ends the watch. A call under way is not waited for.
func (w *Watch) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

func (w *Watch) after(d time.Duration, f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.timer = time.AfterFunc(d, f)
	}
}

func (w *Watch) ask() {
	asked := time.Now()
	w.beat()
	w.after(Patience, func() {
		if w.check(asked) {
			w.after(Heartbeat-Patience, w.ask)
		}
	})
}
