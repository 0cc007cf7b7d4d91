package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

var (
	_ hub.Log     = (*Log)(nil)
	_ hub.Checker = (*Log)(nil)
)

// Log is a hub.Log in a directory. See the package's documentation for what it guarantees.
type Log struct {
	o      Options
	lock   io.Closer
	dir    string // Pebble's
	queue  queue
	space  space
	memory map[hub.Store]*memory // those that need no disk

	// inst is what reads use. While writes fail it stays the one that failed.
	inst  atomic.Pointer[instance]
	acked atomic.Uint64 // newest offset on disk that was acknowledged

	failures atomic.Uint64 // see Stats

	witnessing witnessing // witnessLoop's, and Close's after it

	broken  chan *instance // an instance whose fence has closed
	closing chan struct{}
	deleted chan deleted   // for reclaimLoop
	mended  sync.WaitGroup // mend, sync and sweep
	done    chan struct{}  // closed when the finisher has ended
	sweeps  sync.Mutex     // held by the sweep that is going on
}

// Open opens the log in o.Dir, making it if there is none.
//
// It fails if another process has the directory open, if the directory has another format or is not a log's, and
// if what is in it is damaged in a way that would lose acknowledged messages silently. The error names the directory and says what to do.
func Open(o Options) (_ *Log, err error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	if err := mkdirDurable(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", o.Dir, err)
	}
	lock, err := o.FS.Lock(o.FS.PathJoin(o.Dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: the directory is in use by another process (%w); stop it, or give each its own", o.Dir, err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := openFormat(o.FS, o.Dir); err != nil {
		return nil, err
	}
	o.sizeToDisk(diskTotal(o.FS, o.Dir))
	l := &Log{
		o: o, lock: lock, dir: o.FS.PathJoin(o.Dir, logDir),
		space:  space{fs: o.FS, dir: o.Dir, reserve: o.ReserveBytes},
		broken: make(chan *instance, 1), closing: make(chan struct{}), deleted: make(chan deleted, 1), done: make(chan struct{}),
	}
	l.queue.some.L = &l.queue.mu
	w, err := readWitness(o.FS, o.Dir)
	if err != nil {
		return nil, openError(o.Dir, err)
	}
	in, err := openInstance(&o, l.dir, 0, w, l.onFail)
	if err != nil {
		return nil, openError(o.Dir, err)
	}
	l.witnessing = witnessing{o: &l.o, manifest: func() string { return l.inst.Load().manifestPath() }}
	defer func() {
		if err != nil {
			in.fence.open()
			_ = in.close()
		}
	}()
	l.inst.Store(in)
	if err := l.witnessing.write(in.meta.sequence, false); err != nil {
		return nil, openError(o.Dir, err)
	}
	l.acked.Store(in.meta.sequence)
	l.start(in)
	return l, nil
}

func openError(dir string, err error) error {
	var shown *hub.Error
	if errors.As(err, &shown) {
		return fmt.Errorf("open the store: %w", err)
	}
	if pebble.IsCorruptionError(err) || errors.Is(err, errBadState) {
		return fmt.Errorf("open the store in %s: the data is damaged: %w; check the disk and restore the directory from a backup", dir, err)
	}
	return fmt.Errorf("open the store in %s: %w", dir, err)
}

func (l *Log) start(in *instance) {
	epoch := newEpoch()
	l.memory = map[hub.Store]*memory{
		hub.StoreMemory: newMemory(epoch, false, &l.o),
		hub.StoreNone:   newMemory(epoch, true, &l.o),
	}
	out, free := make(chan *batch, pipeline), make(chan *batch, pipeline)
	c := &committer{
		l: l, in: in, b: newBatch(), serial: 1, out: out, free: free, sequence: in.meta.sequence, began: in.meta.sequence,
		now: in.meta.time, maxBytes: int(min(batchBytes, l.o.MemtableBytes/4)),
	}
	go c.loop()
	go func() {
		defer close(l.done)
		l.finish(out, free)
	}()
	l.mended.Go(l.mend)
	l.mended.Go(l.sweepLoop)
	l.mended.Go(l.witnessLoop)
	l.mended.Go(l.reclaimLoop)
	if l.o.Sync == SyncInterval {
		l.mended.Go(l.syncLoop)
	}
}

// Append implements hub.Log.
func (l *Log) Append(entries []hub.Entry, done func([]hub.Result)) {
	r := newRequest(entries, done)
	if len(entries) == 0 {
		r.fail(nil)
		return
	}
	switch l.queue.push(r, l.o.QueueBytes) {
	case pushedFull:
		r.fail(hub.Errorf(hub.CodeOverloaded, "%d MiB wait to be stored, the limit; nothing was stored: try again shortly", l.o.QueueBytes>>20))
	case pushedClosed:
		r.fail(errClosed)
	}
}

var errClosed = hub.Errorf(hub.CodeUnavailable, "the store is closed: the server is shutting down; nothing was stored")

// Head implements hub.Log.
func (l *Log) Head(ctx context.Context, ch hub.Channel, keep hub.Retention) (p hub.Position, err error) {
	if keep.Store != hub.StoreDisk {
		if l.queue.isClosed() {
			return p, errClosed
		}
		return l.memory[keep.Store].head(ch), nil
	}
	err = l.reading(ctx, func(in *instance) error {
		_, st, err := in.heads.get(ch, false)
		p = in.epochs.position(st.last)
		return in.readError("head of "+ch.String(), err)
	})
	return p, err
}

// Read implements hub.Log.
func (l *Log) Read(ctx context.Context, ch hub.Channel, q hub.Query) (p hub.Page, err error) {
	if q.Limit < 1 {
		return p, hub.Errorf(hub.CodeBadRequest, "limit is %d; a page has at least 1 message", q.Limit)
	}
	now := l.o.Now().UnixMilli()
	if q.Keep.Store != hub.StoreDisk {
		if l.queue.isClosed() {
			return p, errClosed
		}
		return l.memory[q.Keep.Store].read(ch, &q, now), nil
	}
	err = l.reading(ctx, func(in *instance) (err error) {
		r := reader{in: in, ch: ch, q: &q, now: now}
		p, err = r.page()
		return in.readError("read "+ch.String(), err)
	})
	return p, err
}

// reading calls do with an instance that stays open meanwhile. What fails on one that is being replaced is tried again on the next.
func (l *Log) reading(ctx context.Context, do func(*instance) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		in := l.inst.Load()
		ok, err := in.use(func() error { return do(in) })
		if ok && err == nil {
			return nil
		}
		if l.inst.Load() == in {
			if !ok {
				return errClosed
			}
			return err
		}
	}
}

// Check implements hub.Checker.
func (l *Log) Check() error {
	if l.queue.isClosed() {
		return errClosed
	}
	if err := l.inst.Load().fence.failed(); err != nil {
		return l.refusal(err)
	}
	return l.space.check(0)
}

// Trim implements hub.Log.
func (l *Log) Trim(ctx context.Context, ch hub.Channel, through uint64) error {
	l.memory[hub.StoreMemory].trimThrough(ch, through, l.o.Now().UnixMilli())
	done := make(chan error, 1)
	t := &trimming{ch: ch, through: through, done: func(err error) { done <- err }}
	if !l.queue.command(t.step) {
		return errClosed
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements hub.Log.
func (l *Log) Close() error {
	if !l.queue.close() {
		<-l.done
		return nil
	}
	close(l.closing)
	<-l.done
	l.mended.Wait()
	in := l.inst.Load()
	in.fence.holding.Store(false) // nobody would release what is held from here on, and flushes are waited for
	err := l.closeClean(in)
	if e := in.fence.failed(); e != nil {
		in.fence.open()
	}
	if e := in.close(); err == nil {
		err = e
	}
	if e := l.lock.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("close the store in %s: %w", l.o.Dir, err)
	}
	return nil
}

// closeClean writes down that nothing is missing: whatever the sync, all is on disk then.
func (l *Log) closeClean(in *instance) error {
	if err := in.fence.failed(); err != nil {
		return err
	}
	if err := in.flush(); err != nil {
		return err
	}
	b := in.db.NewBatch()
	defer b.Close()
	b.Set(keyRun, mustJSON(run{Boot: l.o.BootID, Sync: l.o.Sync.String(), Clean: true}), nil)
	if err := in.apply(b, true); err != nil {
		return err
	}
	if err := in.flush(); err != nil {
		return err
	}
	return l.witnessing.write(l.acked.Load(), true)
}

func (in *instance) flush() (err error) {
	defer in.recover(&err)
	if err := in.db.Flush(); err != nil {
		return err
	}
	return in.fence.failed()
}
