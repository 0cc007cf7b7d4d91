package local

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
)

const (
	mendFirst = 50 * time.Millisecond // before the store is opened again after a failure
	mendMost  = 2 * time.Second       // and after many
)

// onFail is called once an instance, when its fence closes, with whatever locks Pebble holds.
func (l *Log) onFail(in *instance, err error) {
	if l.queue.isClosed() {
		return
	}
	select {
	case l.broken <- in:
	default: // one that never came into use while mend is busy with another: mend sees its error
	}
}

// refusal is the answer to an append that finds the store broken.
func (l *Log) refusal(failed error) error {
	if vfs.IsNoSpaceError(failed) {
		return hub.Errorf(hub.CodeDiskFull, "the disk of %s was full when a message was written; nothing was stored: free some space, the store "+
			"then goes on by itself", l.o.Dir)
	}
	return hub.Errorf(hub.CodeUnavailable, "the store in %s could not write (%v) and is being opened again; nothing was stored: try again shortly",
		l.o.Dir, failed)
}

// unavailable is the answer to an append that the store broke under.
func (l *Log) unavailable(failed error) error {
	return hub.Errorf(hub.CodeUnavailable, "the store in %s could not write (%v); the message may or may not be stored: send it again with the same id",
		l.o.Dir, failed)
}

// mend opens the store again whenever it has broken.
func (l *Log) mend() {
	for {
		select {
		case <-l.closing:
			return
		case broken := <-l.broken:
			if broken != l.inst.Load() {
				continue // an attempt of ours
			}
			l.failures.Add(1)
			l.o.Logger.Error("store: a write failed; nothing is stored until the store has been opened again, reads go on",
				"dir", l.o.Dir, "err", broken.fence.failed())
			l.tidy(broken)
			if !l.replace() {
				return
			}
			l.o.Logger.Info("store: opened again", "dir", l.o.Dir)
		}
	}
}

// tidy removes the tables that a broken instance has left lying about, such as half of a compaction: on a disk that is full because of them there
// would be no room to open the store again, which is when Pebble removes them. Which tables it needs the instance itself knows: its
// fence holds it where it is. Not if its last word to the manifest may have got through.
func (l *Log) tidy(broken *instance) {
	if broken.fence.unsure.Load() {
		return
	}
	live := map[string]bool{}
	ok, err := broken.use(func() error {
		levels, err := broken.db.SSTables()
		for _, level := range levels {
			for _, t := range level {
				live[fmt.Sprintf("%06d.sst", uint64(t.FileNum))] = true
				live[fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum))] = true
			}
		}
		return err
	})
	names, e := l.o.FS.List(l.dir)
	if !ok || err != nil || e != nil {
		return
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") && !live[name] {
			_ = l.o.FS.Remove(l.o.FS.PathJoin(l.dir, name)) // if it fails the store is opened without
		}
	}
}

// replace opens an instance in place of the one that is broken, however often it takes. False: the log is closing.
func (l *Log) replace() bool {
	if !l.barrier() {
		return false
	}
	timer := time.NewTimer(mendFirst)
	defer timer.Stop()
	said := ""
	for wait := mendFirst; ; wait = min(2*wait, mendMost) {
		select {
		case <-l.closing:
			return false
		case <-timer.C:
		}
		// Also while the disk is full: opening removes what a compaction has left unfinished, and may so make the room that it needs.
		in, err := openInstance(&l.o, l.dir, l.acked.Load(), nil, l.onFail)
		if err == nil {
			return l.adopt(in)
		}
		if err.Error() != said {
			said = err.Error()
			l.o.Logger.Error("store: not opened again yet", "dir", l.o.Dir, "err", err)
		}
		timer.Reset(wait)
	}
}

// barrier returns when all batches in flight are finished, so that acked is final. False: the log is closing.
func (l *Log) barrier() bool {
	done := make(chan struct{})
	return l.queue.command(func(c *committer) { c.b.after = append(c.b.after, func(error) { close(done) }) }) && l.wait(done)
}

func (l *Log) wait(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-l.closing:
		// Commands that were queued are still run, but nobody is interested any more.
		return false
	}
}

// adopt puts an instance into use, at a place in the log's order.
func (l *Log) adopt(in *instance) bool {
	done := make(chan struct{})
	ok := l.queue.command(func(c *committer) {
		c.in = in
		c.sequence = max(c.sequence, in.meta.sequence)
		c.began = c.sequence
		c.now = max(c.now, in.meta.time)
		c.b.after = append(c.b.after, func(error) {
			old := l.inst.Swap(in)
			l.acked.Store(in.meta.sequence)
			l.o.Sink.Resync() // messages of batches that failed may turn out to be stored
			old.fence.open()
			l.mended.Go(func() { l.retire(old) }) // Close waits for it
			close(done)
		})
	})
	if !ok {
		in.fence.open()
		l.retire(in)
		return false
	}
	<-done // also while closing: it is Close that closes the instance
	return true
}

func (l *Log) retire(old *instance) {
	if err := old.close(); err != nil && !errors.Is(err, pebble.ErrClosed) {
		l.o.Logger.Debug("store: closing what failed", "dir", l.o.Dir, "err", err)
	}
}

// syncLoop syncs what SyncInterval has acknowledged without.
func (l *Log) syncLoop() {
	t := time.NewTicker(l.o.Interval)
	defer t.Stop()
	synced := l.acked.Load()
	for {
		select {
		case <-l.closing:
			return
		case <-t.C:
			if now := l.acked.Load(); now != synced {
				synced = now
				in := l.inst.Load()
				_, _ = in.use(func() error { return in.db.LogData(nil, pebble.Sync) })
			}
		}
	}
}
