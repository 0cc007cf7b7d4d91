package local

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/snoserver/sno/internal/hub"
)

// instance is one opening of the Pebble store. When a write fails the log goes on with another, on the same directory.
type instance struct {
	db     *pebble.DB
	fence  *fence
	heads  *headCache
	epochs epochs
	meta   meta // as found when opened, floors apart
	floor  atomic.Uint64
	dir    string
	stall  stall
	frugal *frugal
	// manifest is the path of Pebble's current one.
	manifest atomic.Pointer[string]

	mu     sync.RWMutex // held for reading by whoever uses db, for writing to close it
	closed bool
}

// openInstance opens the store. acked is the highest offset acknowledged so far in this process: if less is found, what is missing is lost.
// w is what another process has left of its witness; nil when there is none, and when this process had the store open before.
func openInstance(o *Options, dir string, acked uint64, w *witness, onFail func(*instance, error)) (_ *instance, err error) {
	if err := w.prepare(o, dir); err != nil {
		return nil, err
	}
	in := &instance{dir: o.Dir}
	in.stall.changed.L, in.stall.most = &in.stall.mu, o.MemtableBytes
	in.fence = newFence(o.FS, walSync(o), func(err error) {
		in.stall.broken()
		onFail(in, err)
	})
	in.frugal = newFrugal(o, in.fence.failed)
	if err := in.openDB(o, dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			in.fence.open()
			err = errors.Join(err, in.close())
		}
	}()
	if in.meta, err = readMeta(in.db); err != nil {
		return nil, err
	}
	if err := w.confirm(o, in.meta.sequence); err != nil {
		return nil, err
	}
	in.floor.Store(in.meta.floors.Offset)
	in.heads = newHeadCache(in.db, o.Heads, in.floor.Load)
	if err := in.begin(o, acked); err != nil {
		return nil, err
	}
	return in, in.fence.failed()
}

func (in *instance) openDB(o *Options, dir string) (err error) {
	defer in.recover(&err)
	db, err := pebble.Open(dir, in.pebbleOptions(o))
	if err != nil {
		if failed := in.fence.failed(); failed != nil {
			return failed // what Pebble says is what follows from it
		}
		return err
	}
	in.db = db
	if err := in.fence.failed(); err != nil {
		return errors.Join(err, db.Close())
	}
	in.fence.holding.Store(true)
	return nil
}

// begin writes down that the store is in use, and begins an epoch if acknowledged messages may have been lost.
func (in *instance) begin(o *Options, acked uint64) error {
	m := &in.meta
	b := in.db.NewBatch()
	defer b.Close()
	crashed := m.run.Boot != "" && !m.run.Clean && m.run.Sync != SyncAlways.String() && m.run.Boot != o.BootID
	switch {
	case m.epochs == nil:
		in.epochs = epochs(nil).begin(0)
	case crashed, m.sequence < acked:
		in.epochs = m.epochs.begin(m.sequence + 1)
		o.Logger.Warn("store: acknowledged messages may have been lost in a crash; readers are told by a new epoch", "dir", o.Dir,
			"epoch", in.epochs[len(in.epochs)-1].Epoch, "from", m.sequence+1, "sync", m.run.Sync)
	default:
		in.epochs = m.epochs
	}
	b.Set(keyEpochs, in.epochs.encode(), nil)
	b.Set(keyRun, mustJSON(run{Boot: o.BootID, Sync: o.Sync.String()}), nil)
	return in.apply(b, true)
}

// apply applies a batch and waits for its sync.
func (in *instance) apply(b *pebble.Batch, sync bool) (err error) {
	defer in.recover(&err)
	if err := in.db.Apply(b, &pebble.WriteOptions{Sync: sync}); err != nil {
		return err
	}
	return in.fence.failed()
}

// applyAhead applies a batch whose sync is waited for by SyncWait.
func (in *instance) applyAhead(b *pebble.Batch) (err error) {
	defer in.recover(&err)
	in.stall.wait()
	return in.db.ApplyNoSyncWait(b, pebble.Sync)
}

// recover turns a panic of Pebble's in a goroutine of ours into an error, and closes the fence: the instance may hold locks for ever.
func (in *instance) recover(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("pebble: %v", r)
		in.fence.fail(*err)
	}
}

func (in *instance) manifestPath() string {
	if p := in.manifest.Load(); p != nil {
		return *p
	}
	return ""
}

// use calls do with the store held open; ok is false if it is closed.
func (in *instance) use(do func() error) (ok bool, err error) {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.closed {
		return false, nil
	}
	defer in.recover(&err)
	return true, do()
}

// close waits for readers.
func (in *instance) close() (err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil
	}
	in.closed = true
	defer in.recover(&err)
	return in.db.Close()
}

// walSync is the fence's answer to whether the WAL is to be synced just now.
func walSync(o *Options) func() bool {
	switch o.Sync {
	case SyncInterval:
		var last atomic.Int64
		start := time.Now()
		return func() bool {
			now := int64(time.Since(start))
			was := last.Load()
			return now-was >= int64(o.Interval) && last.CompareAndSwap(was, now)
		}
	case SyncNever:
		return func() bool { return false }
	}
	return func() bool { return true }
}

// pebbleOptions pins what is on disk (format, comparer, filters) and sizes the rest to the machine.
func (in *instance) pebbleOptions(o *Options) *pebble.Options {
	p := &pebble.Options{
		FS:                          in.fence,
		Comparer:                    comparer,
		FormatMajorVersion:          pebble.FormatValueSeparation,
		CacheSize:                   o.CacheBytes,
		MemTableSize:                uint64(o.MemtableBytes),
		MemTableStopWritesThreshold: stallAt + 2, // never met, see stall; Pebble keeps as many old WALs for its next ones
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       1 << 20,
		LBaseMaxBytes:               max(4*o.MemtableBytes, 4<<20),
		MaxOpenFiles:                o.OpenFiles,
		Logger:                      &pebbleLogger{in: in, to: o.Logger},
		CompactionConcurrencyRange:  func() (int, int) { return 1, max(1, runtime.GOMAXPROCS(0)/2) },
		// A range that was deleted is worth compacting soon: its bytes come back only then.
		FlushDelayDeleteRange: 10 * time.Second,
	}
	for i := range p.Levels {
		p.TargetFileSizes[i] = min(max(o.MemtableBytes/4, 256<<10), 4<<20) << min(i, 3)
		p.Levels[i].BlockSize = 16 << 10
		p.Levels[i].IndexBlockSize = 64 << 10
		p.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	p.Experimental.CompactionScheduler = in.frugal
	if o.MemtableBytes < 8<<20 {
		p.Experimental.MultiLevelCompactionHeuristic = pebble.NoMultiLevel{} // a small disk: compactions must not need much room
	}
	p.EventListener = &pebble.EventListener{
		ManifestCreated: func(i pebble.ManifestCreateInfo) {
			if i.Err == nil {
				in.manifest.Store(&i.Path)
			}
		},
		WALCreated: func(pebble.WALCreateInfo) { in.stall.created() }, // with each memtable
		FlushEnd: func(i pebble.FlushInfo) {
			if i.Err == nil {
				in.stall.flushed(i.Input)
			}
		},
		BackgroundError: func(err error) {
			if in.fence.failed() != nil {
				return // it follows from what mend reports
			}
			if !errors.Is(err, pebble.ErrCancelledCompaction) {
				o.Logger.Error("store: background work", "dir", o.Dir, "err", err)
			}
		},
		// The default ends the process. A damaged block is refused where it is read.
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			if in.fence.failed() != nil {
				return
			}
			o.Logger.Error("store: damaged data", "dir", o.Dir, "file", i.Path, "err", i.Details)
		},
	}
	return p
}

// pebbleLogger passes on errors only, and does not let Pebble end the process.
type pebbleLogger struct {
	in *instance
	to *slog.Logger
}

func (l *pebbleLogger) Infof(string, ...any) {}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	l.to.Error("store: "+fmt.Sprintf(format, args...), "dir", l.in.dir)
}

// Fatalf gives the instance up. In a call of ours it panics, and the call's recover makes it an error; in a goroutine of Pebble's
// it ends that goroutine: the instance is closed to writes and is about to be replaced.
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.in.fence.fail(err)
	if strings.Contains(string(debug.Stack()), "local.(*instance).") {
		panic(err)
	}
	runtime.Goexit()
}

// readError makes an error of what a read met, to be shown: damaged data is never served.
func (in *instance) readError(what string, err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) || errors.Is(err, errBadState) || errors.Is(err, errBadRecord) {
		return hub.Errorf(hub.CodeCorrupt, "%s: data in %s is damaged (%v) and was not served; check the disk, then restore the directory "+
			"from a backup, or trim the channel behind the damage", what, in.dir, err)
	}
	return fmt.Errorf("%s in %s: %w", what, in.dir, err)
}
