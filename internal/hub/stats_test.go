package hub_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

func TestStats(t *testing.T) {
	h := open(t)
	slow, quick, other := connect(t, h, backend), connect(t, h, backend), connect(t, h, backend)
	for _, c := range []*client{slow, quick} {
		c.subscribe(t, "c", hub.From{})
	}
	other.subscribe(t, "other", hub.From{})
	for _, member := range []string{"m", "n"} {
		if err := slow.Enter("c", member, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := slow.Leave("c", "n"); err != nil {
		t.Fatal(err)
	}
	publishN(t, h, "c", 7)
	quick.events(t, 7)
	want := hub.Stats{Sessions: 3, Channels: 2, Members: 1, Examined: 3, Behind: 1, Lag: hub.Lag{Messages: 7}}
	if got := h.Stats(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for range 3 {
		publishN(t, h, "c", 1000) // more than a tail holds
	}
	got := h.Stats()
	if got.Behind != 2 || got.FarBehind != 2 || !got.Lag.AtLeast || got.Lag.Messages < 1000 {
		t.Errorf("far behind: %+v", got)
	}
	slow.Close(0)
	if got := h.Stats(); got.Sessions != 2 || got.Members != 0 {
		t.Errorf("after one has gone: %+v", got)
	}
}

// meter notes what it is told.
type meter struct {
	mu     sync.Mutex
	pulled hub.Pulled
	told   []string
}

func (m *meter) note(format string, args ...any) {
	m.mu.Lock()
	m.told = append(m.told, fmt.Sprintf(format, args...))
	m.mu.Unlock()
}
func (m *meter) Published(r []hub.Result, took time.Duration) {
	m.note("published %d %v", len(r), took > 0)
}
func (m *meter) Refused(n int, code hub.Code) { m.note("refused %d %v", n, code) }
func (m *meter) Reset(r hub.Reset)            { m.note("reset %s", r) }
func (m *meter) Pulled(p hub.Pulled) {
	m.mu.Lock()
	m.pulled = p
	m.mu.Unlock()
}

func TestMeterIsTold(t *testing.T) {
	m := new(meter)
	h, err := hub.New(hub.Options{Meter: m, Open: func(s hub.Sink) (hub.Log, error) { return local.Open(local.Options{Dir: t.TempDir(), Sink: s}) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	at := publishN(t, h, "c", 2)[0].Position
	c := connect(t, h, backend)
	c.subscribe(t, "c", hub.From{After: &at})
	c.events(t, 1)
	if p := m.pulled; p.Messages != 1 || p.Live != 0 {
		t.Errorf("of what was caught up on: %+v", p)
	}
	publishN(t, h, "c", 1)
	c.events(t, 1)
	if p := m.pulled; p.Messages != 1 || p.Live != 1 || p.Oldest <= 0 || p.Oldest > patience || p.Newest > p.Oldest {
		t.Errorf("of what was new: %+v", p)
	}
	c.subscribe(t, "c", hub.From{After: &hub.Position{Epoch: "x", Offset: 1}})
	c.events(t, 1)
	err = h.Publish(backend, []hub.Publication{{Channels: []string{"a", ""}}, {}}, func([]hub.Result) { t.Error("published") })
	want := "[published 2 true published 1 true reset epoch_changed refused 3 bad_request]"
	if got := fmt.Sprint(m.told); err == nil || got != want {
		t.Errorf("the meter was told %s (%v), want %s", got, err, want)
	}
}
