package hub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// oracle answers by channel name, and remembers what it was asked.
type oracle struct {
	answers map[string]hub.Answer
	asked   []string
}

func (o *oracle) ask(_ context.Context, session, channel string) (hub.Answer, error) {
	if session == "" {
		return hub.Answer{}, errors.New("no session")
	}
	o.asked = append(o.asked, channel)
	if channel == "broken" {
		return hub.Answer{}, hub.Errorf(hub.CodeOverloaded, "try again")
	}
	return o.answers[channel], nil
}

func (o *oracle) grant(allow ...hub.Allow) *hub.Grant {
	return &hub.Grant{App: "a", Client: "ann", Allow: allow, Ask: o.ask}
}

// trySubscribe is subscribe for who may be refused.
func (c *client) trySubscribe(channel string, from hub.From, presence bool) error {
	if err := c.Reserve(0); err != nil {
		return err
	}
	err := c.Subscribe(channel, from, presence, 0, func(hub.Position, hub.Deliver) (any, int) { return "subscribed " + channel, 10 })
	if err != nil {
		c.Release(0)
	}
	return err
}

// Somebody is asked about what the grant does not say, and about nothing else.
func TestAsk(t *testing.T) {
	const all = hub.ActionSubscribe | hub.ActionPublish | hub.ActionPresence
	o := &oracle{answers: map[string]hub.Answer{"asked": {Actions: all}, "listen": {Actions: hub.ActionSubscribe}, "talk": {Actions: hub.ActionPublish}}}
	h := open(t, hub.Rule{Pattern: "public", Public: true}, hub.Rule{Pattern: "quiet", NoPresence: true})
	c := connect(t, h, o.grant(hub.Allow{Pattern: "own", Actions: hub.AllActions}))
	for _, test := range []struct {
		channel  string
		presence bool
		code     hub.Code // 0: allowed
		asked    int      // so often until then
	}{
		{"own", true, 0, 0},
		{"public", false, 0, 0},
		{"quiet", true, hub.CodeForbidden, 0},
		{"", false, hub.CodeBadRequest, 0},
		{"asked", true, 0, 1},
		{"asked", false, 0, 1},
		{"listen", false, 0, 2},
		{"listen", true, hub.CodeForbidden, 2},
		{"talk", false, hub.CodeForbidden, 3},
		{"no", false, hub.CodeForbidden, 4},
		{"no", false, hub.CodeForbidden, 4},
		{"broken", false, hub.CodeOverloaded, 5},
		{"broken", false, hub.CodeOverloaded, 6},
		{"as*ed", false, hub.CodeForbidden, 7}, // an answer is about one channel, not a pattern
	} {
		err := c.trySubscribe(test.channel, hub.From{}, test.presence)
		if (err != nil) != (test.code != 0) || err != nil && code(err) != test.code || len(o.asked) != test.asked {
			t.Errorf("%q, presence %t: got %v and asked %q, want code %d and %d", test.channel, test.presence, err, o.asked, test.code, test.asked)
		}
	}
	before := len(o.asked)
	publish(t, h, hub.Publication{Channels: []string{"asked", "listen", "own"}})
	c.events(t, 4) // and the members of "own"
	if _, err := h.PublishWait(t.Context(), c.Grant(), []hub.Publication{{Channels: []string{"talk"}, Data: []byte("1")}}); err != nil {
		t.Errorf("publish where the answer allows it: %v", err)
	}
	if err := c.Enter("listen", "", nil); code(err) != hub.CodeForbidden {
		t.Errorf("enter where the answer does not allow it: %v", err)
	}
	if err := c.SetGrant(o.grant()); err != nil {
		t.Fatal(err)
	}
	if cursors := c.Cursors(); len(cursors) != 3 { // asked, listen and public
		t.Errorf("with a fresh token the session follows %v", cursors)
	}
	if len(o.asked) != before {
		t.Errorf("asked %q on other paths than subscribe", o.asked[before:])
	}
	if err := connect(t, h, c.Grant()).trySubscribe("asked", hub.From{}, false); err != nil || len(o.asked) != before+1 {
		t.Errorf("another session has the answers of the first: %v, %q", err, o.asked[before:])
	}
}

func TestAnswersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{answers: map[string]hub.Answer{"c": {Actions: hub.ActionSubscribe, For: time.Minute}}}
		h := open(t)
		c := connect(t, h, o.grant())
		for _, after := range []time.Duration{0, time.Minute - 1, 1, time.Minute - 1} {
			time.Sleep(after)
			if err := c.trySubscribe("c", hub.From{}, false); err != nil {
				t.Fatal(err)
			}
		}
		if len(o.asked) != 2 {
			t.Errorf("asked %d times in two minutes", len(o.asked))
		}
	})
}

func TestAnswersAreBounded(t *testing.T) {
	o := &oracle{}
	h := open(t)
	h.SetLimits(hub.Limits{Subscriptions: 10})
	c := connect(t, h, o.grant())
	for i := range 20 {
		want := hub.CodeForbidden
		if i >= 10 {
			want = hub.CodeLimit
		}
		if err := c.trySubscribe(fmt.Sprint("c", i), hub.From{}, false); code(err) != want {
			t.Fatalf("channel %d: %v", i, err)
		}
	}
}

// A grant that comes while a subscription is being allowed by the one before it counts: the subscription is not made if the new one does not allow it.
func TestGrantReplacedWhileSubscribing(t *testing.T) {
	h := open(t)
	var c *client
	narrow := &hub.Grant{App: "a", Client: "ann"}
	c = connect(t, h, &hub.Grant{App: "a", Client: "ann", Ask: func(context.Context, string, string) (hub.Answer, error) {
		return hub.Answer{Actions: hub.ActionSubscribe}, c.SetGrant(narrow)
	}})
	if err := c.trySubscribe("secret", hub.From{}, false); code(err) != hub.CodeForbidden {
		t.Errorf("subscribing was answered by %v", err)
	}
	if cursors := c.Cursors(); len(cursors) != 0 {
		t.Errorf("the session follows %v", cursors)
	}
}
