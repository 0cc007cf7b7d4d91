package client

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/snoserver/sno/internal/client/clienttest"
	"github.com/snoserver/sno/internal/hub"
)

func message(offset, prev int) frm {
	return frm{"type": "message", "channel": "x", "id": fmt.Sprint("m", offset), "data": offset, "epoch": "e", "offset": offset, "prev": prev}
}

// subscribe takes a subscribe and answers it.
func subscribe(s *script, offset int) frm {
	f := s.Expect("subscribe")
	s.Send(frm{"type": "subscribed", "ref": f["ref"], "channel": f["channel"], "epoch": "e", "offset": offset})
	return f
}

// events gives each event a short name.
func events(t *testing.T) (chan string, func(Event)) {
	got := make(chan string, 100)
	return got, func(e Event) {
		switch e := e.(type) {
		case *Message:
			got <- e.ID
		case *Joined:
			got <- fmt.Sprint("joined ", e.Position.Offset)
		case *Reset:
			got <- fmt.Sprint("reset ", e.Reason, " ", e.Position)
		case *Skip:
			got <- fmt.Sprint("skip ", e.Position.Offset)
		case *Presence:
			got <- fmt.Sprintf("%s %d %d %s", e.Action, e.Version, len(e.Members), e.Member.ID)
		case *Fault:
			got <- fmt.Sprint("fault ", e.Repeated)
		case *Ended:
			got <- fmt.Sprint("ended ", e.Err)
		default:
			t.Errorf("unknown event %T", e)
		}
	}
}

func expectEvents(t *testing.T, got chan string, want ...string) {
	t.Helper()
	ctx := testContext(t)
	for _, w := range want {
		select {
		case g := <-got:
			if g != w {
				t.Errorf("got event %q, want %q", g, w)
			}
		case <-ctx.Done():
			t.Fatalf("no event, want %q", w)
		}
	}
}

func TestSubscriptionResumesWhereItWas(t *testing.T) { onEach(t, testSubscriptionResumesWhereItWas) }

func testSubscriptionResumesWhereItWas(t *testing.T, by Transport) {
	first := func(s *script) {
		s.Greet()
		if f := subscribe(s, 5); f["last"] != 3.0 {
			t.Errorf("got %v, want last 3", f)
		}
		s.Send(message(6, 5), message(9, 6))
		s.Cut()
	}
	second := func(s *script) {
		s.Greet()
		if f := subscribe(s, 9); f["epoch"] != "e" || f["offset"] != 9.0 || f["last"] != nil {
			t.Errorf("got %v, want to resume after e:9", f)
		}
		s.Send(message(12, 9))
		s.UntilGone()
	}
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, first, second)})
	got, handle := events(t)
	sub, err := c.Subscribe(testContext(t), "x", SubscribeOptions{Last: 3}, handle)
	if err != nil {
		t.Fatal(err)
	}
	expectEvents(t, got, "joined 5", "m6", "m9", "joined 9", "m12")
	if p := sub.Position(); p != (hub.Position{Epoch: "e", Offset: 12}) {
		t.Errorf("position is %v", p)
	}
}

func TestOrderIsChecked(t *testing.T) { onEach(t, testOrderIsChecked) }

func testOrderIsChecked(t *testing.T, by Transport) {
	other := func(f frm) frm { f["epoch"] = "f"; return f }
	reset := frm{"type": "reset", "channel": "x", "reason": "expired", "epoch": "e", "offset": 20}
	skip := frm{"type": "skip", "channel": "x", "epoch": "e", "offset": 7, "prev": 5}
	for name, test := range map[string]struct {
		deliver string
		frames  []frm
		want    []string
	}{
		"chain":          {"", []frm{message(6, 5), message(9, 6)}, []string{"m6", "m9"}},
		"removed before": {"", []frm{message(6, 5), message(9, 2)}, []string{"m6", "m9"}},
		"gap":            {"", []frm{message(6, 5), message(9, 8), message(10, 9)}, []string{"m6", "fault false", "m9", "m10"}},
		"gap at first":   {"", []frm{message(7, 6)}, []string{"fault false", "m7"}},
		"repeated":       {"", []frm{message(6, 5), message(6, 5), message(7, 6)}, []string{"m6", "fault true", "m7"}},
		"backwards":      {"", []frm{message(9, 5), message(6, 5), message(10, 9)}, []string{"m9", "fault true", "m10"}},
		"another epoch":  {"", []frm{other(message(6, 5))}, []string{"fault false", "m6"}},
		"reset":          {"", []frm{message(6, 5), reset, message(21, 20)}, []string{"m6", "reset expired e:20", "m21"}},
		"skip":           {"", []frm{skip, message(8, 7)}, []string{"skip 7", "m8"}},
		"skip after gap": {"", []frm{{"type": "skip", "channel": "x", "epoch": "e", "offset": 7, "prev": 6}}, []string{"fault false", "skip 7"}},
		"conflated":      {"latest", []frm{message(6, 5), message(9, 8)}, []string{"m6", "m9"}},
		"ephemeral":      {"", []frm{message(6, 5), {"type": "message", "channel": "x", "id": "t", "ephemeral": true}, message(7, 6)}, []string{"m6", "t", "m7"}},
		"another's":      {"", []frm{{"type": "message", "channel": "y", "id": "t", "offset": 1}, message(6, 5)}, []string{"m6"}},
		"bad base64":     {"", []frm{{"type": "message", "channel": "x", "base64": "?"}}, []string{"fault false"}},
		"presence":       {"", []frm{{"type": "presence", "channel": "x", "action": "enter", "version": 3, "member": frm{"id": "ann"}}}, []string{"enter 3 0 ann"}},
		"ended":          {"", []frm{{"type": "unsubscribed", "channel": "x", "code": 4301, "text": "no more"}, message(6, 5)}, []string{"ended no more"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, Options{Transport: by, URL: clienttest.Script(t, func(s *script) {
				s.Greet()
				f := s.Expect("subscribe")
				s.Send(append([]frm{{"type": "subscribed", "ref": f["ref"], "channel": "x", "epoch": "e", "offset": 5, "deliver": test.deliver}}, test.frames...)...)
				s.UntilGone()
			})})
			got, handle := events(t)
			if _, err := c.Subscribe(testContext(t), "x", SubscribeOptions{}, handle); err != nil {
				t.Fatal(err)
			}
			expectEvents(t, got, append([]string{"joined 5"}, test.want...)...)
			if err := c.Close(testContext(t)); err != nil {
				t.Fatal(err)
			}
			close(got)
			for e := range got {
				if e != "ended "+ErrClosed.Error() {
					t.Errorf("unexpected event %q", e)
				}
			}
		})
	}
}

// A server that forgets where we were must not move our cursor by its answer to the subscribe.
func TestResumeElsewhereIsAFault(t *testing.T) { onEach(t, testResumeElsewhereIsAFault) }

func testResumeElsewhereIsAFault(t *testing.T, by Transport) {
	first := func(s *script) { s.Greet(); subscribe(s, 5); s.Send(message(6, 5)); s.Cut() }
	second := func(s *script) { s.Greet(); subscribe(s, 10); s.Send(message(11, 10)); s.UntilGone() }
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, first, second)})
	got, handle := events(t)
	if _, err := c.Subscribe(testContext(t), "x", SubscribeOptions{}, handle); err != nil {
		t.Fatal(err)
	}
	expectEvents(t, got, "joined 5", "m6", "joined 6", "fault false", "m11")
}

func TestSubscribeRefused(t *testing.T) { onEach(t, testSubscribeRefused) }

func testSubscribeRefused(t *testing.T, by Transport) {
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, func(s *script) {
		s.Greet()
		f := s.Expect("subscribe")
		s.Send(frm{"type": "error", "ref": f["ref"], "code": 4301, "text": "not allowed"})
		subscribe(s, 5)
		f = s.Expect("unsubscribe")
		s.Send(frm{"type": "unsubscribed", "ref": f["ref"], "channel": "x"}, message(6, 5))
		s.UntilGone()
	})})
	got, handle := events(t)
	if _, err := c.Subscribe(testContext(t), "x", SubscribeOptions{}, handle); err == nil || err.Error() != "not allowed" {
		t.Errorf("got %v, want the refusal", err)
	}
	sub, err := c.Subscribe(testContext(t), "x", SubscribeOptions{}, handle)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(testContext(t), "x", SubscribeOptions{}, handle); err == nil {
		t.Error("a second subscription to the channel was accepted")
	}
	if err := sub.Unsubscribe(testContext(t)); err != nil {
		t.Error(err)
	}
	expectEvents(t, got, "joined 5")
	if len(got) > 0 {
		t.Errorf("event %q after Unsubscribe", <-got)
	}
}

func TestHistoryAndMembers(t *testing.T) { onEach(t, testHistoryAndMembers) }

func testHistoryAndMembers(t *testing.T, by Transport) {
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, func(s *script) {
		s.Greet()
		f := s.Expect("history")
		if f["epoch"] != "e" || f["offset"] != 0.0 || f["limit"] != 2.0 {
			t.Errorf("got %v", f)
		}
		s.Send(frm{"type": "history", "ref": f["ref"], "more": true, "head": frm{"epoch": "e", "offset": 9}, "reset": "expired",
			"messages": []frm{message(6, 5), {"id": "b", "base64": "AAE=", "epoch": "e", "offset": 7, "prev": 6}}})
		f = s.Expect("presence")
		s.Send(frm{"type": "presence", "ref": f["ref"], "action": "snapshot", "version": 4, "members": []frm{{"id": "ann", "sessions": 2}}})
		s.UntilGone()
	})})
	page, err := c.History(testContext(t), "x", Query{After: &hub.Position{Epoch: "e"}, Limit: 2})
	if err != nil || len(page.Messages) != 2 || !page.More || page.Head.Offset != 9 || page.Reset != hub.ResetExpired {
		t.Fatalf("got %+v, %v", page, err)
	}
	if b := page.Messages[1]; !b.Binary || string(b.Data) != "\x00\x01" || b.Channel != "x" {
		t.Errorf("got %+v, want two bytes", b)
	}
	members, version, err := c.Members(testContext(t), "x")
	if err != nil || version != 4 || !reflect.DeepEqual(members, []Member{{ID: "ann", Sessions: 2}}) {
		t.Errorf("got %v, %d, %v", members, version, err)
	}
}
