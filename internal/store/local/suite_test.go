package local

import (
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/storetest"
)

// clock is a clock that is moved by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.UnixMilli(1_700_000_000_000)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// harness opens a log with options in memory or, with a directory, on disk.
func harness(t testing.TB, o Options, sink hub.Sink) *storetest.Harness {
	c := newClock()
	o.Sink, o.Now = sink, c.now
	if o.Dir == "" {
		o.Dir, o.FS = "data", vfs.NewMem()
	}
	h := &storetest.Harness{Advance: c.advance}
	open := func() hub.Log {
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		h.Log = l
		return l
	}
	h.Reopen = func() hub.Log {
		if err := h.Log.Close(); err != nil {
			t.Fatal(err)
		}
		return open()
	}
	open()
	t.Cleanup(func() { h.Log.Close() })
	return h
}

func TestSuite(t *testing.T) {
	for name, o := range map[string]Options{
		"always": {},
		// Everything small, so that the edges are met: heads are evicted, memtables flushed, batches split.
		"small": {Sync: SyncNever, Heads: 1, MemtableBytes: 256 << 10, CacheBytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t testing.TB, sink hub.Sink) *storetest.Harness {
				o := o
				o.MemtableBytes = max(o.MemtableBytes, 256<<10)
				return harness(t, o, sink)
			})
		})
	}
}

func TestSuiteOnDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite is run in memory too")
	}
	storetest.Run(t, func(t testing.TB, sink hub.Sink) *storetest.Harness {
		return harness(t, Options{Dir: t.TempDir(), Sync: SyncInterval}, sink)
	})
}
