package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

// backend is a model of an endpoint, and drives a courier by hand, one step after the other.
type backend struct {
	t    *rapid.T
	log  *local.Log
	e    Endpoint
	c    *courier
	sent map[string]int // how many events each channel has had

	mu      sync.Mutex
	down    bool
	broken  map[string]bool
	got     map[string]int // the last of each channel
	crashed bool           // some may come twice
	until   int            // requests until the end; <0: none is near
	end     func()
}

func (b *backend) hire() {
	o := &Options{Log: b.log, Logger: slog.New(slog.DiscardHandler), Meter: noMeter{}, Life: DefaultLife}
	b.c = newCourier("a", b.e, o, b.post)
	b.c.load(context.Background())
	if !b.c.loaded() {
		b.t.Fatal("the progress was not read")
	}
}

func (b *backend) post(ctx context.Context, records []record) *failure {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until--; b.until == 0 {
		b.end()
	}
	if ctx.Err() != nil {
		return &failure{text: "cut off"}
	}
	for _, r := range records {
		if b.down || b.broken[r.Channel] {
			return &failure{text: "no"}
		}
	}
	for _, r := range records {
		var n int
		if err := json.Unmarshal(r.Data, &n); err != nil {
			b.t.Fatal(err)
		}
		switch last := b.got[r.Channel]; {
		case n == last+1:
			b.got[r.Channel] = n
		case n > last:
			b.t.Fatalf("%s: %d came after %d", r.Channel, n, last)
		case !b.crashed:
			b.t.Fatalf("%s: %d came again after %d, and nothing had crashed", r.Channel, n, last)
		}
	}
	return nil
}

// step does a round or a visit with contexts of its own.
func (b *backend) step(visit bool, stop, abort context.Context) {
	if !visit {
		if _, err := b.c.round(stop, abort); err != nil && stop.Err() == nil {
			b.t.Fatal(err)
		}
		return
	}
	for _, k := range b.c.progress.Parked {
		k.due = time.Time{}
	}
	if k, _ := b.c.claim(); k != nil {
		b.c.visitOne(stop, abort, k)
	}
}

func (b *backend) record(channel string) {
	b.sent[channel]++
	e := record{ID: fmt.Sprint(channel, "-", b.sent[channel]), Event: said(channel, b.sent[channel])}
	m, err := e.message("a")
	if err == nil {
		err = appendAll(context.Background(), b.log, hub.Entry{Message: m})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// cut lets a step be ended in its middle, by a stop or by a crash, and starts again.
func (b *backend) cut(visit, crash bool, after int) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.until, b.end = after, cancel
	abort := context.Background()
	if crash {
		abort = ctx
		b.crashed = true
	}
	b.step(visit, ctx, abort)
	b.until = -1
	if !crash {
		if err := b.c.keep(context.Background()); err != nil {
			b.t.Fatal(err)
		}
	}
	b.hire()
}

// Whatever the endpoint refuses and whenever, and wherever the server is stopped or cut off: the events of a channel come in order, none is left out, and only after a crash does
// one come twice. In the end all have come.
func TestCourier(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		log := openLog(t, vfs.NewMem())
		defer log.Close()
		b := &backend{t: r, log: log, e: Endpoint{Name: "one", Batch: rapid.IntRange(1, 4).Draw(r, "batch")}, sent: map[string]int{}, broken: map[string]bool{}, got: map[string]int{}, until: -1}
		b.hire()
		channels := rapid.SampledFrom([]int{1, 4, maxParked + 8}).Draw(r, "channels")
		channel := rapid.Custom(func(r *rapid.T) string { return fmt.Sprint("c", rapid.IntRange(1, channels).Draw(r, "channel")) })
		run := func(visit bool) { b.step(visit, context.Background(), context.Background()) }
		r.Repeat(map[string]func(*rapid.T){
			"record": func(r *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(r, "events") {
					b.record(channel.Draw(r, "of"))
				}
			},
			"break": func(r *rapid.T) { b.broken[channel.Draw(r, "what")] = true },
			"heal":  func(*rapid.T) { b.broken = map[string]bool{} },
			"down":  func(r *rapid.T) { b.down = rapid.Bool().Draw(r, "down") },
			"round": func(*rapid.T) { run(false) },
			"visit": func(*rapid.T) { run(true) },
			"cut": func(r *rapid.T) {
				b.cut(rapid.Bool().Draw(r, "visit"), rapid.Bool().Draw(r, "crash"), rapid.IntRange(1, 10).Draw(r, "after"))
			},
			"": func(r *rapid.T) {
				if n := len(b.c.progress.Parked); n > maxParked {
					r.Fatalf("%d channels are parked", n)
				}
			},
		})
		b.down, b.broken = false, map[string]bool{}
		for n := 0; len(b.c.progress.Parked) > 0 || b.c.progress.Offset < head(r, log); n++ {
			if run(n%2 == 0); n > 10_000 {
				r.Fatalf("it does not come to an end: %+v", b.c.progress)
			}
		}
		for name, n := range b.sent {
			if b.got[name] != n {
				r.Fatalf("%s: %d of %d came", name, b.got[name], n)
			}
		}
	})
}

func head(t *rapid.T, log *local.Log) uint64 {
	p, err := log.Head(context.Background(), eventsOf("a"), hub.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Offset
}
