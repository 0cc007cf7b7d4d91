package outbox

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func everything(key) bool { return true }

// taken is what is due now, and recorded.
func taken(tr *tracker) (kinds []string) {
	due, _ := tr.take(100)
	for _, c := range due {
		kinds = append(kinds, c.kind())
		tr.recorded(c, true)
	}
	return kinds
}

func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker(DefaultGrace, func() {})
		tr.want(everything)
		tr.begin(nil, time.Now())
		want := func(kinds ...string) {
			t.Helper()
			if got := taken(tr); fmt.Sprint(got) != fmt.Sprint(kinds) {
				t.Errorf("got %v, want %v", got, kinds)
			}
		}
		channel, ann := key{channel: "c"}, key{"c", "ann"}
		tr.set(channel, true)
		tr.set(ann, true)
		want(ChannelOccupied, MemberAdded)
		tr.set(channel, false) // a page is loaded again
		tr.set(ann, false)
		time.Sleep(DefaultGrace - 1)
		want()
		tr.set(channel, true)
		tr.set(ann, true)
		time.Sleep(time.Hour)
		want()
		tr.set(ann, false)
		tr.set(channel, false)
		if _, next := tr.take(100); !next.Equal(time.Now().Add(DefaultGrace)) {
			t.Errorf("the next is due at %v", next)
		}
		time.Sleep(DefaultGrace)
		want(MemberRemoved, ChannelVacated)
		if tr.size() != 0 || tr.going != 0 {
			t.Errorf("%d are kept", tr.size())
		}
		tr.set(ann, true)
		tr.set(ann, false)
		time.Sleep(time.Hour)
		want() // nobody has seen it
	})
}

// What the log does not take is given out again, in its newest state.
func TestTrackerTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := newTracker(DefaultGrace, func() {})
		tr.want(everything)
		tr.begin(nil, time.Now())
		tr.set(key{channel: "c"}, true)
		due, _ := tr.take(100)
		tr.recorded(due[0], false)
		time.Sleep(tryAgain)
		again, _ := tr.take(100)
		if len(again) != 1 || again[0] != due[0] {
			t.Errorf("%v, and at first %v: the log may have taken that", again, due)
		}
		tr.recorded(again[0], false)
		if due, next := tr.take(100); len(due) != 0 || time.Until(next) != tryAgain {
			t.Errorf("%v, %v", due, time.Until(next))
		}
		tr.set(key{channel: "c"}, false)
		if _, next := tr.take(100); !next.IsZero() || tr.size() != 0 {
			t.Errorf("something is to be told of what nobody has heard of: %v", next)
		}
	})
}

// trackedLog is a tracker with what it has told, which outlives it.
type trackedLog struct {
	t      *rapid.T
	tr     *tracker
	actual map[key]bool
	gone   map[key]time.Time // when it went
	told   map[key]bool
	back   time.Time // until when what was there at a start may come back
	parts  bool
}

func (l *trackedLog) start() {
	l.tr = newTracker(DefaultGrace, func() {})
	l.tr.want(everything)
	l.back = time.Now().Add(DefaultReturn)
	l.tr.begin(maps.Clone(l.told), l.back)
	l.parts = false
}

func (l *trackedLog) restart() {
	l.actual, l.gone = map[key]bool{}, map[key]time.Time{}
	l.start()
}

func (l *trackedLog) step(ok bool) {
	due, _ := l.tr.take(3)
	for _, c := range due {
		if ok {
			l.record(c)
		}
		l.tr.recorded(c, ok)
	}
}

func (l *trackedLog) record(c change) {
	if l.told[c.key] == c.there {
		l.t.Fatalf("%v is told twice", c)
	}
	if !c.there && l.actual[c.key] {
		l.t.Fatalf("%v is told of what is there", c)
	}
	if gone, known := l.gone[c.key]; !c.there && known && time.Since(gone) < DefaultGrace {
		l.t.Fatalf("%v is told %v after it went", c, time.Since(gone))
	}
	if _, known := l.gone[c.key]; !c.there && !known && time.Now().Before(l.back) {
		l.t.Fatalf("%v is told before it could come back", c)
	}
	if !c.there && l.parts {
		l.t.Fatalf("%v is told of one who was sent away", c)
	}
	if l.told[c.key] = c.there; !c.there {
		delete(l.told, c.key)
	}
}

// Whatever comes and goes, whatever the log refuses, and however often the server starts again: begins and ends alternate, no end is told too early, and what was told
// comes to be what is.
func TestTrackerConverges(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		synctest.Test(t, func(*testing.T) {
			l := &trackedLog{t: r, actual: map[key]bool{}, gone: map[key]time.Time{}, told: map[key]bool{}}
			l.start()
			keys := rapid.SampledFrom([]key{{channel: "c"}, {channel: "d"}, {"c", "ann"}, {"c", "bob"}})
			r.Repeat(map[string]func(*rapid.T){
				"set": func(r *rapid.T) {
					k, there := keys.Draw(r, "key"), rapid.Bool().Draw(r, "there")
					if l.actual[k] && !there {
						l.gone[k] = time.Now()
					}
					l.actual[k] = there
					l.tr.set(k, there)
				},
				"sleep": func(r *rapid.T) {
					time.Sleep(time.Duration(rapid.IntRange(1, 5000).Draw(r, "ms")) * time.Millisecond)
				},
				"step":    func(r *rapid.T) { l.step(rapid.Bool().Draw(r, "ok")) },
				"restart": func(*rapid.T) { l.restart() },
				"part": func(*rapid.T) {
					l.parts = true
					l.tr.part()
				},
				"": func(r *rapid.T) {
					going := 0
					for _, b := range l.tr.beings {
						if b.told && !b.there {
							going++
						}
					}
					if going != l.tr.going {
						r.Fatalf("%d are going, and it counts %d", going, l.tr.going)
					}
				},
			})
			if l.parts {
				l.restart()
			}
			for range 20 {
				time.Sleep(DefaultReturn)
				l.step(true)
			}
			for _, k := range []key{{channel: "c"}, {channel: "d"}, {"c", "ann"}, {"c", "bob"}} {
				if l.told[k] != l.actual[k] {
					r.Fatalf("%v is there: %t, and told was %t", k, l.actual[k], l.told[k])
				}
			}
		})
	})
}

// More than can wait for the grace do not wait for it.
func TestGoingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := map[key]bool{}
		for n := range maxGoing + 1 {
			told[key{channel: fmt.Sprint(n)}] = true
		}
		tr := newTracker(DefaultGrace, func() {})
		tr.want(everything)
		tr.begin(told, time.Now().Add(time.Hour))
		tr.set(key{channel: "new"}, true)
		if got := taken(tr); len(got) != 1 {
			t.Errorf("got %v", got)
		}
		tr.set(key{channel: "new"}, false)
		if got := taken(tr); len(got) != 1 || got[0] != ChannelVacated {
			t.Errorf("got %v", got)
		}
	})
}

// What nobody wants to hear of any more is forgotten, also while it is on its way to the log.
func TestTrackerForgets(t *testing.T) {
	tr := newTracker(0, func() {})
	tr.want(everything)
	tr.begin(nil, time.Now())
	tr.set(key{channel: "a"}, true)
	tr.set(key{channel: "b"}, true)
	due, _ := tr.take(1)
	tr.want(func(k key) bool { return k.channel == "c" })
	tr.recorded(due[0], true)
	tr.set(key{channel: "b"}, false)
	tr.set(key{channel: "c"}, true)
	if all := taken(tr); len(all) != 1 || tr.size() != 1 || tr.going != 0 {
		t.Errorf("%v, %d", all, tr.size())
	}
}
