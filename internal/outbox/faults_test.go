package outbox

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
)

// smallDisk is a disk that can be full.
type smallDisk struct {
	vfs.FS
	full atomic.Bool
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	u := vfs.DiskUsage{TotalBytes: 64 << 20, AvailBytes: 64 << 20}
	if d.full.Load() {
		u.AvailBytes = 0
	}
	return u, nil
}

// counted is a Meter that counts what is not recorded.
type counted struct {
	noMeter
	unrecorded atomic.Int64
}

func (c *counted) Unrecorded(string) { c.unrecorded.Add(1) }

// While the disk is full what was stored before goes on being sent, who is there is still known, and what a protocol tells waits, up to a bound. When there is room
// again all of that comes. What is beyond the bound is counted.
func TestFullDisk(t *testing.T) {
	r, disk, meter := receive(t), &smallDisk{FS: vfs.NewMem()}, &counted{}
	e := at("one", r)
	e.Batch = MaxBatch
	w := &world{t: t, o: Options{Grace: time.Millisecond, Meter: meter}, disk: disk, apps: []App{{ID: "a", Endpoints: []Endpoint{e}}}}
	w.start()
	t.Cleanup(func() { w.close() })
	w.ready()
	c, gone := hub.Channel{App: "a", Name: "c"}, hub.Channel{App: "a", Name: "gone"}
	r.answers(func([]nativeEvent) int { return http.StatusServiceUnavailable })
	w.Occupied(gone)
	w.record(said("before", 1), said("before", 2))
	w.state("one", "it is parked", func(s Status) bool { return s.Parked == 2 })
	disk.full.Store(true)
	w.until("an append is refused", func() bool {
		return appendAll(t.Context(), w.log, hub.Entry{Message: &hub.Message{Channel: eventsOf("other"), OwnID: true}}) != nil
	})
	w.Occupied(c)
	w.Vacated(gone)
	w.tell("a", said("during", 1))
	r.answers(nil)
	got := r.until("what was stored before", func(got []nativeEvent, _ int) bool { return count(got, "before") == 2 && count(got, "gone") == 1 })
	if len(got) != 3 {
		t.Errorf("while the disk is full came %v", briefly(got))
	}
	for n := 2; n <= maxQueued+10; n++ {
		w.tell("a", said("during", n))
	}
	b := (*w.boxes.Load())["a"]
	if n := meter.unrecorded.Load(); n != 10 || len(b.queue.head(2*maxQueued)) != maxQueued {
		t.Errorf("%d events were not recorded, and %d wait", n, len(b.queue.head(2*maxQueued)))
	}
	disk.full.Store(false)
	got = r.until("the rest", func(got []nativeEvent, _ int) bool {
		return count(got, "during") == maxQueued && slices.Contains(kindsOf(got), "channel_occupied c") && slices.Contains(kindsOf(got), "channel_vacated gone")
	})
	var during []nativeEvent
	for _, e := range got {
		if e.Data.Channel == "during" {
			during = append(during, e)
		}
	}
	ordered(t, during, maxQueued)
	w.state("one", "nothing waits", func(s Status) bool { return s.Oldest.IsZero() && s.Parked == 0 })
}

// mute is a log that stores events and says that it may not have, as after an fsync that failed.
type mute struct {
	Log
	times atomic.Int32
}

func (l *mute) Append(entries []hub.Entry, done func([]hub.Result)) {
	events := entries[0].Message.Channel.Name == eventsChannel
	l.Log.Append(entries, func(results []hub.Result) {
		if events && l.times.Add(-1) >= 0 {
			for i := range results {
				results[i].Err = hub.Errorf(hub.CodeUnavailable, "it may have been stored")
			}
		}
		done(results)
	})
}

// What the log has taken without saying so is one event nevertheless.
func TestStoredUnheard(t *testing.T) {
	r := receive(t)
	log := openLog(t, vfs.NewMem())
	l := &mute{Log: log}
	l.times.Store(2)
	x := New()
	x.Start(Options{Log: l})
	x.SetApps([]App{{ID: "a", Endpoints: []Endpoint{at("one", r)}}})
	w := &world{Outbox: x, t: t}
	w.ready()
	c := hub.Channel{App: "a", Name: "c"}
	x.Occupied(c)
	x.CacheMiss(c)
	r.events(2)
	w.until("the log is heard", func() bool { return l.times.Load() < 0 })
	w.record(said("c", 1))
	if got := r.events(3); len(got) != 3 || kindsOf(got)[2] != "client_event c" {
		t.Errorf("got %v", kindsOf(got))
	}
	x.Close()
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

// unreadable is a log that cannot be read.
type unreadable struct{ Log }

func (unreadable) Read(context.Context, hub.Channel, hub.Query) (hub.Page, error) {
	return hub.Page{}, errors.New("cannot be read")
}

// An endpoint whose place cannot be read is listed, gets nothing, and says why it cannot be tried.
func TestUnreadable(t *testing.T) {
	r := receive(t)
	log := openLog(t, vfs.NewMem())
	x := New()
	x.Start(Options{Log: unreadable{log}})
	x.SetApps([]App{{ID: "a", Endpoints: []Endpoint{at("one", r)}}})
	if _, err := x.Try(t.Context(), "a", "one"); codeOf(err) != hub.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if all, err := x.Status(t.Context(), "a"); err != nil || len(all) != 1 {
		t.Errorf("got %v, %v", all, err)
	}
	x.Close()
	if err := log.Close(); err != nil {
		t.Error(err)
	}
	if len(r.got) != 0 {
		t.Errorf("got %v", briefly(r.got))
	}
}

// A test is sent at once, says what came of it, and has what is parked tried when it is taken.
func TestTry(t *testing.T) {
	r := receive(t)
	r.answers(func([]nativeEvent) int { return http.StatusTeapot })
	w := open(t, Options{}, at("one", r))
	w.record(said("c", 1))
	parked := func() *parked {
		c, err := w.courier("a", "one")
		if err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.progress.find("c")
	}
	w.until("it is parked", func() bool { return parked() != nil })
	if a, err := w.Try(t.Context(), "a", "one"); err != nil || a.Taken || a.Reason != "status 418" {
		t.Errorf("%+v, %v", a, err)
	}
	r.answers(func(events []nativeEvent) int {
		if events[0].Type == testEvent {
			return http.StatusOK
		}
		return http.StatusTeapot
	})
	c, _ := w.courier("a", "one")
	c.mu.Lock()
	k := c.progress.find("c")
	k.due, k.inRow = time.Now().Add(time.Hour), 9
	c.mu.Unlock()
	if a, err := w.Try(t.Context(), "a", "one"); err != nil || !a.Taken || a.Reason != "" {
		t.Errorf("%+v, %v", a, err)
	}
	w.until("it has failed again and does not wait long", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return k.inRow == 1 && time.Until(k.due) < 2*time.Second
	})
	r.answers(nil)
	w.until("it is tried again", func() bool { return parked() == nil })
	if got := r.events(2); got[0].Type != testEvent || got[0].Data.ID == "" || got[0].Data.App != "a" || count(got, "c") != 1 {
		t.Errorf("got %+v", got)
	}
	if _, err := w.Try(t.Context(), "a", "two"); codeOf(err) != hub.CodeNotFound {
		t.Errorf("got %v", err)
	}
}
