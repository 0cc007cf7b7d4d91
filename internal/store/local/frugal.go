package local

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// frugal is Pebble's scheduler of compactions, but begins none while less than half of the reserve is free: a compaction that fills the disk
// fails, breaks the instance and leaves its half-made tables behind. Those that reclaim asks for are allowed: they make room.
type frugal struct {
	// The one without a goroutine of its own, whose name says that it is for tests: compactions are then begun when a flush or
	// another compaction ends, or one is asked for, which is all there is to wait for here.
	*pebble.ConcurrencyLimitScheduler
	tight      func() bool
	reclaiming atomic.Bool
}

func newFrugal(o *Options) *frugal {
	return &frugal{
		ConcurrencyLimitScheduler: pebble.NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest(),
		tight: func() bool {
			u, err := o.FS.GetDiskUsage(o.Dir)
			return err == nil && int64(u.AvailBytes) < o.ReserveBytes/2
		},
	}
}

// Register implements pebble.CompactionScheduler.
func (f *frugal) Register(n int, db pebble.DBForCompaction) {
	f.ConcurrencyLimitScheduler.Register(n, frugalDB{db, f})
}

type frugalDB struct {
	pebble.DBForCompaction
	f *frugal
}

// GetAllowedWithoutPermission implements pebble.DBForCompaction.
func (d frugalDB) GetAllowedWithoutPermission() int {
	if d.f.tight() && !d.f.reclaiming.Load() {
		return 0
	}
	return d.DBForCompaction.GetAllowedWithoutPermission()
}
