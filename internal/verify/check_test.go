package verify

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(offset uint64) hub.Position { return hub.Position{Epoch: "e", Offset: offset} }

func event(offset, prev uint64) Event {
	return Event{ID: fmt.Sprint("m", offset), Position: at(offset), Prev: prev}
}

func reset(reason hub.Reset, offset uint64) Event { return Event{Reset: reason, Position: at(offset)} }

// good is a run in which everything is as it should be: m2, m4, m6 and m8, published in turn by two publishers, read by two readers.
func good() Record {
	events := func() []Event { return []Event{event(2, 0), event(4, 2), event(6, 4), event(8, 6)} }
	r := Record{
		Readers:  []Reader{{"r1", "x", at(0), events()}, {"r2", "x", at(0), events()}},
		Channels: []Channel{{"x", events(), at(8)}},
	}
	for i, e := range events() {
		r.Acked = append(r.Acked, Acked{"x", e.ID, e.Position, i % 2, i / 2})
	}
	return r
}

func TestGoodRunPasses(t *testing.T) {
	report := Check(good())
	if !report.OK() || report.Acked != 4 || report.Received != 8 || report.Stored != 4 || report.Resets != 0 {
		t.Errorf("got %+v", report)
	}
}

// What an honest server may do.
func TestAllowed(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"stored and delivered, never acknowledged": func(r *Record) { r.Acked = r.Acked[:2] },
		"retention removed the oldest":             func(r *Record) { r.Channels[0].Events = r.Channels[0].Events[2:] },
		"a reader that came later": func(r *Record) {
			r.Readers[0].Start, r.Readers[0].Events = at(4), r.Readers[0].Events[2:]
		},
		"prev below the last message, whose successor was removed": func(r *Record) { r.Readers[0].Events[2].Prev = 2 },
		"expired": func(r *Record) {
			r.Readers[0].Events = []Event{event(2, 0), reset(hub.ResetExpired, 6), event(8, 6)}
		},
		"ahead": func(r *Record) {
			r.Readers[0] = Reader{"r1", "x", at(20), []Event{reset(hub.ResetAhead, 6), event(8, 6)}}
		},
		"another epoch for one reader": func(r *Record) {
			r.Readers[0].Start = hub.Position{Epoch: "old", Offset: 7}
			r.Readers[0].Events = append([]Event{reset(hub.ResetEpoch, 0)}, r.Readers[0].Events...)
		},
		"history was not read": func(r *Record) { r.Channels = nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			change(&r)
			if report := Check(r); !report.OK() {
				t.Errorf("got %+v", report.Violations)
			}
		})
	}
}

// Each way to break a promise is found, by its name.
func TestBroken(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Record)
		want   []Kind
	}{
		"acknowledged, not stored": {func(r *Record) {
			r.Channels[0].Events = slices.Delete(r.Channels[0].Events, 1, 2)
			r.Channels[0].Events[1].Prev = 2
			for i := range r.Readers {
				r.Readers[i].Events = slices.Delete(r.Readers[i].Events, 1, 2)
				r.Readers[i].Events[1].Prev = 2
			}
		}, []Kind{KindLost, KindMissed}},
		"the newest is gone at the end": {func(r *Record) {
			r.Channels[0].Events = r.Channels[0].Events[:3]
		}, []Kind{KindLost, KindPhantom}},
		"everything is gone at the end": {func(r *Record) {
			r.Channels[0].Events = nil
		}, []Kind{KindLost, KindPhantom}},
		"the log begins again in another epoch": {func(r *Record) {
			r.Channels[0] = Channel{"x", nil, hub.Position{Epoch: "new"}}
		}, []Kind{KindLost, KindPhantom}},
		"a hole in the history": {func(r *Record) {
			r.Channels[0].Events = slices.Delete(r.Channels[0].Events, 1, 2)
		}, []Kind{KindGap, KindLost, KindPhantom}},
		"a reader got what was never stored": {func(r *Record) {
			r.Readers[0].Events = append(r.Readers[0].Events, event(9, 8))
		}, []Kind{KindPhantom}},
		"a reader missed the newest": {func(r *Record) {
			r.Readers[0].Events = r.Readers[0].Events[:3]
		}, []Kind{KindMissed}},
		"a reader missed one, and the chain hides it": {func(r *Record) {
			r.Readers[0].Events = slices.Delete(r.Readers[0].Events, 1, 2)
			r.Readers[0].Events[1].Prev = 2
		}, []Kind{KindMissed}},
		"a reader missed one, and the chain shows it": {func(r *Record) {
			r.Readers[0].Events = slices.Delete(r.Readers[0].Events, 1, 2)
		}, []Kind{KindGap, KindMissed}},
		"a reader got nothing": {func(r *Record) { r.Readers[1].Events = nil }, []Kind{KindMissed}},
		"a reset that excuses too little": {func(r *Record) {
			r.Readers[0].Events = []Event{event(2, 0), reset(hub.ResetExpired, 4), event(8, 4)}
		}, []Kind{KindMissed}},
		"a reset that comes after what is missing": {func(r *Record) {
			r.Readers[0].Events = []Event{event(4, 0), reset(hub.ResetExpired, 6), event(8, 6)}
		}, []Kind{KindMissed}},
		"a reset after which there is a gap": {func(r *Record) {
			r.Readers[0].Events = []Event{event(2, 0), reset(hub.ResetExpired, 4), event(8, 6)}
		}, []Kind{KindGap, KindMissed}},
		"delivered twice": {func(r *Record) {
			r.Readers[0].Events = slices.Insert(r.Readers[0].Events, 2, event(4, 2))
		}, []Kind{KindRepeated}},
		"delivered again at the end": {func(r *Record) {
			r.Readers[0].Events = append(r.Readers[0].Events, event(2, 0))
		}, []Kind{KindRepeated}},
		"stored twice": {func(r *Record) {
			again := event(10, 8)
			again.ID = "m4"
			r.Channels[0].Events = append(r.Channels[0].Events, again)
		}, []Kind{KindDuplicate, KindRepeated}},
		"a repeated publish was told another position": {func(r *Record) {
			r.Acked = append(r.Acked, Acked{"x", "m8", at(9), 1, 1})
		}, []Kind{KindDuplicate}},
		"delivered twice, at two positions": {func(r *Record) {
			again := event(9, 8)
			again.ID = "m8"
			r.Readers[0].Events = append(r.Readers[0].Events, again)
		}, []Kind{KindDuplicate, KindRepeated}},
		"two readers, two orders": {func(r *Record) {
			e := r.Readers[1].Events
			e[1].ID, e[2].ID = e[2].ID, e[1].ID
		}, []Kind{KindDisagreement, KindDuplicate}},
		"one reader, offsets back and forth": {func(r *Record) {
			e := r.Readers[1].Events
			e[1], e[2] = e[2], e[1]
		}, []Kind{KindGap, KindNotIncreasing}},
		"two messages at one position": {func(r *Record) {
			r.Acked = append(r.Acked, Acked{"x", "other", at(4), 2, 0})
			r.Channels[0].Events[3].ID = "other"
		}, []Kind{KindDisagreement, KindDuplicate, KindLost, KindMissed, KindPhantom}},
		"a publisher's messages change places": {func(r *Record) {
			r.Acked[0].Sequence, r.Acked[2].Sequence = r.Acked[2].Sequence, r.Acked[0].Sequence
		}, []Kind{KindPublisherOrder}},
		"another epoch without a reset": {func(r *Record) {
			r.Readers[0].Events[3].Position.Epoch = "f"
		}, []Kind{KindDuplicate, KindGap}},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			test.change(&r)
			report := Check(r)
			if got := slices.Sorted(maps.Keys(report.Broken)); !slices.Equal(got, test.want) {
				t.Errorf("found %v, want %v: %+v", got, test.want, report.Violations)
			}
			for _, v := range report.Violations {
				if v.Promise == "" || v.Channel != "x" || v.Text == "" {
					t.Errorf("evidence is incomplete: %+v", v)
				}
			}
		})
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	r := good()
	for i := range 1000 {
		r.Acked = append(r.Acked, Acked{"x", fmt.Sprint("lost", i), at(uint64(100 + i)), 7, i})
	}
	report := Check(r)
	if report.Broken[KindLost] != 1000 || len(report.Violations) > 2*evidencePerKind {
		t.Errorf("%d counted, %d kept", report.Broken[KindLost], len(report.Violations))
	}
}

// run draws a correct run: several channels in one log, publishers that take turns, history with its oldest part gone, and readers that came late or had resets.
func run(t *rapid.T) Record {
	channels := rapid.IntRange(1, 3).Draw(t, "channels")
	n := rapid.IntRange(1, 60).Draw(t, "messages")
	logs := make([][]Event, channels)
	head := make([]uint64, channels)
	var r Record
	offset := uint64(0)
	for i := range n {
		c := rapid.IntRange(0, channels-1).Draw(t, "channel")
		offset += uint64(rapid.IntRange(1, 3).Draw(t, "step"))
		e := event(offset, head[c])
		logs[c], head[c] = append(logs[c], e), offset
		if rapid.IntRange(0, 9).Draw(t, "acked") > 0 {
			r.Acked = append(r.Acked, Acked{fmt.Sprint("c", c), e.ID, e.Position, rapid.IntRange(0, 2).Draw(t, "publisher"), i})
		}
	}
	for c, log := range logs {
		name := fmt.Sprint("c", c)
		kept := log[rapid.IntRange(0, len(log)).Draw(t, "trimmed")/2:]
		r.Channels = append(r.Channels, Channel{name, slices.Clone(kept), at(head[c])})
		for i := range rapid.IntRange(1, 3).Draw(t, "readers") {
			r.Readers = append(r.Readers, draw(t, fmt.Sprint("r", i), name, log))
		}
	}
	return r
}

func draw(t *rapid.T, name, channel string, log []Event) Reader {
	r := Reader{Name: name, Channel: channel, Start: at(0)}
	for i := range log {
		if skip := rapid.IntRange(0, 30).Draw(t, "skip"); skip == 1 && i+1 < len(log) {
			r.Events = append(r.Events, reset(hub.ResetExpired, log[i].Position.Offset))
			continue
		}
		r.Events = append(r.Events, log[i])
	}
	return r
}

func TestEveryCorrectRunPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if report := Check(run(t)); !report.OK() {
			t.Errorf("got %+v", report.Violations)
		}
	})
}

// mutations break a run; each says whether it could.
var mutations = map[string]func(*rapid.T, *Record) bool{
	"a reader loses an acknowledged message": func(t *rapid.T, r *Record) bool {
		reader, i, ok := pick(t, r, func(e Event) bool {
			return slices.ContainsFunc(r.Acked, func(a Acked) bool { return a.ID == e.ID })
		})
		if !ok || i+1 < len(reader.Events) && !isMessage(reader.Events[i+1]) {
			return false // a reset right behind it says that it may be missing
		}
		reader.Events = slices.Delete(reader.Events, i, i+1)
		return true
	},
	"a reader gets a message twice": func(t *rapid.T, r *Record) bool {
		reader, i, ok := pick(t, r, isMessage)
		if ok {
			to := rapid.IntRange(i+1, len(reader.Events)).Draw(t, "again at")
			reader.Events = slices.Insert(reader.Events, to, reader.Events[i])
		}
		return ok
	},
	"a reader gets two messages the other way round": func(t *rapid.T, r *Record) bool {
		reader, i, ok := pick(t, r, isMessage)
		if !ok || i+1 == len(reader.Events) || !isMessage(reader.Events[i+1]) {
			return false
		}
		e := reader.Events
		e[i], e[i+1] = e[i+1], e[i]
		return true
	},
	"a reader gets another message in its place": func(t *rapid.T, r *Record) bool {
		reader, i, ok := pick(t, r, isMessage)
		if ok {
			reader.Events[i].ID = "another"
		}
		return ok && visible(r, reader.Channel, reader.Events[i].Position)
	},
	"the log loses an acknowledged message": func(t *rapid.T, r *Record) bool {
		a := &r.Acked
		if len(*a) == 0 {
			return false
		}
		lost := (*a)[rapid.IntRange(0, len(*a)-1).Draw(t, "lost")]
		for i := range r.Channels {
			e := r.Channels[i].Events
			for j := range e {
				if e[j].ID == lost.ID && j > 0 { // the loss of the oldest looks like retention
					r.Channels[i].Events = slices.Delete(e, j, j+1)
					return true
				}
			}
		}
		return false
	},
	"an acknowledgement is for another position": func(t *rapid.T, r *Record) bool {
		if len(r.Acked) == 0 {
			return false
		}
		a := &r.Acked[rapid.IntRange(0, len(r.Acked)-1).Draw(t, "ack")]
		if !seen(r, a.ID) {
			return false
		}
		a.Position.Offset += 1000
		return true
	},
	"a publisher is reordered": func(t *rapid.T, r *Record) bool {
		for i := range r.Acked {
			for j := i + 1; j < len(r.Acked); j++ {
				a, b := &r.Acked[i], &r.Acked[j]
				if a.Channel == b.Channel && a.Publisher == b.Publisher {
					a.Sequence, b.Sequence = b.Sequence, a.Sequence
					return true
				}
			}
		}
		return false
	},
}

func isMessage(e Event) bool { return e.Reset == "" }

// pick draws a reader's event that is a message and wanted.
func pick(t *rapid.T, r *Record, want func(Event) bool) (*Reader, int, bool) {
	reader := &r.Readers[rapid.IntRange(0, len(r.Readers)-1).Draw(t, "reader")]
	var at []int
	for i, e := range reader.Events {
		if isMessage(e) && want(e) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return nil, 0, false
	}
	return reader, at[rapid.IntRange(0, len(at)-1).Draw(t, "event")], true
}

// visible says whether anybody else has seen what is at a position.
func visible(r *Record, channel string, p hub.Position) bool {
	return slices.ContainsFunc(r.Channels, func(c Channel) bool {
		return c.Name == channel && slices.ContainsFunc(c.Events, func(e Event) bool { return e.Position == p })
	})
}

func seen(r *Record, id string) bool {
	has := func(events []Event) bool {
		return slices.ContainsFunc(events, func(e Event) bool { return e.ID == id })
	}
	return slices.ContainsFunc(r.Channels, func(c Channel) bool { return has(c.Events) }) ||
		slices.ContainsFunc(r.Readers, func(r Reader) bool { return has(r.Events) })
}

func TestEveryMutationIsCaught(t *testing.T) {
	for name, mutate := range mutations {
		t.Run(name, func(t *testing.T) {
			tried := 0
			rapid.Check(t, func(t *rapid.T) {
				r := run(t)
				if !mutate(t, &r) {
					return
				}
				tried++
				if report := Check(r); report.OK() {
					t.Errorf("not caught")
				}
			})
			if tried == 0 {
				t.Error("never applied")
			}
		})
	}
}
