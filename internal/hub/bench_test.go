package hub_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
	"github.com/snoserver/sno/internal/telemetry"
)

// inMemory keeps a benchmark from measuring the disk.
var inMemory = hub.Rule{Pattern: "*", Keep: hub.Retention{Store: hub.StoreMemory}}

// openMetered starts a hub as the server does, with its metrics.
func openMetered(b *testing.B) *hub.Hub {
	h, err := hub.New(hub.Options{Meter: telemetry.New("bench"), Open: func(s hub.Sink) (hub.Log, error) {
		return local.Open(local.Options{Dir: b.TempDir(), Sink: s})
	}})
	if err != nil {
		b.Fatal(err)
	}
	h.SetApps([]hub.App{{ID: "a", Rules: []hub.Rule{inMemory}}})
	b.Cleanup(func() {
		if err := h.Close(); err != nil {
			b.Error(err)
		}
	})
	return h
}

// BenchmarkPublish has publishers that each wait for their answer before they publish again.
func BenchmarkPublish(b *testing.B) {
	for _, publishers := range []int{1, 64} {
		b.Run(fmt.Sprintf("publishers=%d", publishers), func(b *testing.B) {
			h := openMetered(b)
			data := []byte(`{"text":"hello"}`)
			b.ReportAllocs()
			b.SetParallelism(publishers)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := h.PublishWait(b.Context(), backend, []hub.Publication{{Channels: []string{"c"}, Data: data}}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkFanout brings every message to all sessions of a channel. An operation is one message given to one session.
func BenchmarkFanout(b *testing.B) {
	for _, sessions := range []int{10, 1000} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) { benchFanout(b, openMetered(b), sessions) })
	}
}

func benchFanout(b *testing.B, h *hub.Hub, sessions int) {
	messages := b.N/sessions + 1
	var all sync.WaitGroup
	for range sessions {
		c := connect(b, h, backend)
		c.subscribe(b, "c", hub.From{})
		all.Go(func() { c.drain(messages) })
	}
	const batch = 10
	pubs := make([]hub.Publication, batch)
	for i := range pubs {
		pubs[i] = hub.Publication{Channels: []string{"c"}, Data: []byte(`{"text":"hello"}`)}
	}
	b.ResetTimer()
	for n := 0; n < messages; n += batch {
		if _, err := h.PublishWait(b.Context(), backend, pubs[:min(batch, messages-n)]); err != nil {
			b.Fatal(err)
		}
	}
	all.Wait()
}

// drain pulls until n messages have come, or none comes for a long time.
func (c *client) drain(n int) {
	var events []hub.Event
	timeout := time.After(patience)
	for {
		var more bool
		events, more = c.Pull(events[:0], 64<<10)
		for _, e := range events {
			if e.Kind == hub.EventMessage {
				n--
			}
		}
		switch {
		case n <= 0:
			return
		case more:
			continue
		}
		select {
		case <-c.wake:
		case <-timeout:
			return
		}
	}
}
