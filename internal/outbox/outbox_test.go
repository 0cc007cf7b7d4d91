package outbox

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Events of many channels come in order of each, and once, to an endpoint that takes them all, one at a time and in batches.
func TestEventsComeInOrder(t *testing.T) {
	const channels, each = 20, 25
	for _, batch := range []int{0, 10} {
		t.Run(fmt.Sprint("batch ", batch), func(t *testing.T) {
			r := receive(t)
			e := at("one", r)
			e.Batch = batch
			w := open(t, Options{}, e)
			for n := 1; n <= each; n++ {
				for c := range channels {
					w.tell("a", said(fmt.Sprint("c", c), n))
				}
			}
			ordered(t, r.events(channels*each), each)
			if s := w.state("one", "nothing waits", func(s Status) bool { return s.Oldest.IsZero() }); s.Parked != 0 || s.LastSuccess.IsZero() || s.Reason != "" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// What an endpoint has not taken waits through its outage and a restart of the server, and comes in order afterwards.
func TestOutageAndRestart(t *testing.T) {
	r := receive(t)
	r.answers(func([]nativeEvent) int { return http.StatusServiceUnavailable })
	w := open(t, Options{}, at("one", r))
	for n := 1; n <= 10; n++ {
		w.record(said("x", n), said("y", n))
	}
	r.until("a try", func(_ []nativeEvent, asked int) bool { return asked > 1 })
	s := w.state("one", "it fails", func(s Status) bool { return s.Parked == 2 })
	if s.Oldest.IsZero() || s.Reason != "status 503" || s.LastFailure.IsZero() {
		t.Errorf("%+v", s)
	}
	w.restart()
	r.answers(nil)
	ordered(t, r.events(20), 10)
	w.state("one", "nothing is parked", func(s Status) bool { return s.Parked == 0 && s.Oldest.IsZero() })
	w.restart()
	w.record(said("x", 11), said("y", 11))
	ordered(t, r.events(22), 11)
}

// A channel whose event is not taken does not hold up the others, and loses nothing.
func TestPoison(t *testing.T) {
	for _, batch := range []int{0, 5} {
		t.Run(fmt.Sprint("batch ", batch), func(t *testing.T) {
			r := receive(t)
			refuse := func(events []nativeEvent) int {
				for _, e := range events {
					if e.Data.Channel == "bad" && string(e.Data.Data) == "2" {
						return http.StatusBadRequest
					}
				}
				return http.StatusOK
			}
			r.answers(refuse)
			e := at("one", r)
			e.Batch = batch
			w := open(t, Options{}, e)
			for n := 1; n <= 20; n++ {
				w.record(said("bad", n), said("good", n))
			}
			good := func(got []nativeEvent, _ int) bool { return count(got, "good") == 20 && count(got, "bad") == 1 }
			r.until("the good ones", good)
			w.state("one", "the bad one is parked", func(s Status) bool { return s.Parked == 1 })
			r.answers(nil)
			ordered(t, r.events(40), 20)
		})
	}
}

func count(got []nativeEvent, channel string) (n int) {
	for _, e := range got {
		if e.Data.Channel == channel {
			n++
		}
	}
	return n
}

// An endpoint that is down is asked by no more channels than can be parked, however many have events.
func TestDownIsAskedLittle(t *testing.T) {
	r := receive(t)
	r.answers(func([]nativeEvent) int { return http.StatusInternalServerError })
	w := open(t, Options{}, at("one", r))
	for c := range 100 {
		w.tell("a", said(fmt.Sprint("c", c), 1))
	}
	w.state("one", "as many as may be are parked", func(s Status) bool { return s.Parked == maxParked })
	r.answers(nil)
	ordered(t, r.events(100), 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked > 100+3*maxParked {
		t.Errorf("%d requests for 100 events", r.asked)
	}
}

// Each endpoint gets what it wants and has a place of its own, by its name.
func TestEndpoints(t *testing.T) {
	r, other := receive(t), receive(t)
	all, some := at("all", r), at("some", other)
	some.Channels, some.Events = []string{"b*"}, []string{ClientEvent}
	w := open(t, Options{}, all, some)
	w.record(said("aa", 1), said("bb", 1), Event{Type: CacheMiss, Channel: "bb"}, Event{Type: SubscriptionCount, Channel: "aa", Count: 0})
	for _, e := range r.events(4) { // those of a channel are in order
		if c := e.Data.Count; (c != nil && *c == 0) != (e.Type == SubscriptionCount) || e.Type == CacheMiss && e.Data.Channel != "bb" {
			t.Errorf("got %+v", e)
		}
	}
	if got := other.events(1); got[0].Data.Channel != "bb" || got[0].Data.App != "a" || got[0].Data.Event != "client-said" {
		t.Errorf("got %+v", got)
	}
	// One is added, one moves to another place, and later one goes and comes back.
	third := receive(t)
	some.URL = third.URL
	w.apps = []App{{ID: "a", Endpoints: []Endpoint{all, some, at("new", third)}}}
	w.SetApps(w.apps)
	w.record(said("bb", 2))
	third.events(2)
	r.events(5)
	w.SetApps([]App{{ID: "a", Endpoints: []Endpoint{at("new", third)}}})
	w.record(said("bb", 3))
	third.events(3)
	w.SetApps(w.apps)
	if got := r.events(6); string(got[5].Data.Data) != "3" {
		t.Errorf("got %v", briefly(got))
	}
	third.events(4)
	w.SetApps(nil)
	if _, err := w.courier("a", "all"); codeOf(err) != hub.CodeNotFound {
		t.Errorf("got %v", err)
	}
}

func codeOf(err error) hub.Code {
	shown, _ := hub.Show(err)
	return shown.Code
}

func TestEventsThatAreRefused(t *testing.T) {
	w := open(t, Options{}, at("one", receive(t)))
	b := (*w.boxes.Load())["a"]
	for _, e := range []Event{
		{Type: "other", Channel: "c"}, {Type: CacheMiss}, {Type: ClientEvent, Channel: "c", Data: []byte("{")}, {Type: ClientEvent, Channel: "c", Member: "\xff"},
		{Type: ClientEvent, Channel: "c", Data: make([]byte, MaxDataBytes+1)},
	} {
		if b.enqueue(e) == nil {
			t.Errorf("%.100v is stored", e)
		}
	}
	w.close()
	if err := b.enqueue(Event{Type: CacheMiss, Channel: "c"}); codeOf(err) != hub.CodeUnavailable {
		t.Errorf("after the end: %v", err)
	}
}

// A dead letter is listed with why, and can be sent again or discarded, each by itself.
func TestDeadLetters(t *testing.T) {
	r := receive(t)
	r.answers(func([]nativeEvent) int { return http.StatusTeapot })
	w := open(t, Options{Life: 50 * time.Millisecond}, at("one", r), at("two", receive(t)))
	w.record(said("x", 1), said("x", 2), said("y", 1))
	w.state("one", "three die", func(s Status) bool { return s.Dead == 3 && s.Parked == 0 })
	page, more, err := w.DeadLetters(t.Context(), "a", "one", 0, 2)
	if err != nil || len(page) != 2 || !more {
		t.Fatalf("%v, %t, %v", page, more, err)
	}
	rest, more, err := w.DeadLetters(t.Context(), "a", "one", page[1].Offset, 2)
	if err != nil || len(rest) != 1 || more {
		t.Fatalf("%v, %t, %v", rest, more, err)
	}
	ids := map[string]string{}
	for _, d := range append(page, rest...) {
		ids[d.Event.Channel+string(d.Event.Data)] = d.ID
		if d.Failures < 1 || d.Reason != "status 418" || d.Died.Before(d.Time) || d.Event.Name != "client-said" {
			t.Errorf("%+v", d)
		}
	}
	r.answers(nil)
	if n, err := w.Resend(t.Context(), "a", "one", []string{ids["x2"], "unknown"}); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got := r.events(1); got[0].Data.ID != ids["x2"] || string(got[0].Data.Data) != "2" {
		t.Errorf("got %+v", got)
	}
	if n, err := w.Discard(t.Context(), "a", "one", []string{ids["x1"]}); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	w.restart()
	if n, err := w.Resend(t.Context(), "a", "one", nil); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got := r.events(2); got[1].Data.ID != ids["y1"] {
		t.Errorf("got %+v", got)
	}
	w.state("one", "none is left", func(s Status) bool { return s.Dead == 0 })
	if n, err := w.Resend(t.Context(), "a", "one", nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := w.Resend(t.Context(), "a", "three", nil); codeOf(err) != hub.CodeNotFound {
		t.Errorf("%v", err)
	}
}

// An event that dies, is sent again and dies again is a dead letter again.
func TestDeadAgain(t *testing.T) {
	r := receive(t)
	r.answers(func([]nativeEvent) int { return http.StatusTeapot })
	w := open(t, Options{Life: time.Millisecond}, at("one", r))
	w.record(said("x", 1))
	w.state("one", "it dies", func(s Status) bool { return s.Dead == 1 })
	if n, err := w.Resend(t.Context(), "a", "one", nil); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	w.state("one", "it dies again", func(s Status) bool { return s.Dead == 1 && s.Parked == 0 })
}

// What the log has let go before an endpoint had it is told, and the rest comes.
func TestTooMuchForTheLog(t *testing.T) {
	r := receive(t)
	r.answers(func([]nativeEvent) int { return http.StatusBadGateway })
	w := open(t, Options{}, at("one", r))
	w.apps[0].Bytes = 4 << 10
	w.SetApps(w.apps)
	for n := 1; n <= 100; n++ {
		w.record(said("x", n))
	}
	w.state("one", "it is parked", func(s Status) bool { return s.Parked == 1 })
	r.answers(nil)
	got := r.until("the last", func(got []nativeEvent, _ int) bool { return len(got) > 0 && string(got[len(got)-1].Data.Data) == "100" })
	if len(got) == 100 || len(got) < 5 {
		t.Errorf("%d came", len(got))
	}
	w.state("one", "nothing waits", func(s Status) bool { return s.Parked == 0 })
}
