package local

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// frugal is Pebble's scheduler of compactions, but begins none while less than half of the reserve is free: a compaction that fills the disk
// fails, breaks the instance and leaves its half-made tables behind. Those that reclaim asks for are allowed: they make room.
// An instance behind a closed fence begins none at all: it would read tables that it has flushed to nowhere, and whose numbers the next instance has given to others.
type frugal struct {
	// The one without a goroutine of its own, whose name says that it is for tests: compactions are then begun when a flush or
	// another compaction ends, when one is asked for, and by grant.
	*pebble.ConcurrencyLimitScheduler
	tight      func() bool
	broken     func() error
	reclaiming atomic.Bool
	refused    atomic.Bool // one that was wanted, for lack of space

	mu     sync.Mutex // held while Pebble is called, so that it is not after Unregister
	db     pebble.DBForCompaction
	closed bool
}

func newFrugal(o *Options, broken func() error) *frugal {
	return &frugal{
		broken:                    broken,
		ConcurrencyLimitScheduler: pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest(),
		tight: func() bool {
			u, err := o.FS.GetDiskUsage(o.Dir)
			return err == nil && int64(u.AvailBytes) < o.ReserveBytes/2
		},
	}
}

// Register implements pebble.CompactionScheduler.
func (f *frugal) Register(n int, db pebble.DBForCompaction) {
	f.db = frugalDB{db, f}
	f.ConcurrencyLimitScheduler.Register(n, f.db)
}

// Unregister implements pebble.CompactionScheduler.
func (f *frugal) Unregister() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.ConcurrencyLimitScheduler.Unregister()
}

// grant begins what was refused, if there is space now.
func (f *frugal) grant() {
	if !f.refused.Load() || f.tight() {
		return
	}
	f.refused.Store(false)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	if wanted, _ := f.db.GetWaitingCompaction(); !wanted {
		return
	}
	if ok, handle := f.TrySchedule(); ok && !f.db.Schedule(handle) {
		handle.Done()
	}
}

type frugalDB struct {
	pebble.DBForCompaction
	f *frugal
}

// GetAllowedWithoutPermission implements pebble.DBForCompaction.
func (d frugalDB) GetAllowedWithoutPermission() int {
	if d.f.broken() != nil {
		return 0
	}
	if d.f.tight() && !d.f.reclaiming.Load() {
		d.f.refused.Store(true)
		return 0
	}
	return d.DBForCompaction.GetAllowedWithoutPermission()
}
