package hook

import (
	"sync"
	"time"
)

const (
	// maxFailures in a row open the breaker,
	maxFailures = 5
	// for so long. Then one question goes through, and its outcome decides.
	openTime = 5 * time.Second
)

// breaker keeps questions from a backend that does not answer.
type breaker struct {
	mu       sync.Mutex
	failures int // in a row
	until    time.Time
	probing  bool // a question that was let through has no outcome yet
}

// allow says whether to ask. Who was allowed reports the outcome, once.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failures < maxFailures:
		return true
	case b.probing || time.Now().Before(b.until):
		return false
	}
	b.probing = true
	return true
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.probing = 0, false
}

func (b *breaker) failed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	if b.failures++; b.failures >= maxFailures {
		b.until = time.Now().Add(openTime)
	}
}

// gaveUp is the outcome of a question whose asker did not wait for the answer.
func (b *breaker) gaveUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}
