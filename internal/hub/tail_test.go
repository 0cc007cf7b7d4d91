package hub

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTailIsTheEndOfTheLog drives a tail with a log of which it may miss deliveries, and compares it with the log itself.
func TestTailIsTheEndOfTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var (
			log    []*Message // stored messages only
			tl     tail
			offset uint64
		)
		head := func() uint64 {
			if len(log) == 0 {
				return 0
			}
			return log[len(log)-1].Offset
		}
		publish := func(size int) *Message {
			offset += uint64(rapid.IntRange(1, 3).Draw(t, "step"))
			m := &Message{Epoch: "e", Offset: offset, Prev: head(), Data: make([]byte, size)}
			log = append(log, m)
			return m
		}
		size := rapid.SampledFrom([]int{1, 1, 10, 1000, tailBytes / 3, tailBytes + 1})
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				for range rapid.IntRange(1, tailMessages/3).Draw(t, "n") {
					tl.append(publish(size.Draw(t, "size")))
				}
			},
			"miss":      func(t *rapid.T) { publish(1) },
			"ephemeral": func(t *rapid.T) { tl.append(&Message{Ephemeral: true}) },
			"know":      func(t *rapid.T) { tl.know(Position{"e", head()}) },
			"again":     func(t *rapid.T) { tl.append(&Message{Epoch: "e", Offset: tl.head.Offset, Prev: tl.floor}) },
			"lose":      func(t *rapid.T) { tl.lose() },
			"": func(t *rapid.T) {
				checkTail(t, &tl, log)
			},
		})
	})
}

func checkTail(t *rapid.T, tl *tail, log []*Message) {
	if tl.next-tl.first > tailMessages || tl.next-tl.first > 1 && tl.bytes > tailBytes {
		t.Fatalf("the tail holds %d messages of %d bytes", tl.next-tl.first, tl.bytes)
	}
	for i := range log {
		p := log[i].Position()
		n, ok := tl.seek(p, false)
		if !ok {
			continue
		}
		for _, want := range log[i+1:] {
			if want.Offset > tl.head.Offset {
				break // not delivered yet
			}
			for n < tl.next && tl.at(n).Ephemeral {
				n++
			}
			if n == tl.next || tl.at(n) != want {
				t.Fatalf("after %v the tail does not give %v next", p, want.Position())
			}
			n++
		}
	}
}

func TestSeekRefusesWhatTheLogMustDecide(t *testing.T) {
	var tl tail
	if _, ok := tl.seek(Position{"e", 0}, true); ok {
		t.Error("an unknown tail took a cursor")
	}
	tl.know(Position{"e", 10})
	for _, test := range []struct {
		p        Position
		verified bool
		ok       bool
	}{
		{Position{"e", 10}, false, true},
		{Position{"e", 9}, false, false},  // messages may be between
		{Position{"e", 9}, true, false},   // the same
		{Position{"e", 11}, false, false}, // ahead: a reset
		{Position{"e", 11}, true, true},   // the log has shown it before the tail got it
		{Position{"f", 10}, false, false}, // another epoch: a reset
		{Position{"f", 10}, true, true},
	} {
		if _, ok := tl.seek(test.p, test.verified); ok != test.ok {
			t.Errorf("seek(%v, %v) = %v", test.p, test.verified, ok)
		}
	}
}
