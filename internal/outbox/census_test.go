package outbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

// A census and the events after it say what is there, wherever the writing of the next one was broken off.
func TestCensus(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		log := openLog(t, vfs.NewMem())
		defer log.Close()
		told := map[key]bool{}
		at, err := log.Head(t.Context(), eventsOf("a"), hub.Retention{})
		if err != nil {
			r.Fatal(err)
		}
		check := func(r *rapid.T) {
			got, head, err := readCensus(t.Context(), log, "a")
			if err != nil || !maps.Equal(got, told) || head != at {
				r.Fatalf("%d are there at %v, want %d at %v: %v", len(got), head, len(told), at, err)
			}
		}
		if rapid.IntRange(1, 10).Draw(r, "many, rarely") == 1 { // they make all that follows slow
			for n := range censusChunk * 2 {
				told[key{channel: fmt.Sprint("many", n)}] = true
			}
			if err := keepCensus(t.Context(), log, "a", slices.Collect(maps.Keys(told)), at); err != nil {
				r.Fatal(err)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"change": func(r *rapid.T) {
				k := key{rapid.SampledFrom([]string{"c", "d", "é"}).Draw(r, "channel"), rapid.SampledFrom([]string{"", "ann", "bob"}).Draw(r, "member")}
				c := change{key: k, there: rapid.Bool().Draw(r, "there")}
				e := record{ID: fmt.Sprint(at.Offset), Event: Event{Type: c.kind(), Channel: c.channel, Member: c.member}}
				m, err := e.message("a")
				if err != nil {
					r.Fatal(err)
				}
				results, err := appended(t.Context(), log, []hub.Entry{{Message: m}})
				if err != nil || results[0].Err != nil {
					r.Fatal(err, results)
				}
				if at, told[c.key] = results[0].Position, true; !c.there {
					delete(told, c.key)
				}
			},
			"census": func(r *rapid.T) {
				if err := keepCensus(t.Context(), log, "a", slices.Collect(maps.Keys(told)), at); err != nil {
					r.Fatal(err)
				}
			},
			"broken off": func(r *rapid.T) {
				parts := takeCensus([]key{{channel: "never"}, {"never", "ann"}}, at)
				lost := rapid.IntRange(0, len(parts)-1).Draw(r, "lost")
				for i, part := range parts {
					if i == lost {
						continue
					}
					data, err := json.Marshal(&part)
					if err != nil {
						r.Fatal(err)
					}
					if err := appendAll(t.Context(), log, hub.Entry{Message: &hub.Message{Channel: censusOf("a"), OwnID: true, Data: data}}); err != nil {
						r.Fatal(err)
					}
				}
			},
			"": check,
		})
	})
}

// FuzzCensus: whatever is in the log, a census is whole or counts for nothing.
func FuzzCensus(f *testing.F) {
	for _, part := range takeCensus([]key{{channel: "c"}, {"c", "ann"}}, hub.Position{Epoch: "e", Offset: 7}) {
		data, err := json.Marshal(&part)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, []byte(`{}`))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		r := censusReader{there: map[key]bool{}}
		r.add(a)
		r.add(b)
		if r.at == nil && len(r.there) > 0 {
			t.Fatalf("%v are there as of nowhere", r.there)
		}
	})
}

func kindsOf(got []nativeEvent) (all []string) {
	for _, e := range got {
		all = append(all, e.Type+" "+e.Data.Channel+e.Data.Member)
	}
	return all
}

// What was there when the server was cut off and does not come back has its end afterwards; what comes back has neither an end nor a beginning. So it is after a drain.
func TestRestartVacates(t *testing.T) {
	for name, crash := range map[string]bool{"crash": true, "drain": false} {
		t.Run(name, func(t *testing.T) {
			r := receive(t)
			w := &world{t: t, o: Options{Grace: time.Millisecond, Return: time.Hour}, apps: []App{{ID: "a", Endpoints: []Endpoint{at("one", r)}}}}
			disk := vfs.NewCrashableMem()
			w.disk = disk
			w.start()
			t.Cleanup(func() { w.close() })
			stays, goes := hub.Channel{App: "a", Name: "stays"}, hub.Channel{App: "a", Name: "goes"}
			w.ready()
			w.Occupied(stays)
			w.Occupied(goes)
			w.Entered(goes, " ann")
			r.events(3)
			w.state("one", "all is taken", func(s Status) bool { return s.Oldest.IsZero() })
			if crash {
				w.disk = disk.CrashClone(vfs.CrashCloneCfg{})
				w.close()
			} else {
				w.close()
				w.Vacated(goes) // as connections end while draining
				w.Left(goes, " ann")
			}
			w.o.Return = 300 * time.Millisecond
			w.start()
			w.ready()
			w.Occupied(stays)
			got := r.until("two ends", func(got []nativeEvent, _ int) bool {
				return slices.Contains(kindsOf(got), "member_removed goes ann") && slices.Contains(kindsOf(got), "channel_vacated goes")
			})
			for _, e := range got[3:] {
				if e.Data.Channel == "stays" && !crash || e.Data.Channel == "stays" && e.Type != ChannelOccupied {
					t.Errorf("got %v", kindsOf(got))
				}
			}
			w.Vacated(stays)
			r.until("another end", func(got []nativeEvent, _ int) bool { return slices.Contains(kindsOf(got), "channel_vacated stays") })
		})
	}
}

// Who goes while the server drains has not left: the next process tells of it, if it does not come back there.
func TestDrain(t *testing.T) {
	r := receive(t)
	w := open(t, Options{Grace: time.Millisecond, Return: 200 * time.Millisecond}, at("one", r))
	w.ready()
	before, c := hub.Channel{App: "a", Name: "before"}, hub.Channel{App: "a", Name: "c"}
	w.Occupied(before)
	w.Occupied(c)
	w.Entered(c, "ann")
	r.events(3)
	w.Vacated(before)
	r.events(4)
	w.Drain()
	w.Left(c, "ann")
	w.Vacated(c)
	w.record(said("other", 1)) // long after the grace
	w.close()
	if got := r.events(4); len(got) > 5 || slices.Contains(kindsOf(got), "channel_vacated c") || slices.Contains(kindsOf(got), "member_removed cann") {
		t.Errorf("got %v", kindsOf(got))
	}
	w.start()
	r.until("the ends", func(got []nativeEvent, _ int) bool {
		return slices.Contains(kindsOf(got), "channel_vacated c") && slices.Contains(kindsOf(got), "member_removed cann")
	})
}

// ready waits until the outbox knows what the log says.
func (w *world) ready() {
	w.t.Helper()
	tr := (*w.boxes.Load())["a"].tracker
	w.until("the outbox begins", func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		return tr.on
	})
}

// An endpoint that begins to want to hear of channels hears of those that are occupied already, if nobody has before.
func TestObservedOnReload(t *testing.T) {
	r := receive(t)
	e := at("one", r)
	e.Events = []string{CacheMiss}
	w := &world{t: t, disk: vfs.NewMem(), apps: []App{{ID: "a", Endpoints: []Endpoint{e}}}}
	w.o.Observe = func(app string) { w.Occupied(hub.Channel{App: app, Name: "c"}) }
	w.start()
	t.Cleanup(func() { w.close() })
	w.ready()
	w.record(Event{Type: CacheMiss, Channel: "c"})
	r.events(1)
	e.Events = nil
	w.SetApps([]App{{ID: "a", Endpoints: []Endpoint{e}}})
	if got := r.events(2); got[1].Type != ChannelOccupied {
		t.Errorf("got %v", kindsOf(got))
	}
}
