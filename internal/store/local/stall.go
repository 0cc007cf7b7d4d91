package local

import "sync"

// stallAt is how much may wait to be flushed before appends wait for the disk, in full memtables.
const stallAt = 3

// firstMemtable is the size of Pebble's first memtable; each of the next has twice the size, up to Options.MemTableSize. It is known to no
// event, and Pebble flushes nothing before what waits has half of that: counting tables would wait for ever on small ones.
const firstMemtable = 256 << 10

// stall holds the committer back while memtables are made faster than they can be written out. Pebble would do that itself, but while a fence
// holds its flush it would hold the committer for ever, and channels in memory with it.
type stall struct {
	most int64 // a full memtable

	mu      sync.Mutex
	changed sync.Cond
	sizes   []int64 // of the memtables not yet flushed, the newest of which is being filled
	next    int64
	off     bool
}

// created counts a memtable that is begun.
func (s *stall) created() {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := min(max(s.next, firstMemtable), s.most)
	s.sizes, s.next = append(s.sizes, size), 2*size
}

// flushed counts the n oldest memtables out; a batch that is larger than a memtable counts as one of its own.
func (s *stall) flushed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = s.sizes[min(n, max(len(s.sizes)-1, 0)):] // one is always being filled
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
	for !s.off && s.waiting() > stallAt*s.most {
		s.changed.Wait()
	}
}

func (s *stall) waiting() (bytes int64) {
	for _, size := range s.sizes[:max(len(s.sizes)-1, 0)] {
		bytes += size
	}
	return bytes
}
