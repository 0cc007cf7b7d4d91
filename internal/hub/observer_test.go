package hub_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

// witness notes what an Observer is told, and that nothing is told twice in a row unless it was asked for.
type witness struct {
	t  *testing.T
	mu sync.Mutex
	// there has the channels as "name" and the members as "name member".
	there  map[string]bool
	told   int
	repeat bool
}

func (w *witness) set(what string, there bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told++; w.there[what] == there && !w.repeat {
		w.t.Errorf("%s: told again that it is there: %t", what, there)
	}
	w.there[what] = there
}

func (w *witness) Occupied(ch hub.Channel)          { w.set(ch.Name, true) }
func (w *witness) Vacated(ch hub.Channel)           { w.set(ch.Name, false) }
func (w *witness) Entered(ch hub.Channel, m string) { w.set(ch.Name+" "+m, true) }
func (w *witness) Left(ch hub.Channel, m string)    { w.set(ch.Name+" "+m, false) }

func (w *witness) want(what string, there bool) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.there[what] != there {
		w.t.Errorf("%q is there: %t, want %t", what, w.there[what], there)
	}
}

func openWitnessed(t *testing.T) (*hub.Hub, *witness) {
	t.Helper()
	w := &witness{t: t, there: map[string]bool{}}
	dir := t.TempDir()
	h, err := hub.New(hub.Options{Observer: w, Open: func(s hub.Sink) (hub.Log, error) {
		return local.Open(local.Options{Dir: dir, Sink: s})
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.SetApps([]hub.App{{ID: "a"}})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h, w
}

func TestObserver(t *testing.T) {
	h, w := openWitnessed(t)
	one, two := connect(t, h, backend), connect(t, h, backend)
	one.subscribe(t, "c", hub.From{})
	two.subscribe(t, "c", hub.From{})
	for _, c := range []*client{one, two} {
		if err := c.Enter("c", "ann", nil); err != nil {
			t.Fatal(err)
		}
	}
	if w.want("c", true); w.told != 2 {
		t.Errorf("told %d times of a channel and a member", w.told)
	}
	one.Close(0)
	w.want("c", true)
	w.want("c ann", true)
	two.Close(0)
	w.want("c", false)
	w.want("c ann", false)
}

// However sessions come and go at the same time, what was told last of each channel and member is how it is.
func TestObserverUnderConcurrency(t *testing.T) {
	h, w := openWitnessed(t)
	var running sync.WaitGroup
	for n := range 8 {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			for range 50 {
				c := connect(t, h, backend)
				for range 20 {
					channel := fmt.Sprint("c", r.IntN(3))
					switch r.IntN(4) {
					case 0:
						_ = c.Unsubscribe(channel, 0, "", 0) // it may not be subscribed
					case 1:
						_ = c.Enter(channel, fmt.Sprint("m", r.IntN(2)), nil)
					case 2:
						_ = c.Leave(channel, fmt.Sprint("m", r.IntN(2)))
					default:
						if _, err := h.Channel(t.Context(), backend, channel); err != nil {
							t.Error(err)
						}
						_ = c.Subscribe(channel, hub.From{}, false, 0, func(hub.Position, hub.Deliver) (any, int) { return "", 0 })
					}
				}
				if n > 0 {
					c.Close(0)
				}
			}
		})
	}
	running.Wait()
	for i := range 3 {
		name := fmt.Sprint("c", i)
		info, err := h.Channel(t.Context(), backend, name)
		if err != nil {
			t.Fatal(err)
		}
		w.want(name, info.Subscribers > 0)
		members, _, err := h.Members(backend, name)
		if err != nil {
			t.Fatal(err)
		}
		here := map[string]bool{}
		for _, m := range members {
			here[m.ID] = true
		}
		for j := range 2 {
			w.want(fmt.Sprint(name, " m", j), here[fmt.Sprint("m", j)])
		}
	}
}

// Who begins to listen late hears of all that is there, and of nothing else.
func TestObserve(t *testing.T) {
	h, w := openWitnessed(t)
	c := connect(t, h, backend)
	for _, name := range []string{"c", "gone"} {
		c.subscribe(t, name, hub.From{})
		if err := c.Enter(name, "ann", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Unsubscribe("gone", 0, "", 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Leave("gone", "ann"); err != nil {
		t.Fatal(err)
	}
	w.there, w.repeat = map[string]bool{}, true
	h.Observe("other")
	if len(w.there) != 0 {
		t.Errorf("told %v of another app", w.there)
	}
	h.Observe("a")
	w.want("c", true)
	w.want("c ann", true)
	if len(w.there) != 2 {
		t.Errorf("told %v", w.there)
	}
}
