package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
)

// witness is what is known of the store from outside of it: that so much was in it. Pebble takes a flipped bit in its manifest, and some in its WAL,
// for the end of the file: it would open without what comes after, and acknowledged messages would be gone without a word. A witness that
// remembers more than is found refuses to open instead.
type witness struct {
	Boot     string `json:"boot"`
	Sync     string `json:"sync"`
	Clean    bool   `json:"clean"`
	Sequence uint64 `json:"sequence"` // acknowledged up to here
	Manifest string `json:"manifest"` // Pebble's current manifest
	End      int64  `json:"end"`      // where its last record begins that could be read
}

const (
	witnessFile  = "WITNESS"
	witnessEvery = time.Second
)

func readWitness(fs vfs.FS, dir string) (w *witness, err error) {
	b, err := readFile(fs, fs.PathJoin(dir, witnessFile))
	if oserror.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return nil, fmt.Errorf("%s does not decode: %w", witnessFile, err)
	}
	return w, nil
}

// lossy reports whether the machine may have lost what was acknowledged, by the configuration's leave.
func (w *witness) lossy(o *Options) bool {
	return !w.Clean && w.Sync != SyncAlways.String() && w.Boot != o.BootID
}

// prepare looks at the directory before Pebble does.
func (w *witness) prepare(o *Options, dir string) error {
	if w == nil {
		return nil
	}
	if w.Manifest != "" {
		end, err := recordsEnd(o.FS, o.FS.PathJoin(dir, w.Manifest), 0)
		if err == nil && end < w.End {
			return damagedError(o.Dir, fmt.Sprintf("%s can be read up to byte %d, it was written up to byte %d", w.Manifest, end, w.End))
		}
		if err != nil && !oserror.IsNotExist(err) { // gone: another has taken its place since
			return err
		}
	}
	if w.lossy(o) {
		return cutWALs(o, dir)
	}
	return nil
}

// confirm compares with what Pebble has found.
func (w *witness) confirm(o *Options, sequence uint64) error {
	if w == nil || w.lossy(o) || sequence >= w.Sequence {
		return nil
	}
	return damagedError(o.Dir, fmt.Sprintf("messages up to %d were acknowledged, only those up to %d are there", w.Sequence, sequence))
}

func damagedError(dir, what string) error {
	return hub.Errorf(hub.CodeCorrupt, "the data in %s is damaged: %s; check the disk and restore the directory from a backup, "+
		"or go on with what is there by removing %s from it", dir, what, witnessFile)
}

// recordsEnd returns where the last whole record of a manifest or WAL begins.
func recordsEnd(fs vfs.FS, path string, number uint64) (int64, error) {
	f, err := fs.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := newReader(record.NewReader, f, number)
	end := int64(0)
	for {
		at := r.Offset()
		rec, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, rec)
		}
		if err != nil {
			return end, nil // at the end, torn or damaged: that it is far enough is the caller's to see
		}
		end = at
	}
}

// newReader calls record.NewReader, whose second argument has a type that cannot be named here.
func newReader[N ~uint64](make func(io.Reader, N) *record.Reader, r io.Reader, number uint64) *record.Reader {
	return make(r, N(number))
}

// cutWALs ends the WALs where the first damage is. After a power failure without syncs any page may be missing from them; Pebble believes that its
// WAL was synced, and would refuse it as damaged. What is behind was not synced, and the new epoch says that it is gone.
func cutWALs(o *Options, dir string) error {
	names, err := o.FS.List(dir)
	if err != nil && !oserror.IsNotExist(err) {
		return err
	}
	slices.Sort(names) // numbers have leading zeros
	cut := false
	for _, name := range names {
		var number uint64
		if !isWAL(name) {
			continue
		}
		if _, err := fmt.Sscanf(strings.TrimLeft(name, "0"), "%d.log", &number); err != nil {
			continue
		}
		path := o.FS.PathJoin(dir, name)
		if cut {
			if err := o.FS.Remove(path); err != nil {
				return err
			}
			continue
		}
		if cut, err = cutWAL(o, dir, path, number); err != nil {
			return err
		}
	}
	return nil
}

func cutWAL(o *Options, dir, path string, number uint64) (cut bool, err error) {
	f, err := o.FS.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	r := newReader(record.NewReader, f, number)
	good := int64(0)
	for err == nil {
		good = r.Offset()
		var rec io.Reader
		if rec, err = r.Next(); err == nil {
			_, err = io.Copy(io.Discard, rec)
		}
	}
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	b := make([]byte, good)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	o.Logger.Warn("store: the end of the log was not synced before the machine went down and is cut off", "file", path, "at", good)
	return true, writeFile(o.FS, dir, path, b)
}

// witnessing writes the witness down.
type witnessing struct {
	o        *Options
	manifest func() string // path of the current one
	last     witness
	size     int64 // of the manifest when it was read last
}

// write writes what is acknowledged, if that is more than before.
func (w *witnessing) write(acked uint64, clean bool) error {
	next := w.last
	next.Boot, next.Sync, next.Clean, next.Sequence = w.o.BootID, w.o.Sync.String(), clean, acked
	fs := w.o.FS
	path := w.manifest()
	if info, err := fs.Stat(path); path != "" && err == nil && (fs.PathBase(path) != next.Manifest || info.Size() != w.size) {
		end, err := syncedEnd(fs, path)
		if err != nil {
			return err
		}
		next.Manifest, next.End, w.size = fs.PathBase(path), end, info.Size()
	}
	if next == w.last {
		return nil
	}
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := writeFile(fs, w.o.Dir, fs.PathJoin(w.o.Dir, witnessFile), b); err != nil {
		return err
	}
	w.last = next
	return nil
}

// syncedEnd makes sure that what it has read of a manifest is on disk.
func syncedEnd(fs vfs.FS, path string) (int64, error) {
	end, err := recordsEnd(fs, path, 0)
	if err != nil {
		return 0, err
	}
	f, err := fs.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return end, f.Sync()
}

func (l *Log) witnessLoop() {
	t := time.NewTicker(witnessEvery)
	defer t.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-t.C:
			if in := l.inst.Load(); in.fence.failed() == nil {
				if err := l.witnessing.write(l.acked.Load(), false); err != nil {
					l.o.Logger.Warn("store: the witness was not written", "dir", l.o.Dir, "err", err)
				}
			}
		}
	}
}
