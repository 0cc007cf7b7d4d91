package local

import (
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// op names what a faultFS can be told to fail.
type op string

const (
	opCreate op = "create"
	opWrite  op = "write"
	opSync   op = "sync"
	opRename op = "rename"
)

// faultFS is a file system that fails as it is told, until it is told otherwise.
type faultFS struct {
	vfs.FS
	mu    sync.Mutex
	fail  func(op op, name string) error
	after map[op]int // operations done, by kind
}

func newFaultFS(fs vfs.FS) *faultFS { return &faultFS{FS: fs, after: map[op]int{}} }

func (f *faultFS) set(fail func(op, string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

// failing fails one kind of operation on files whose names contain part.
func failing(kind op, part string, err error) func(op, string) error {
	return func(o op, name string) error {
		if o == kind && strings.Contains(name, part) {
			return err
		}
		return nil
	}
}

func (f *faultFS) check(o op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after[o]++
	if f.fail == nil {
		return nil
	}
	return f.fail(o, name)
}

func (f *faultFS) open(o op, name string, do func() (vfs.File, error)) (vfs.File, error) {
	if err := f.check(o, name); err != nil {
		return nil, err
	}
	file, err := do()
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fs: f, name: name}, nil
}

func (f *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(opCreate, name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.open(opCreate, name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f *faultFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(opCreate, name, func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, c) })
}

func (f *faultFS) Rename(old, name string) error {
	if err := f.check(opRename, name); err != nil {
		return err
	}
	return f.FS.Rename(old, name)
}

type faultFile struct {
	vfs.File
	fs   *faultFS
	name string
}

func (f *faultFile) Write(b []byte) (int, error) {
	if err := f.fs.check(opWrite, f.name); err != nil {
		n, _ := f.File.Write(b[:len(b)/2]) // as much as there was room for
		return n, err
	}
	return f.File.Write(b)
}

func (f *faultFile) Sync() error {
	if err := f.fs.check(opSync, f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultFile) SyncData() error {
	if err := f.fs.check(opSync, f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}
