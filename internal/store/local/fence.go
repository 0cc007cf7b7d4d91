package local

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fence stands between one Pebble instance and the directory. The first write, sync or create that fails closes it for ever: from then on
// nothing that the instance does reaches the directory, so that a new instance can be opened on it while the old one
// still answers reads from memory and from the files that it has open.
//
// Pebble is never shown the error. It has no way to go on after a failed write to its WAL or manifest: it panics with locks held, or ends the
// process. Instead the WAL's writes seem to succeed from then on, and everything else (a flush, a compaction) is held until the
// instance is released, when it seems to succeed too and Close finds nothing broken: what was flushed to nowhere could not be read. Whoever syncs asks failed()
// afterwards: the fence closes before the sync returns, so what seemed durable is known not to be.
type fence struct {
	vfs.FS
	onFail   func(error)
	failure  atomic.Pointer[error]
	holding  atomic.Bool // set once the instance is open: until then nobody could release what is held
	released chan struct{}
	release  sync.Once
	// unsure is set when it was the manifest that could not be written: which tables it names is then not known.
	unsure atomic.Bool
	// syncWAL says whether a sync of the WAL is to be done just now; false means that handing the bytes to the operating system is enough.
	syncWAL func() bool
}

func newFence(fs vfs.FS, syncWAL func() bool, onFail func(error)) *fence {
	return &fence{FS: fs, onFail: onFail, released: make(chan struct{}), syncWAL: syncWAL}
}

// failed returns what closed the fence, or nil.
func (f *fence) failed() error {
	if e := f.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// fail closes the fence.
func (f *fence) fail(err error) {
	if f.failure.CompareAndSwap(nil, &err) {
		f.onFail(err)
	}
}

// open lets go what the closed fence holds, so that the instance can be closed.
func (f *fence) open() {
	f.fail(errors.New("closed"))
	f.release.Do(func() { close(f.released) })
}

// guard does a write-side operation, unless the fence is closed. It reports whether it was done and can be relied upon.
func (f *fence) guard(held bool, do func() error) bool {
	if f.failed() == nil {
		err := do()
		if err == nil {
			return true
		}
		f.fail(err)
	}
	if held && f.holding.Load() {
		<-f.released
	}
	return false
}

func isWAL(name string) bool { return strings.HasSuffix(name, ".log") }

func isManifest(name string) bool { return strings.Contains(name, "MANIFEST") }

func (f *fence) create(name string, do func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	wal := isWAL(name)
	if !f.guard(!wal, func() (err error) { file, err = do(); return err }) {
		return nullFile{}, nil
	}
	return &fencedFile{File: file, fence: f, free: wal, wal: wal, manifest: isManifest(name)}, nil
}

func (f *fence) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.create(name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *fence) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.create(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *fence) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.create(name, func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, c) })
}

// OpenDir's file is synced after a manifest has taken its place, so it counts as one.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &fencedFile{File: file, fence: f, free: true, manifest: true}, nil
}

func (f *fence) Link(old, name string) error {
	f.guard(true, func() error { return f.FS.Link(old, name) })
	return nil
}

func (f *fence) Rename(old, name string) error {
	f.guard(true, func() error {
		err := f.FS.Rename(old, name)
		f.unsure.Store(f.unsure.Load() || err != nil)
		return err
	})
	return nil
}

func (f *fence) MkdirAll(dir string, perm os.FileMode) error {
	f.guard(true, func() error { return f.FS.MkdirAll(dir, perm) })
	return nil
}

// Remove and RemoveAll may fail without harm: Pebble tries again when it is opened next.
func (f *fence) Remove(name string) error {
	if f.failed() != nil {
		return nil //nolint:nilerr // the closed fence swallows everything
	}
	return f.FS.Remove(name)
}

func (f *fence) RemoveAll(name string) error {
	if f.failed() != nil {
		return nil //nolint:nilerr // the closed fence swallows everything
	}
	return f.FS.RemoveAll(name)
}

// Lock does nothing: Log holds the lock of the directory for longer than any instance lives.
func (f *fence) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *fence) Unwrap() vfs.FS { return f.FS }

type fencedFile struct {
	vfs.File
	fence *fence
	wal   bool
	// manifest files say which tables there are.
	manifest bool
	// free files are written and synced by the committer's goroutine too, when it begins a WAL: it must not be held.
	free bool
}

func (w *fencedFile) Write(b []byte) (int, error) {
	w.fence.guard(!w.free, func() error {
		_, err := w.File.Write(b)
		return w.note(err)
	})
	return len(b), nil
}

func (w *fencedFile) WriteAt(b []byte, at int64) (int, error) {
	w.fence.guard(!w.free, func() error { _, err := w.File.WriteAt(b, at); return err })
	return len(b), nil
}

func (w *fencedFile) Preallocate(at, n int64) error {
	w.fence.guard(!w.free, func() error { return w.File.Preallocate(at, n) })
	return nil
}

// note notes that it was a manifest that failed, before the fence closes.
func (w *fencedFile) note(err error) error {
	if err != nil && w.manifest {
		w.fence.unsure.Store(true)
	}
	return err
}

func (w *fencedFile) sync(do func() error) error {
	if w.wal && !w.fence.syncWAL() {
		return nil
	}
	w.fence.guard(!w.free, func() error { return w.note(do()) })
	return nil
}

func (w *fencedFile) Sync() error     { return w.sync(w.File.Sync) }
func (w *fencedFile) SyncData() error { return w.sync(w.File.SyncData) }

func (w *fencedFile) SyncTo(n int64) (full bool, err error) {
	if w.wal {
		return false, nil
	}
	w.fence.guard(true, func() error { full, err = w.File.SyncTo(n); return err })
	return full, nil
}

func (w *fencedFile) Close() error {
	if err := w.File.Close(); err != nil {
		w.fence.fail(err)
	}
	return nil
}

// nullFile is what a closed fence creates.
type nullFile struct{}

func (nullFile) Close() error                      { return nil }
func (nullFile) Read([]byte) (int, error)          { return 0, io.EOF }
func (nullFile) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (nullFile) Write(b []byte) (int, error)       { return len(b), nil }
func (nullFile) WriteAt(b []byte, _ int64) (int, error) {
	return len(b), nil
}
func (nullFile) Preallocate(_, _ int64) error { return nil }
func (nullFile) Stat() (vfs.FileInfo, error)  { return nullInfo{}, nil }
func (nullFile) Sync() error                  { return nil }
func (nullFile) SyncTo(int64) (bool, error)   { return false, nil }
func (nullFile) SyncData() error              { return nil }
func (nullFile) Prefetch(int64, int64) error  { return nil }
func (nullFile) Fd() uintptr                  { return vfs.InvalidFd }

type nullInfo struct{}

func (nullInfo) Name() string           { return "" }
func (nullInfo) Size() int64            { return 0 }
func (nullInfo) Mode() os.FileMode      { return 0 }
func (nullInfo) ModTime() time.Time     { return time.Time{} }
func (nullInfo) IsDir() bool            { return false }
func (nullInfo) Sys() any               { return nil }
func (nullInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
