package local

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/storetest"
)

// TestMain is also the other process of the tests that need one.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SNO_TEST_APPEND"); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// child appends until it is killed, and says what was acknowledged.
func child(dir string) {
	s, err := ParseSync(os.Getenv("SNO_TEST_SYNC"))
	if err == nil {
		var l *Log
		if l, err = Open(Options{Dir: dir, Sync: s, MemtableBytes: 256 << 10}); err == nil {
			out := make(chan string, 1<<10)
			for p := range 8 {
				go func() {
					for i := 0; ; i++ {
						id := fmt.Sprintf("%d-%d", p, i)
						done := make(chan []hub.Result, 1)
						l.Append([]hub.Entry{{Message: &hub.Message{Channel: chanA, ID: id, Data: make([]byte, 300)}}}, func(r []hub.Result) { done <- r })
						if (<-done)[0].Err == nil {
							out <- id
						}
					}
				}()
			}
			for id := range out {
				fmt.Println(id) // each a write of its own: what was said was acknowledged
			}
		}
	}
	fmt.Println("error:", err)
}

func startChild(t *testing.T, dir string, s Sync) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SNO_TEST_APPEND="+dir, "SNO_TEST_SYNC="+s.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// P1: what a process acknowledged is there after it was killed, whatever the sync, and its epoch is the same.
func TestKill(t *testing.T) {
	for _, s := range []Sync{SyncAlways, SyncInterval, SyncNever} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			epoch := ""
			for round := range 2 {
				var ids []string
				cmd, out := startChild(t, dir, s)
				for out.Scan() {
					if strings.HasPrefix(out.Text(), "error") {
						t.Fatal(out.Text())
					}
					if ids = append(ids, out.Text()); len(ids) == 1500 {
						cmd.Process.Kill()
					}
				}
				cmd.Wait()
				l := mustOpen(t, Options{Dir: dir})
				p := readAll(t, l, hub.Retention{})
				if len(ids) < 1500 || round > 0 && len(ids) == 0 {
					t.Fatalf("the child acknowledged %d", len(ids))
				}
				checkChain(t, p, p.Head, ids)
				if epoch == "" {
					epoch = p.Head.Epoch
				}
				if p.Head.Epoch != epoch {
					t.Fatal("the epoch has changed")
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	cmd, out := startChild(t, dir, SyncAlways)
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if !out.Scan() {
		t.Fatal("the child said nothing")
	}
	_, err := Open(Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use by another process") {
		t.Fatalf("opened while another process has it open: %v", err)
	}
}

func TestTwiceInOneProcess(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Fatalf("opened twice: %v", err)
	}
}

func TestFormat(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Options{Dir: dir})
	l.Close()
	for text, want := range map[string]string{
		"sno data directory, format 99\n": "format 99, this sno reads format 1",
		"something else":                  "which no version of sno has written",
		"":                                "which no version of sno has written",
	} {
		if err := os.WriteFile(filepath.Join(dir, formatFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Fatalf("%q: %v", text, err)
		}
	}
	other := t.TempDir()
	os.WriteFile(filepath.Join(other, "holiday.jpg"), nil, 0o600)
	if _, err := Open(Options{Dir: other}); err == nil || !strings.Contains(err.Error(), "holiday.jpg") {
		t.Fatalf("another's directory: %v", err)
	}
}

// crashed makes a directory as a crash leaves it: a copy of one that is open, with n messages in the WAL.
func crashed(t *testing.T, n int, o Options) (dir string, head hub.Position) {
	t.Helper()
	o.Dir = t.TempDir()
	l := mustOpen(t, o)
	for i := range n {
		r := storetest.Append(t, l, hub.Entry{Message: &hub.Message{Channel: chanA, ID: fmt.Sprint(i), Data: bytes.Repeat([]byte{byte(i)}, 1000)}})[0]
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		head = r.Position
	}
	if err := l.witnessing.write(l.acked.Load(), false); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	copyDir(t, o.Dir, dir)
	l.Close()
	return dir, head
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	os.Remove(filepath.Join(to, lockFile))
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// newest returns the newest file of Pebble's with a suffix or prefix that has anything in it.
func newest(t *testing.T, dir, part string) string {
	t.Helper()
	names, _ := filepath.Glob(filepath.Join(dir, logDir, part))
	slices.Sort(names)
	for i := len(names) - 1; i >= 0; i-- {
		if s, err := os.Stat(names[i]); err == nil && s.Size() > 0 {
			return names[i]
		}
	}
	t.Fatalf("no %s in %s", part, dir)
	return ""
}

func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// used is how much of a WAL was written, the number of which stands in its first chunk: the rest may be preallocated.
func used(b []byte) int {
	r := newReader(record.NewReader, bytes.NewReader(b), uint64(binary.LittleEndian.Uint32(b[7:])))
	for end := 0; ; end = int(r.Offset()) {
		rec, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, rec)
		}
		if err != nil {
			return end
		}
	}
}

// A torn tail was never acknowledged: it is cut off.
func TestTornTail(t *testing.T) {
	dir, head := crashed(t, 50, Options{})
	for name, tear := range map[string]func([]byte) []byte{
		"half a record":  func(b []byte) []byte { return append(b[:used(b):used(b)], 1, 2, 3, 4, 0, 7, 9, 9, 9, 9) },
		"garbage":        func(b []byte) []byte { return append(b[:used(b):used(b)], bytes.Repeat([]byte{0xa5}, 3000)...) },
		"zeroes, longer": func(b []byte) []byte { return append(b, make([]byte, 100_000)...) },
		"no more zeroes": func(b []byte) []byte { return b[:used(b)] },
	} {
		t.Run(name, func(t *testing.T) {
			torn := t.TempDir()
			copyDir(t, dir, torn)
			edit(t, newest(t, torn, "*.log"), tear)
			l := mustOpen(t, Options{Dir: torn})
			p := readAll(t, l, hub.Retention{})
			checkChain(t, p, head, []string{"0", "49"})
		})
	}
}

// A message that was acknowledged and is not there any more: the store does not open.
func TestDamagedWAL(t *testing.T) {
	dir, _ := crashed(t, 150, Options{})
	wal := newest(t, dir, "*.log")
	b, err := os.ReadFile(wal)
	if err != nil {
		t.Fatal(err)
	}
	size := used(b)
	for i := range 60 {
		at := size * i / 60
		bit := byte(1) << (i % 8)
		if i >= 50 { // the headers of the first chunk: checksum, length, type, log number
			at = i - 50
			bit = 1
		}
		damaged := t.TempDir()
		copyDir(t, dir, damaged)
		edit(t, newest(t, damaged, "*.log"), func(b []byte) []byte { b[at] ^= bit; return b })
		l, err := Open(Options{Dir: damaged, Logger: quiet})
		if err == nil {
			p := readAll(t, l, hub.Retention{})
			l.Close()
			if len(p.Messages) != 150 {
				t.Fatalf("bit %d of byte %d flipped: opened with %d of 150 messages", bit, at, len(p.Messages))
			}
			continue // a bit that nothing depends on, such as one of the promised offset
		}
		if !strings.Contains(err.Error(), damaged) || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), "backup") {
			t.Fatalf("bit %d of byte %d flipped: %v", bit, at, err)
		}
	}
}

func TestTruncatedWAL(t *testing.T) {
	dir, _ := crashed(t, 150, Options{})
	edit(t, newest(t, dir, "*.log"), func(b []byte) []byte { return b[:used(b)/2] })
	for range 2 {
		if _, err := Open(Options{Dir: dir, Logger: quiet}); codeOf(err) != hub.CodeCorrupt || !strings.Contains(err.Error(), "were acknowledged") {
			t.Fatalf("half of what was acknowledged is gone: %v", err)
		}
	}
	os.Remove(filepath.Join(dir, witnessFile)) // as the text says
	l := mustOpen(t, Options{Dir: dir})
	if p := readAll(t, l, hub.Retention{}); len(p.Messages) == 0 {
		t.Fatal("nothing is left")
	}
}

// Pebble takes damage to its manifest for the manifest's end.
func TestDamagedManifest(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	l := mustOpen(t, o)
	for i := range 3 {
		put(t, l, fmt.Sprint(i), hub.Retention{})
		if err := l.inst.Load().flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.witnessing.write(l.acked.Load(), false); err != nil {
		t.Fatal(err)
	}
	manifest := newest(t, o.Dir, "MANIFEST-*")
	b, _ := os.ReadFile(manifest)
	for at := range b {
		damaged := t.TempDir()
		copyDir(t, o.Dir, damaged)
		edit(t, newest(t, damaged, "MANIFEST-*"), func(b []byte) []byte { b[at] ^= 4; return b })
		l, err := Open(Options{Dir: damaged, Logger: quiet})
		if err == nil {
			n := len(readAll(t, l, hub.Retention{}).Messages)
			l.Close()
			if n != 3 {
				t.Fatalf("byte %d of the manifest flipped: opened with %d of 3 messages", at, n)
			}
		} else if !strings.Contains(err.Error(), damaged) {
			t.Fatal(err)
		}
		if at > 60 && at%7 != 0 {
			continue
		}
	}
}

// A flipped bit in a table is met when it is read: the page is refused, other channels are served.
func TestDamagedTable(t *testing.T) {
	o := Options{Dir: t.TempDir(), Logger: quiet}
	l := mustOpen(t, o)
	for i := range 400 {
		put(t, l, fmt.Sprint(i), hub.Retention{})
	}
	l.Close()
	table := newest(t, o.Dir, "*.sst")
	edit(t, table, func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
	l, err := Open(o)
	if err != nil {
		t.Skipf("the bit was one that is needed to open: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	p, err := l.Read(bg, chanA, hub.Query{Limit: 1000})
	if err == nil && len(p.Messages) == 400 {
		t.Fatal("the bit was nowhere")
	}
	if codeOf(err) != hub.CodeCorrupt || !strings.Contains(err.Error(), o.Dir) || len(p.Messages) > 0 {
		t.Fatalf("%d messages, %v", len(p.Messages), err)
	}
	if r := storetest.Append(t, l, hub.Entry{Message: &hub.Message{Channel: hub.Channel{Name: "other"}, OwnID: true}})[0]; r.Err != nil {
		t.Fatal(r.Err)
	}
}

// A bit that flips in a record and is not Pebble's to find, because it flipped before the block's checksum was made.
func TestDamagedRecord(t *testing.T) {
	l := mustOpen(t, Options{Dir: t.TempDir(), Logger: quiet})
	r := put(t, l, "x", hub.Retention{})
	in := l.inst.Load()
	key := messageKey(r.Position.Offset, r.Position.Offset)
	b, err := getCopy(in.db, key)
	if err != nil || b == nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if err := in.db.Set(key, b, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Read(bg, chanA, hub.Query{Limit: 1}); codeOf(err) != hub.CodeCorrupt {
		t.Fatalf("%v", err)
	}
}

// With sync = never, a machine that goes down may lose any page of the WAL. The log goes on with what is whole, in a new epoch.
func TestPowerLossWithoutSync(t *testing.T) {
	dir, head := crashed(t, 150, Options{Sync: SyncNever, BootID: "one"})
	edit(t, newest(t, dir, "*.log"), func(b []byte) []byte {
		clear(b[60_000:70_000])
		return b
	})
	l := mustOpen(t, Options{Dir: dir, Sync: SyncNever, BootID: "two", Logger: quiet})
	p := readAll(t, l, hub.Retention{})
	n := len(p.Messages)
	if n == 0 || n >= 150 {
		t.Fatalf("%d messages", n)
	}
	checkChain(t, p, p.Head, []string{"0"})
	r := put(t, l, "new", hub.Retention{})
	if r.Position.Epoch == head.Epoch || r.Position.Offset != p.Head.Offset+1 {
		t.Fatalf("%v after %v", r.Position, p.Head)
	}
	for _, c := range []struct {
		at    hub.Position
		reset hub.Reset
		n     int
	}{
		{head, hub.ResetEpoch, 1},                         // it has seen what is lost
		{p.Head, "", 1},                                   // it has not
		{p.Messages[n-2].Position(), "", 2},               // nor this
		{hub.Position{Epoch: "x"}, hub.ResetEpoch, n + 1}, // of another log
	} {
		page, err := l.Read(bg, chanA, hub.Query{After: &c.at, Limit: 1000})
		if err != nil || page.Reset != c.reset || len(page.Messages) != c.n {
			t.Fatalf("cursor %v: reset %q, %d messages, %v", c.at, page.Reset, len(page.Messages), err)
		}
	}
	// Killed in the same boot: nothing is lost, the epoch stays.
	dir, head = crashed(t, 20, Options{Sync: SyncNever, BootID: "one"})
	l = mustOpen(t, Options{Dir: dir, Sync: SyncNever, BootID: "one"})
	if p := readAll(t, l, hub.Retention{}); p.Head != head {
		t.Fatalf("%v, was %v", p.Head, head)
	}
}

// The disk is a small tmpfs: it fills up, first by our own doing, then by another's, to the last byte.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("needs root on Linux to mount a small disk")
	}
	if err := syscall.Mount("sno-test", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil { // something has a file open that was closed
			t.Errorf("unmount: %v", err)
			syscall.Unmount(dir, syscall.MNT_DETACH)
		}
	})
	sink := newResyncSink()
	l := mustOpen(t, Options{Dir: dir, Sink: sink, Logger: quiet})
	data := make([]byte, 100_000)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	var ids []string
	fill := func(what string) {
		t.Helper()
		for i := 0; ; i++ {
			id := fmt.Sprint(what, i)
			r := storetest.Append(t, l, hub.Entry{Message: &hub.Message{Channel: chanA, ID: id, Data: data}})[0]
			if r.Err == nil {
				if ids = append(ids, id); i > 2000 {
					t.Fatal("64 MiB hold 200 MB")
				}
				continue
			}
			if c := codeOf(r.Err); c != hub.CodeDiskFull && c != hub.CodeUnavailable || !strings.Contains(r.Err.Error(), dir) {
				t.Fatal(r.Err)
			}
			return
		}
	}
	fill("a")
	if len(ids) < 50 {
		t.Fatalf("a disk of 64 MiB holds %d messages of 100 kB", len(ids))
	}
	checkChain(t, readAll(t, l, hub.Retention{}), readAll(t, l, hub.Retention{}).Head, ids)
	if r := put(t, l, "m", hub.Retention{Store: hub.StoreMemory}); r.Err != nil {
		t.Fatal(r.Err)
	}
	// Trimming gives space back, although the disk is full.
	head := readAll(t, l, hub.Retention{}).Head
	eventually(t, func() bool { return l.Trim(bg, chanA, head.Offset) == nil })
	ids = nil
	eventually(t, func() bool { return put(t, l, "b", hub.Retention{}).Err == nil })
	ids = append(ids, "b")
	// Another process takes all that is left.
	hog := filepath.Join(dir, "hog")
	f, err := os.Create(hog)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(data)
	}
	f.Close()
	l.space.reserve = 0 // so that Pebble meets it and not we
	fill("c")
	before := readAll(t, l, hub.Retention{})
	os.Remove(hog)
	eventually(t, func() bool { return put(t, l, "d", hub.Retention{}).Err == nil })
	p := readAll(t, l, hub.Retention{})
	seen := map[string]bool{}
	for _, m := range p.Messages {
		seen[m.ID] = true
	}
	for _, id := range append(ids, "d") {
		if !seen[id] {
			t.Fatalf("%q was acknowledged and is not there (%d then, %d now)", id, len(before.Messages), len(p.Messages))
		}
	}
}
