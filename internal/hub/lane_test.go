package hub_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// looper is a lane as a transport has one: a goroutine that is given calls.
type looper struct {
	calls chan func()
	done  chan struct{}
}

func newLooper(t *testing.T) *looper {
	t.Helper()
	l := &looper{calls: make(chan func(), 1<<16), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for f := range l.calls {
			f()
		}
	}()
	return l
}

func (l *looper) Call(f func()) { l.calls <- f }

// drained is a session of a lane: it is drained by its goroutine only, and takes what has to be waited for there, too.
type drained struct {
	*hub.Session
	lane *looper

	mu   sync.Mutex
	got  []*hub.Message
	runs int
	want int
	all  chan struct{}
}

func (d *drained) Wake() { d.lane.Call(d.Drain) }

func (d *drained) Drain() {
	if d.Session == nil {
		return // it is only just made
	}
	for more := true; more; {
		var run *hub.Run
		if run, more = d.PullRun(); run != nil {
			d.take(run.Messages(), true)
			continue
		}
		var events []hub.Event
		var wait bool
		events, more, wait = d.PullNow(nil, 4096)
		if wait {
			var rest []hub.Event
			rest, more = d.Pull(nil, 4096)
			events = append(events, rest...)
		}
		for _, e := range events {
			if e.Kind == hub.EventMessage {
				d.take([]*hub.Message{e.Message}, false)
			}
		}
	}
}

func (d *drained) take(messages []*hub.Message, run bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, messages...)
	if run {
		d.runs++
	}
	if len(d.got) == d.want {
		close(d.all)
	}
}

// everything waits until all have what they want.
func everything(t *testing.T, all []*drained) {
	t.Helper()
	for i, d := range all {
		select {
		case <-d.all:
		case <-time.After(patience):
			t.Fatalf("session %d got %d of %d messages", i, len(d.got), d.want)
		}
	}
}

// TestLanesKeepLogOrder has sessions of two lanes, and some of none, follow several channels to which several publish at once: each gets every message, in the order of the log over all its channels.
func TestLanesKeepLogOrder(t *testing.T) {
	const channels, sessions, publishers, each = 3, 20, 4, 200
	h := open(t, inMemory)
	lanes := []*looper{newLooper(t), newLooper(t)}
	all := make([]*drained, sessions)
	for i := range all {
		d := &drained{lane: lanes[i%2], want: publishers * each, all: make(chan struct{})}
		o := hub.SessionOptions{}
		if i < sessions-2 { // the last ones are woken
			o.Lane = d.lane
		}
		made := make(chan struct{})
		d.lane.Call(func() {
			d.Session = h.NewSession(backend, o, d)
			close(made)
		})
		<-made
		for c := range channels {
			if err := d.Reserve(0); err != nil {
				t.Fatal(err)
			}
			if err := d.Subscribe(fmt.Sprint("c", c), hub.From{}, false, 0, func(hub.Position, hub.Deliver) (any, int) { return "", 0 }); err != nil {
				t.Fatal(err)
			}
		}
		all[i] = d
	}
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				publish(t, h, hub.Publication{Channels: []string{fmt.Sprint("c", (p+i)%channels)}})
			}
		})
	}
	publishing.Wait()
	everything(t, all)
	// Under load each session may have had news of several channels whenever it was drained. One message alone is a run.
	for _, d := range all {
		d.mu.Lock()
		d.want, d.all = d.want+1, make(chan struct{})
		d.mu.Unlock()
	}
	publish(t, h, hub.Publication{Channels: []string{"c0"}})
	everything(t, all)
	runs := 0
	for i, d := range all {
		d.mu.Lock()
		for j := 1; j < len(d.got); j++ {
			if d.got[j].Offset <= d.got[j-1].Offset {
				t.Fatalf("session %d got offset %d behind %d", i, d.got[j].Offset, d.got[j-1].Offset)
			}
		}
		runs += d.runs
		d.mu.Unlock()
	}
	if runs == 0 {
		t.Error("no session has got a run")
	}
	for _, d := range all {
		d.Close(0)
	}
	for _, l := range lanes {
		close(l.calls)
		<-l.done
	}
}
