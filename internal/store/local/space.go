package local

import (
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
)

const (
	spaceEvery = 50 * time.Millisecond // how often the disk is asked how much is free
	spaceParts = 16                    // and after so many parts of the reserve have been written
)

// space watches the free space of the disk, so that appends are refused while there is still room to flush, compact and delete:
// Pebble cannot clean up a disk that is full to the last byte.
type space struct {
	fs      vfs.FS
	dir     string
	reserve int64

	mu      sync.Mutex
	asked   time.Time
	written int64
	err     error
}

// check returns why nothing more may be written, or nil. more is how many bytes are about to be written.
func (s *space) check(more int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.written += int64(more)
	if now.Sub(s.asked) < spaceEvery && s.written < s.reserve/spaceParts {
		return s.err
	}
	s.asked, s.written = now, 0
	s.err = nil
	if u, err := s.fs.GetDiskUsage(s.dir); err == nil && int64(u.AvailBytes) < s.reserve {
		s.err = hub.Errorf(hub.CodeDiskFull, "the disk of %s has %d MiB left and %d MiB are kept in reserve; nothing was stored: free some space, "+
			"keep less (rules.keep), or move the directory", s.dir, u.AvailBytes>>20, s.reserve>>20)
	}
	return s.err
}

// low reports whether appends were refused when the disk was asked last.
func (s *space) low() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// diskTotal is the size of the disk, or one that lets all defaults be the largest if it cannot be known.
func diskTotal(fs vfs.FS, dir string) int64 {
	if u, err := fs.GetDiskUsage(dir); err == nil && u.TotalBytes < 1<<62 {
		return int64(u.TotalBytes)
	}
	return 1 << 62
}
