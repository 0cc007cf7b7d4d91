package local

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// What is in a data directory.
const (
	formatFile = "FORMAT" // says what the directory is, in words
	lockFile   = "LOCK"   // held by the process that has it open
	logDir     = "log"    // Pebble's
)

// The format of a data directory: keys, records, heads, meta and the comparer. A change that an older binary would misread takes the next
// number, and openFormat learns to read the one before.
const formatVersion = 1

const formatPrefix = "sno data directory, format "

// mkdirDurable makes a directory and what is missing above it, and syncs each directory that has got an entry: otherwise a power cut could
// take the whole store with it, however well its files are synced.
func mkdirDurable(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if _, err := fs.Stat(dir); err == nil {
		_ = syncDir(fs, parent) // somebody may just have made dir; if parent cannot be read, that was not us
		return nil
	}
	if parent != dir {
		if err := mkdirDurable(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openFormat checks that a directory is ours and that we can read it, and makes it ours if it is empty.
func openFormat(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, formatFile)
	b, err := readFile(fs, path)
	if oserror.IsNotExist(err) {
		return newFormat(fs, dir, path)
	}
	if err != nil {
		return fmt.Errorf("open the store in %s: %w", dir, err)
	}
	var version int
	text := strings.TrimSpace(string(b))
	if _, err := fmt.Sscanf(text, formatPrefix+"%d", &version); err != nil || text != fmt.Sprintf("%s%d", formatPrefix, version) {
		return fmt.Errorf("open the store in %s: its file %s says %.60q, which no version of sno has written; "+
			"is this the right directory? If it is, restore it from a backup", dir, formatFile, text)
	}
	if version != formatVersion {
		return fmt.Errorf("open the store in %s: the directory has format %d, this sno reads format %d; "+
			"start the version of sno that wrote it, or give another directory", dir, version, formatVersion)
	}
	return nil
}

func newFormat(fs vfs.FS, dir, path string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("open the store in %s: %w", dir, err)
	}
	for _, n := range names {
		// A first start that was interrupted leaves the lock only; a mount point may have lost+found.
		if n != lockFile && n != "lost+found" && !strings.HasPrefix(n, formatFile) {
			return fmt.Errorf("open the store in %s: the directory holds %q and is not a data directory of sno; give an empty or a new one", dir, n)
		}
	}
	if err := writeFile(fs, dir, path, fmt.Appendf(nil, "%s%d\n", formatPrefix, formatVersion)); err != nil {
		return fmt.Errorf("open the store in %s: %w", dir, err)
	}
	return nil
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

// writeFile replaces a file as a whole, or not at all.
func writeFile(fs vfs.FS, dir, path string, b []byte) error {
	f, err := fs.Create(path+".new", "sno")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fs.Rename(path+".new", path)
	}
	if err != nil {
		return err
	}
	return syncDir(fs, dir)
}
