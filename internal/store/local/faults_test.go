package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/storetest"
)

var (
	bg    = context.Background()
	chanA = hub.Channel{App: "app", Name: "a"}
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// resyncSink says when the store has been opened again.
type resyncSink struct {
	storetest.Collector
	again chan struct{}
}

func newResyncSink() *resyncSink { return &resyncSink{again: make(chan struct{}, 100)} }

func (s *resyncSink) Resync() {
	s.Collector.Resync()
	s.again <- struct{}{}
}

func (s *resyncSink) wait(t testing.TB) {
	t.Helper()
	select {
	case <-s.again:
	case <-time.After(30 * time.Second):
		t.Fatal("the store was not opened again within 30 seconds")
	}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func put(t testing.TB, l *Log, id string, keep hub.Retention) hub.Result {
	t.Helper()
	return storetest.Append(t, l, hub.Entry{Message: &hub.Message{Channel: chanA, ID: id, Data: []byte(id)}, Keep: keep})[0]
}

func codeOf(err error) hub.Code {
	var e *hub.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func readAll(t testing.TB, l *Log, keep hub.Retention) hub.Page {
	t.Helper()
	p, err := l.Read(bg, chanA, hub.Query{Limit: 1 << 20, Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A write that fails, wherever it fails: what is in flight fails, reads and channels in memory go on, nothing is stored until the store has been opened
// again, which it is when the fault is gone; then a retry with the same id stores the message once.
func TestWriteFails(t *testing.T) {
	for name, c := range map[string]struct {
		fail  func(op, string) error
		flush bool // the fault is met when a memtable is flushed
		code  hub.Code
	}{
		"wal sync":      {failing(opSync, ".log", syscall.EIO), false, hub.CodeUnavailable},
		"wal write":     {failing(opWrite, ".log", syscall.EIO), false, hub.CodeUnavailable},
		"wal full":      {failing(opWrite, ".log", syscall.ENOSPC), false, hub.CodeDiskFull},
		"table create":  {failing(opCreate, ".sst", syscall.ENOSPC), true, hub.CodeDiskFull},
		"table write":   {failing(opWrite, ".sst", syscall.EIO), true, hub.CodeUnavailable},
		"table sync":    {failing(opSync, ".sst", syscall.EIO), true, hub.CodeUnavailable},
		"manifest":      {failing(opWrite, "MANIFEST", syscall.EIO), true, hub.CodeUnavailable},
		"manifest sync": {failing(opSync, "MANIFEST", syscall.EIO), true, hub.CodeUnavailable},
		"wal create":    {failing(opCreate, ".log", syscall.ENOSPC), true, hub.CodeDiskFull},
	} {
		for _, fs := range []string{"memory", "disk"} {
			t.Run(name+"/"+fs, func(t *testing.T) {
				t.Parallel()
				sink := newResyncSink()
				o := Options{Dir: "data", Sink: sink, Logger: quiet, MemtableBytes: 256 << 10}
				faults := newFaultFS(vfs.NewMem())
				if fs == "disk" {
					o.Dir, faults.FS = t.TempDir(), vfs.Default
				}
				o.FS = faults
				testWriteFails(t, o, faults, sink, c.fail, c.flush, c.code)
			})
		}
	}
}

func testWriteFails(t *testing.T, o Options, faults *faultFS, sink *resyncSink, fail func(op, string) error, flush bool, code hub.Code) {
	l := mustOpen(t, o)
	for i := range 10 {
		if r := put(t, l, fmt.Sprint(i), hub.Retention{}); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	before := readAll(t, l, hub.Retention{})
	faults.set(fail)
	var failed []string
	first := error(nil)
	for i := 10; first == nil && i < 10_000; i++ {
		data := make([]byte, 10)
		if flush {
			data = make([]byte, 20_000)
		}
		id := fmt.Sprint(i)
		r := storetest.Append(t, l, hub.Entry{Message: &hub.Message{Channel: chanA, ID: id, Data: data}})[0]
		if r.Err != nil {
			first = r.Err
			failed = append(failed, id)
		} else {
			before.Head = r.Position
		}
	}
	if got := codeOf(first); got != hub.CodeUnavailable && got != code || !strings.Contains(first.Error(), o.Dir) {
		t.Fatalf("the first failure is %v", first)
	}
	for i := range 5 {
		id := fmt.Sprint("later", i)
		r := put(t, l, id, hub.Retention{})
		if codeOf(r.Err) != code {
			t.Fatalf("while broken: %v", r.Err)
		}
		failed = append(failed, id)
	}
	if err := l.Check(); codeOf(err) != code {
		t.Errorf("while broken, Check says %v", err)
	}
	if p := readAll(t, l, hub.Retention{}); p.Head != before.Head || len(p.Messages) < 10 {
		t.Fatalf("while broken the head is %v, was %v; %d messages", p.Head, before.Head, len(p.Messages))
	}
	memory := hub.Retention{Store: hub.StoreMemory}
	if r := put(t, l, "m", memory); r.Err != nil || len(readAll(t, l, memory).Messages) != 1 {
		t.Fatalf("in memory, while broken: %v", r.Err)
	}
	broken := l.Stats()
	faults.set(nil)
	sink.wait(t)
	if after := l.Stats(); after.Failures != 1 || broken.DiskBytes == 0 || broken.MemoryBytes == 0 {
		t.Errorf("while broken Stats said %+v, and when it was opened again %+v; one failure was met", broken, after)
	}
	for _, id := range failed {
		if r := put(t, l, id, hub.Retention{}); r.Err != nil {
			t.Fatalf("opened again: %v", r.Err)
		}
	}
	if err := l.Check(); err != nil {
		t.Errorf("opened again, Check says %v", err)
	}
	p := readAll(t, l, hub.Retention{})
	checkChain(t, p, before.Head, failed)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	if q := readAll(t, l, hub.Retention{}); len(q.Messages) != len(p.Messages) || q.Head != p.Head {
		t.Fatalf("after a restart %d messages up to %v, before %d up to %v", len(q.Messages), q.Head, len(p.Messages), p.Head)
	}
}

// checkChain checks that all up to a position and all with some ids are there once, in an unbroken chain.
func checkChain(t testing.TB, p hub.Page, through hub.Position, ids []string) {
	t.Helper()
	seen := map[string]int{}
	prev := uint64(0)
	found := false
	for _, m := range p.Messages {
		if m.Prev != prev {
			t.Fatalf("a gap: %v is after %d, not %d", m.Position(), m.Prev, prev)
		}
		prev = m.Offset
		seen[m.ID]++
		found = found || m.Position() == through
	}
	if !found {
		t.Fatalf("what was at %v is not there", through)
	}
	for _, id := range ids {
		if seen[id] != 1 {
			t.Fatalf("%q is there %d times", id, seen[id])
		}
	}
}

// An fsync error while many publish: nobody is told that a message is stored which then is not.
func TestSyncFailsUnderLoad(t *testing.T) {
	sink := newResyncSink()
	faults := newFaultFS(vfs.Default)
	o := Options{Dir: t.TempDir(), FS: faults, Sink: sink, Logger: quiet}
	l := mustOpen(t, o)
	const publishers = 16
	acked := make(chan string, 1<<20)
	stop := make(chan struct{})
	ended := make(chan struct{})
	for p := range publishers {
		go func() {
			defer func() { ended <- struct{}{} }()
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", p, i)
				for put(t, l, id, hub.Retention{}).Err != nil {
					select {
					case <-stop:
						return
					default:
					}
				}
				acked <- id
				select {
				case <-stop:
					return
				default:
				}
			}
		}()
	}
	for round := range 3 {
		for range 200 {
			<-acked
		}
		n := 0
		faults.set(func(o op, name string) error {
			if o != opSync || !strings.HasSuffix(name, ".log") {
				return nil
			}
			if n++; n <= 2 { // also when it is opened again for the first time
				return fmt.Errorf("injected %d: %w", round, syscall.EIO)
			}
			return nil
		})
		sink.wait(t)
		faults.set(nil)
	}
	close(stop)
	for range publishers {
		<-ended
	}
	close(acked)
	p := readAll(t, l, hub.Retention{})
	var ids []string
	for id := range acked {
		ids = append(ids, id)
	}
	checkChain(t, p, p.Head, ids)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, o)
	checkChain(t, readAll(t, l, hub.Retention{}), p.Head, ids)
}

// eventually asks until it is so: what it waits for happens outside of this process, such as a disk that has space again.
func eventually(t testing.TB, so func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !so(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("not within 30 seconds")
		}
	}
}
