package local

import "sync"

// stallAt is how many memtables may wait to be flushed before appends wait for the disk.
const stallAt = 4

// stall holds the committer back while memtables are made faster than they can be written out. Pebble would do that itself, but while a fence
// holds its flush it would hold the committer for ever, and channels in memory with it.
type stall struct {
	mu      sync.Mutex
	changed sync.Cond
	tables  int
	off     bool
}

func (s *stall) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tables = max(s.tables+n, 1) // one is always being filled
	s.changed.Broadcast()
}

// broken lets everybody through: the fence has closed.
func (s *stall) broken() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off = true
	s.changed.Broadcast()
}

func (s *stall) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.tables > stallAt && !s.off {
		s.changed.Wait()
	}
}
