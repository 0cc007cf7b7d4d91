package local

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/storetest"
)

func diskSize(t testing.TB, dir string) (n int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil {
			if i, err := d.Info(); err == nil {
				n += i.Size()
			}
		}
		return nil
	})
	return n
}

// A channel that keeps 4 MB and is sent 60 MB takes a bounded part of the disk.
func TestRetentionFreesDisk(t *testing.T) {
	o := Options{Dir: t.TempDir(), Sync: SyncNever, MemtableBytes: 1 << 20}
	l := mustOpen(t, o)
	data := make([]byte, 2000)
	random := rand.NewChaCha8([32]byte{})
	worst := int64(0)
	for i := range 300 {
		var entries []hub.Entry
		for j := range 100 {
			random.Read(data) // does not compress
			e := hub.Entry{Message: &hub.Message{Channel: chanA, ID: fmt.Sprint(i, j), Data: append([]byte{}, data...)}, Keep: hub.Retention{Messages: 2000}}
			if e.Message.OwnID = j%2 == 0; e.Message.OwnID {
				e.Message.ID = ""
			}
			entries = append(entries, e)
		}
		storetest.Append(t, l, entries...)
		if i > 100 && i%20 == 0 {
			worst = max(worst, diskSize(t, o.Dir))
		}
	}
	if worst > 40<<20 {
		t.Fatalf("4 MB are kept; the directory had up to %d MiB", worst>>20)
	}
	t.Logf("at most %d MiB", worst>>20)
}

// The sweep: what has become too old is gone from disk, ids with it, and in the end the channel itself.
func TestSweep(t *testing.T) {
	c := newClock()
	l := mustOpen(t, Options{Dir: t.TempDir(), Now: c.now, Sync: SyncNever})
	keep := hub.Retention{Age: time.Hour}
	count := func(kind byte) (n int) {
		in := l.inst.Load()
		in.use(func() error {
			it, err := in.db.NewIter(nil)
			if err != nil {
				return err
			}
			defer it.Close()
			for ok := it.First(); ok; ok = it.Next() {
				if it.Key()[0] == kind {
					n++
				}
			}
			return it.Error()
		})
		return n
	}
	want := func(what string, messages, ids, heads int) {
		t.Helper()
		if m, i, h := count(kindMessage), count(kindID), count(kindHead); m != messages || i != ids || h != heads {
			t.Fatalf("%s: %d messages, %d ids, %d heads on disk; want %d, %d, %d", what, m, i, h, messages, ids, heads)
		}
	}
	var last hub.Result
	for i := range 3000 {
		last = put(t, l, fmt.Sprint(i), keep)
	}
	other := storetest.Append(t, l, hub.Entry{Message: &hub.Message{Channel: hub.Channel{Name: "other"}, OwnID: true}})[0]
	l.sweep()
	want("at once", 3001, 3000, 2)
	c.advance(61 * time.Minute)
	l.sweep()
	want("after an hour", 1, 0, 2)
	if p := readAll(t, l, keep); p.Head != last.Position {
		t.Fatalf("the head is %v, was %v", p.Head, last.Position)
	}
	c.advance(8 * 24 * time.Hour)
	l.sweep()
	want("after a week", 1, 0, 1)
	// A cursor from before the channel was forgotten meets a gap when it is used again, and none at its end.
	old := hub.Position{Epoch: last.Position.Epoch, Offset: last.Position.Offset - 1}
	for range 2 {
		for at, reset := range map[hub.Position]hub.Reset{old: hub.ResetExpired, last.Position: ""} {
			p, err := l.Read(bg, chanA, hub.Query{After: &at, Limit: 1})
			if err != nil || p.Reset != reset {
				t.Fatalf("%v: reset %q, %v", at, p.Reset, err)
			}
		}
		if r := put(t, l, "again", keep); r.Prev != last.Position.Offset || r.Position.Offset <= other.Position.Offset {
			t.Fatalf("%+v", r)
		}
	}
}

// Ids of messages that were removed early are remembered for ten minutes and then deleted.
func TestSweepIDs(t *testing.T) {
	c := newClock()
	l := mustOpen(t, Options{Dir: t.TempDir(), Now: c.now, Sync: SyncNever})
	keep := hub.Retention{Messages: 1}
	for i := range 500 {
		put(t, l, fmt.Sprint(i), keep)
	}
	stale := func() (n int) {
		in := l.inst.Load()
		it, err := in.db.NewIter(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer it.Close()
		for ok := it.First(); ok; ok = it.Next() {
			if k := it.Key()[0]; k == kindStale || k == kindID {
				n++
			}
		}
		return n
	}
	l.sweep()
	if n := stale(); n != 999 { // 499 of removed messages with a date each, 1 kept
		t.Fatalf("%d keys of ids", n)
	}
	c.advance(11 * time.Minute)
	put(t, l, "7", keep) // the id is free again: a new message takes it, and keeps it
	l.sweep()
	l.sweep()
	if n := stale(); n != 1 { // the new message's
		t.Fatalf("%d keys of ids", n)
	}
	if r := put(t, l, "7", keep); !r.Duplicate {
		t.Fatalf("%+v", r)
	}
}
