package outbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

// What a protocol tells comes as it has told it. A crowd that misses the same is one event.
func TestToldByAProtocol(t *testing.T) {
	r := receive(t)
	w := open(t, Options{}, at("one", r))
	c, other := hub.Channel{App: "a", Name: "c"}, hub.Channel{App: "a", Name: "other"}
	w.ClientEvent(c, "client-typed", []byte(`{"at":1}`), "12.34", "ann")
	for range 100 {
		w.CacheMiss(c)
	}
	w.SubscriptionCount(c, 7)
	r.events(3)
	w.CacheMiss(other)
	got := r.events(4)
	if want := []string{"client_event cann", "cache_miss c", "subscription_count c", "cache_miss other"}; fmt.Sprint(kindsOf(got)) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", kindsOf(got), want)
	}
	if d := got[0].Data; d.Event != "client-typed" || string(d.Data) != `{"at":1}` || d.Session != "12.34" {
		t.Errorf("got %+v", d)
	}
	if d := got[2].Data; d.Count == nil || *d.Count != 7 {
		t.Errorf("got %+v", d)
	}
}

// Channels that a protocol has for itself come and go unheard.
func TestHidden(t *testing.T) {
	r := receive(t)
	w := open(t, Options{}, at("one", r))
	w.apps[0].Hidden = []string{"own:*"}
	w.SetApps(w.apps)
	w.ready()
	own, c := hub.Channel{App: "a", Name: "own:x"}, hub.Channel{App: "a", Name: "c"}
	w.Occupied(own)
	w.Entered(own, "ann")
	w.Occupied(c)
	if got := r.events(1); len(got) != 1 || got[0].Data.Channel != "c" {
		t.Errorf("got %v", kindsOf(got))
	}
}

// A channel that stays empty is told of again after a while, and however many there are, few are remembered.
func TestMisses(t *testing.T) {
	var m misses
	now := time.Now()
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, true}, {0, false}, {missAgain - 1, false}, {missAgain, true}, {missAgain + 1, false}} {
		if got := m.first("c", now.Add(step.after)); got != step.want {
			t.Errorf("after %v: %t", step.after, got)
		}
	}
	for n := range 3 * maxMisses {
		if !m.first(fmt.Sprint(n), now) {
			t.Fatalf("%d was never told", n)
		}
	}
	if len(m.told) > maxMisses {
		t.Errorf("%d are remembered", len(m.told))
	}
}

// openHub opens a hub whose sessions are of the app "b", on a log of its own.
func openHub(t *testing.T, o hub.Observer) *hub.Session {
	t.Helper()
	h, err := hub.New(hub.Options{Observer: o, Open: func(s hub.Sink) (hub.Log, error) {
		return local.Open(local.Options{Dir: "data", FS: vfs.NewMem(), Sink: s})
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	h.SetApps([]hub.App{{ID: "b"}})
	g := &hub.Grant{App: "b", Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}
	return h.NewSession(g, hub.SessionOptions{}, hub.WakeFunc(func() {}))
}

// comeAndGo is how many allocations it takes a session to follow a channel, enter it and leave.
func comeAndGo(t *testing.T, s *hub.Session) float64 {
	var events []hub.Event
	pull := func() { events, _ = s.Pull(events[:0], 1<<20) }
	do := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return testing.AllocsPerRun(200, func() {
		do(s.Reserve(0))
		do(s.Subscribe("c", hub.From{}, false, 0, func(hub.Position, hub.Deliver) (any, int) { return nil, 0 }))
		do(s.Enter("c", "ann", nil))
		do(s.Leave("c", "ann"))
		do(s.Reserve(0))
		do(s.Unsubscribe("c", 0, nil, 0))
		pull()
	})
}

// Whatever happens in an app without webhooks costs no allocation and waits for no lock, though another app has some.
func TestNoWebhookCostsNothing(t *testing.T) {
	w := open(t, Options{}, at("one", receive(t)))
	w.ready()
	with, without := openHub(t, w.Outbox), openHub(t, nil)
	b := (*w.boxes.Load())["a"]
	for _, l := range []interface {
		Lock()
		Unlock()
	}{&w.setting, &b.tracker.mu, &b.queue.mu, &b.misses.mu} {
		l.Lock() // whoever needs it does not come to an end
		defer l.Unlock()
	}
	c, data := hub.Channel{App: "b", Name: "c"}, []byte("1")
	n := testing.AllocsPerRun(100, func() {
		w.Occupied(c)
		w.Entered(c, "ann")
		w.ClientEvent(c, "client-typed", data, "12.34", "ann")
		w.CacheMiss(c)
		w.SubscriptionCount(c, 7)
		w.Left(c, "ann")
		w.Vacated(c)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
	if a, b := comeAndGo(t, with), comeAndGo(t, without); a > b {
		t.Errorf("a session that comes and goes makes %v allocations, and %v where there is no outbox", a, b)
	}
}

// What no endpoint wants costs no allocation either, in an app that has one for something else.
func TestUnwantedCostsNothing(t *testing.T) {
	e := at("one", receive(t))
	e.Events, e.Channels = []string{ClientEvent}, []string{"private-*"}
	w := open(t, Options{}, e)
	w.ready()
	c, data := hub.Channel{App: "a", Name: "c"}, []byte("1")
	n := testing.AllocsPerRun(100, func() {
		w.Occupied(c)
		w.ClientEvent(c, "client-typed", data, "12.34", "ann")
		w.SubscriptionCount(c, 7)
		w.Vacated(c)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
