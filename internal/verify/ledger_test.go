package verify

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

// inLedgers has ledgers judge a record, whose readers get their events in turns that next draws: the index of one of so many.
func inLedgers(r Record, unanswered int, next func(n int) int) (all Report) {
	ledgers := map[string]*Ledger{}
	of := func(channel string) *Ledger {
		if ledgers[channel] == nil {
			ledgers[channel] = NewLedger(channel)
		}
		return ledgers[channel]
	}
	type turn struct {
		f    *Follower
		left []Event
	}
	var turns []turn
	for _, reader := range r.Readers {
		f := of(reader.Channel).Follow(reader.Name, reader.Start)
		if len(reader.Events) > 0 {
			turns = append(turns, turn{f, reader.Events})
		}
	}
	for len(turns) > 0 {
		i := next(len(turns))
		turns[i].f.Got(turns[i].left[0])
		if turns[i].left = turns[i].left[1:]; len(turns[i].left) == 0 {
			turns = slices.Delete(turns, i, i+1)
		}
	}
	for _, a := range r.Acked {
		of(a.Channel).Acked(a)
	}
	all.Broken = map[Kind]int{}
	for _, l := range ledgers {
		report := l.Finish(unanswered)
		all.Acked, all.Received, all.Resets = all.Acked+report.Acked, all.Received+report.Received, all.Resets+report.Resets
		all.Behind += report.Behind
		for kind, n := range report.Broken {
			all.Broken[kind] += n
		}
		all.Violations = append(all.Violations, report.Violations...)
	}
	return all
}

// inTurns lets one reader after the other get all there is.
func inTurns(int) int { return 0 }

func TestLedgerOfAGoodRun(t *testing.T) {
	report := inLedgers(good(), 0, inTurns)
	if !report.OK() || report.Acked != 4 || report.Received != 8 || report.Resets != 0 {
		t.Errorf("got %+v", report)
	}
}

// A ledger says of every record what Check says of it, without the history, and of a broken one names what is broken.
func TestLedgerAgreesWithCheck(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := run(t)
		names := []string{"nothing"}
		for name := range mutations {
			names = append(names, name)
		}
		slices.Sort(names)
		name := rapid.SampledFrom(names).Draw(t, "mutation")
		if mutate := mutations[name]; mutate != nil && !mutate(t, &r) {
			return
		}
		r.Channels = nil
		want := Check(r)
		got := inLedgers(r, len(r.Acked)+100, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "turn") })
		if (got.OK() && got.Behind == 0) != want.OK() || got.Acked != want.Acked || got.Resets != want.Resets {
			t.Errorf("%s: Check finds %+v\nthe ledger %+v", name, want, got)
		}
	})
}

// What a ledger finds, by its name, whichever reader comes first.
func TestLedgerFinds(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Record)
		want   Kind
	}{
		"missed, and the chain shows it": {func(r *Record) { r.Readers[0].Events = slices.Delete(r.Readers[0].Events, 1, 2) }, KindGap},
		"missed, and the chain hides it": {func(r *Record) {
			r.Readers[0].Events = slices.Delete(r.Readers[0].Events, 1, 2)
			r.Readers[0].Events[1].Prev = 2
		}, KindMissed},
		"missed by everybody, and the chain hides it": {func(r *Record) {
			for i := range r.Readers {
				r.Readers[i].Events = slices.Delete(r.Readers[i].Events, 1, 2)
				r.Readers[i].Events[1].Prev = 2
			}
		}, KindMissed},
		"twice":                {func(r *Record) { r.Readers[1].Events = append(r.Readers[1].Events, event(8, 6)) }, KindRepeated},
		"the other way round":  {func(r *Record) { e := r.Readers[1].Events; e[1], e[2] = e[2], e[1] }, KindNotIncreasing},
		"something else there": {func(r *Record) { r.Readers[1].Events[2].ID = "other" }, KindDisagreement},
		"never published":      {func(r *Record) { r.Readers[1].Events = append(r.Readers[1].Events, event(9, 8)) }, KindPhantom},
		"another epoch":        {func(r *Record) { r.Readers[1].Events[3].Position.Epoch = "f" }, KindGap},
		"a publisher's order": {func(r *Record) {
			r.Acked[0].Sequence, r.Acked[2].Sequence = r.Acked[2].Sequence, r.Acked[0].Sequence
		}, KindPublisherOrder},
	} {
		t.Run(name, func(t *testing.T) {
			for order, next := range map[string]func(int) int{"first": inTurns, "last": func(n int) int { return n - 1 }} {
				r := good()
				test.change(&r)
				report := inLedgers(r, 0, next)
				if report.Broken[test.want] == 0 {
					t.Errorf("%s: found %+v, want %s", order, report.Violations, test.want)
				}
				for _, v := range report.Violations {
					if v.Promise == "" || v.Channel != "x" || v.Text == "" {
						t.Errorf("evidence is incomplete: %+v", v)
					}
				}
			}
		})
	}
}

// Many readers and the acknowledgements come at once.
func TestLedgerAtOnce(t *testing.T) {
	const readers, messages = 20, 500
	l := NewLedger("x")
	var all sync.WaitGroup
	for i := range readers {
		f := l.Follow(fmt.Sprint("r", i), at(0))
		all.Go(func() {
			for n := range uint64(messages) {
				f.Got(event(n+1, n))
			}
		})
	}
	all.Go(func() {
		for n := range messages {
			l.Acked(Acked{"x", fmt.Sprint("m", n+1), at(uint64(n + 1)), 0, n})
		}
	})
	all.Wait()
	if report := l.Finish(0); !report.OK() || report.Received != readers*messages || report.Acked != messages {
		t.Errorf("got %+v", report)
	}
}

// A reset to somewhere excuses what was before it only, and who has not come so far is behind: it has missed nothing yet.
func TestLedgerResets(t *testing.T) {
	l := NewLedger("x")
	f, late := l.Follow("r", at(0)), l.Follow("late", at(0))
	late.Got(event(1, 0))
	f.Got(event(1, 0))
	f.Got(reset(hub.ResetExpired, 5))
	f.Got(event(6, 5))
	f.Got(event(9, 8))
	for _, offset := range []uint64{1, 3, 5, 6, 8, 9} {
		l.Acked(Acked{"x", fmt.Sprint("m", offset), at(offset), 0, int(offset)})
	}
	report := l.Finish(0)
	missed := slices.DeleteFunc(report.Violations, func(v Violation) bool { return v.Kind != KindMissed })
	if report.Resets != 1 || report.Behind != 1 || len(missed) != 1 || missed[0].ID != "m8" || report.Broken[KindGap] != 1 {
		t.Errorf("got %+v", report)
	}
}
