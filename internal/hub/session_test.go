package hub_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var backend = &hub.Grant{App: "a", Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}

// open starts a hub on a log of its own.
func open(t testing.TB, rules ...hub.Rule) *hub.Hub {
	t.Helper()
	dir := t.TempDir()
	h, err := hub.New(hub.Options{Grace: time.Minute, Open: func(s hub.Sink) (hub.Log, error) {
		return local.Open(local.Options{Dir: dir, Sink: s})
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.SetApps([]hub.App{{ID: "a", Rules: rules}})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func publish(t testing.TB, h *hub.Hub, pubs ...hub.Publication) []hub.Result {
	t.Helper()
	for i := range pubs {
		if pubs[i].Data == nil {
			pubs[i].Data = []byte("1")
		}
	}
	results, err := h.PublishWait(t.Context(), backend, pubs)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	return results
}

func publishN(t testing.TB, h *hub.Hub, channel string, n int) []hub.Result {
	t.Helper()
	pubs := make([]hub.Publication, n)
	for i := range pubs {
		pubs[i].Channels = []string{channel}
	}
	return publish(t, h, pubs...)
}

// client is a session and who pulls it.
type client struct {
	*hub.Session
	wake chan struct{}
}

func connect(t testing.TB, h *hub.Hub, g *hub.Grant) *client {
	return connectAs(t, h, g, hub.SessionOptions{})
}

func connectAs(t testing.TB, h *hub.Hub, g *hub.Grant, o hub.SessionOptions) *client {
	c := &client{wake: make(chan struct{}, 1)}
	c.Session = h.NewSession(g, o, hub.WakeFunc(func() {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(func() { c.Close(0) })
	return c
}

type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// subscribe answers with the position at which the subscription begins.
func (c *client) subscribe(t failer, channel string, from hub.From) hub.Position {
	t.Helper()
	var begin hub.Position
	if err := c.Reserve(0); err != nil {
		t.Fatal(err)
	}
	err := c.Subscribe(channel, from, false, 0, func(p hub.Position, _ hub.Deliver) (any, int) {
		begin = p
		return "subscribed " + channel, 10
	})
	if err != nil {
		t.Fatal(err)
	}
	return begin
}

// events pulls until n events other than answers have come.
func (c *client) events(t failer, n int) []hub.Event {
	t.Helper()
	var all []hub.Event
	timeout := time.After(patience)
	for {
		events, more := c.Pull(nil, 4096)
		for _, e := range events {
			if e.Kind != hub.EventAnswer {
				all = append(all, e)
			}
		}
		if len(all) >= n {
			return all
		}
		if more {
			continue
		}
		select {
		case <-c.wake:
		case <-timeout:
			t.Fatalf("%d of %d events came: %v", len(all), n, all)
		}
	}
}

// follow checks that events continue a channel's chain from a position.
func follow(t failer, from hub.Position, events []hub.Event) {
	t.Helper()
	for _, e := range events {
		if e.Kind == hub.EventReset {
			from = e.Detail.Position
			continue
		}
		m := e.Message
		if m.Offset <= from.Offset || m.Prev > from.Offset {
			t.Fatalf("message %d with prev %d follows %d", m.Offset, m.Prev, from.Offset)
		}
		from = m.Position()
	}
}

func TestSlowReaderCatchesUpFromTheLog(t *testing.T) {
	h := open(t)
	c := connect(t, h, backend)
	begin := c.subscribe(t, "c", hub.From{})
	publishN(t, h, "c", 3000)
	events := c.events(t, 3000)
	follow(t, begin, events)
	publishN(t, h, "c", 10)
	if more := c.events(t, 10); len(events)+len(more) != 3010 {
		t.Errorf("%d messages came", len(events)+len(more))
	}
}

func TestLogOrderOverAllChannels(t *testing.T) {
	h := open(t)
	c := connect(t, h, backend)
	channels := []string{"a", "b", "c", "d"}
	for _, name := range channels {
		c.subscribe(t, name, hub.From{})
	}
	const each = 2000
	var wg sync.WaitGroup
	for _, name := range channels {
		wg.Go(func() {
			for range each / 10 {
				publishN(t, h, name, 10)
			}
		})
	}
	last := uint64(0)
	for got := 0; got < each*len(channels); {
		for _, e := range c.events(t, 1) {
			if e.Message.Offset <= last {
				t.Fatalf("offset %d of %s came after %d", e.Message.Offset, e.Channel, last)
			}
			last = e.Message.Offset
			got++
		}
	}
	wg.Wait()
}

func TestResumeFromEveryPosition(t *testing.T) {
	h := open(t)
	results := publishN(t, h, "c", 700) // more than the tail holds
	keeper := connect(t, h, backend)
	keeper.subscribe(t, "c", hub.From{})
	results = append(results, publishN(t, h, "c", 600)...)
	rapid.Check(t, func(rt *rapid.T) {
		i := rapid.IntRange(0, len(results)-1).Draw(rt, "at")
		c := connect(t, h, backend)
		defer c.Close(0)
		at := results[i].Position
		c.subscribe(rt, "c", hub.From{After: &at})
		events := c.events(rt, len(results)-1-i)
		follow(rt, at, events)
		if len(events) != len(results)-1-i {
			rt.Fatalf("%d messages after number %d", len(events), i)
		}
	})
}

func TestSubscribeWhilePublishing(t *testing.T) {
	h := open(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				publishN(t, h, "c", 7)
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	for i := range 100 {
		c := connect(t, h, backend)
		from := []hub.From{{}, {Last: 50}, {Since: time.Now().Add(-time.Second)}}[i%3]
		begin := c.subscribe(t, "c", from)
		follow(t, begin, c.events(t, 100))
		c.Close(0)
	}
}

func TestResets(t *testing.T) {
	h := open(t, hub.Rule{Pattern: "short:*", Keep: hub.Retention{Messages: 5}})
	for _, test := range []struct {
		name  string
		at    func(published []hub.Result) hub.Position
		reset hub.Reset
		then  int // messages that follow
	}{
		{"expired", func(r []hub.Result) hub.Position { return r[3].Position }, hub.ResetExpired, 5},
		{"the oldest is next", func(r []hub.Result) hub.Position { return r[14].Position }, "", 5},
		{"at the head", func(r []hub.Result) hub.Position { return r[19].Position }, "", 0},
		{"ahead", func(r []hub.Result) hub.Position {
			return hub.Position{Epoch: r[19].Position.Epoch, Offset: r[19].Position.Offset + 1}
		}, hub.ResetAhead, 0},
		{"another epoch", func(r []hub.Result) hub.Position {
			return hub.Position{Epoch: "other", Offset: r[19].Position.Offset}
		}, hub.ResetEpoch, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			channel := "short:" + test.name
			at := test.at(publishN(t, h, channel, 20))
			c := connect(t, h, backend)
			c.subscribe(t, channel, hub.From{After: &at})
			want := test.then
			if test.reset != "" {
				want++
			}
			events := c.events(t, want)
			var reset hub.Reset
			if len(events) > 0 && events[0].Kind == hub.EventReset {
				reset, at = events[0].Detail.Reset, events[0].Detail.Position
				events = events[1:]
			}
			if reset != test.reset || len(events) != test.then {
				t.Errorf("reset %q and %d messages, want %q and %d", reset, len(events), test.reset, test.then)
			}
			marker := publishN(t, h, channel, 1)[0]
			events = append(events, c.events(t, 1)...)
			follow(t, at, events)
			if last := events[len(events)-1].Message; last.Offset != marker.Position.Offset {
				t.Errorf("reading went on to %d, not %d", last.Offset, marker.Position.Offset)
			}
		})
	}
}

func TestLaggingBehindRetentionIsReset(t *testing.T) {
	h := open(t, hub.Rule{Pattern: "*", Keep: hub.Retention{Messages: 100}})
	c := connect(t, h, backend)
	begin := c.subscribe(t, "c", hub.From{})
	publishN(t, h, "c", 5000)
	events := c.events(t, 101)
	if events[0].Kind != hub.EventReset || events[0].Detail.Reset != hub.ResetExpired || len(events) != 101 {
		t.Fatalf("%d events, the first %+v", len(events), events[0])
	}
	follow(t, begin, events)
}

func TestExclude(t *testing.T) {
	h := open(t)
	c, other := connect(t, h, backend), connect(t, h, backend)
	begin := c.subscribe(t, "c", hub.From{})
	other.subscribe(t, "c", hub.From{})
	publish(t, h, hub.Publication{Channels: []string{"c"}, Exclude: c.ID()}, hub.Publication{Channels: []string{"c"}})
	events := c.events(t, 2)
	if events[0].Kind != hub.EventSkip || events[1].Kind != hub.EventMessage {
		t.Errorf("the excluded session got %v", events)
	}
	follow(t, begin, events)
	if events := other.events(t, 2); events[0].Kind != hub.EventMessage {
		t.Errorf("another session got %v", events)
	}
}

func TestLatest(t *testing.T) {
	h := open(t, hub.Rule{Pattern: "ticker", Deliver: hub.DeliverLatest, Keep: hub.DefaultRule.Keep})
	results := publishN(t, h, "ticker", 3)
	c := connect(t, h, backend)
	c.subscribe(t, "ticker", hub.From{After: &results[0].Position})
	if events := c.events(t, 1); len(events) != 1 || events[0].Message.Offset != results[2].Position.Offset {
		t.Fatalf("a cursor that is behind got %v", events)
	}
	results = publishN(t, h, "ticker", 3000)
	var got []uint64
	for len(got) == 0 || got[len(got)-1] != results[2999].Position.Offset {
		for _, e := range c.events(t, 1) {
			got = append(got, e.Message.Offset)
		}
	}
	if len(got) > 10 || !slices.IsSorted(got) {
		t.Errorf("%d messages came to a cursor that was behind", len(got))
	}
}

// TestEphemeralIsNotResumed: who begins behind an ephemeral message does not get it, though it stands in the tail; who was there when it came does.
func TestEphemeralIsNotResumed(t *testing.T) {
	h := open(t)
	there := connect(t, h, backend)
	there.subscribe(t, "c", hub.From{})
	typing := hub.Publication{Channels: []string{"c"}, Event: "typing", Ephemeral: true}
	at := publish(t, h, hub.Publication{Channels: []string{"c"}, Event: "1"}, typing)[0].Position
	publish(t, h, hub.Publication{Channels: []string{"c"}, Event: "2"}, typing)
	for name, from := range map[string]hub.From{"after": {After: &at}, "last": {Last: 1}} {
		c, d := connect(t, h, backend), connect(t, h, backend)
		c.subscribe(t, "c", from)
		d.subscribe(t, "c", from) // so that they can share a run
		publish(t, h, typing)
		for _, who := range []*client{c, d} {
			var got []string
			for _, e := range who.events(t, 2) {
				got = append(got, e.Message.Event)
			}
			if fmt.Sprint(got) != "[2 typing]" {
				t.Errorf("%s: got %v", name, got)
			}
		}
		c.Close(0)
		d.Close(0)
	}
	stored := 0
	for _, e := range there.events(t, 6) {
		if !e.Message.Ephemeral {
			stored++
		}
	}
	if stored != 2 {
		t.Errorf("who was there got %d stored messages and %d ephemeral ones", stored, 6-stored)
	}
}

func TestEphemeral(t *testing.T) {
	h := open(t)
	c := connect(t, h, backend)
	c.subscribe(t, "c", hub.From{})
	r := publish(t, h,
		hub.Publication{Channels: []string{"c"}},
		hub.Publication{Channels: []string{"c"}, Ephemeral: true, ID: "typing"},
	)
	if r[1].Position != (hub.Position{}) || r[1].ID != "typing" || r[0].Position.Offset == 0 {
		t.Errorf("results %+v", r)
	}
	kinds := map[bool]int{}
	for _, e := range c.events(t, 2) {
		kinds[e.Message.Ephemeral]++
	}
	if kinds[true] != 1 || kinds[false] != 1 {
		t.Errorf("ephemeral and stored messages came %v times", kinds)
	}
	page, err := h.History(t.Context(), backend, "c", hub.Query{Limit: 10})
	if err != nil || len(page.Messages) != 1 {
		t.Errorf("the log holds %d messages, %v", len(page.Messages), err)
	}
}

func TestUnsubscribeIsFinal(t *testing.T) {
	h := open(t)
	for range 50 {
		c := connect(t, h, backend)
		c.subscribe(t, "c", hub.From{})
		var publisher sync.WaitGroup
		publisher.Go(func() { publishN(t, h, "c", 20) })
		c.events(t, 1)
		if err := c.Reserve(0); err != nil {
			t.Fatal(err)
		}
		if err := c.Unsubscribe("c", 0, "gone", 10); err != nil {
			t.Fatal(err)
		}
		over := false
		for _, e := range drain(c) {
			over = over || e.Kind == hub.EventAnswer && e.Detail.Answer == "gone"
			if over && e.Kind == hub.EventMessage {
				t.Fatal("a message came after the answer to unsubscribe")
			}
		}
		if !over {
			t.Fatal("unsubscribe was not answered")
		}
		publisher.Wait() // its context ends with the test
		c.Close(0)
	}
}

func drain(c *client) (all []hub.Event) {
	for more := true; more; {
		all, more = c.Pull(all, 4096)
	}
	return all
}

func TestTheTransportHearsOfTheEnd(t *testing.T) {
	h := open(t)
	c := connect(t, h, backend)
	c.subscribe(t, "c", hub.From{})
	c.Close(0)
	events, _ := c.Pull(nil, 4096)
	if len(events) != 1 || events[0].Kind != hub.EventEnd {
		t.Errorf("a session that was closed under its transport gave %v", events)
	}
	h.Refuse(hub.Errorf(hub.CodeGoaway, "draining"))
	if e := connect(t, h, backend).events(t, 1); e[0].Kind != hub.EventEnd {
		t.Errorf("a session that came too late got %v", e)
	}
}

// TestASessionGoesOnByAnotherConnection: who has the key has the id, the members stay, and the connection before ends.
func TestASessionGoesOnByAnotherConnection(t *testing.T) {
	h := open(t)
	ann := &hub.Grant{App: "a", Client: "ann", Allow: backend.Allow}
	first := connect(t, h, ann)
	if err := first.Enter("c", "", nil); err != nil {
		t.Fatal(err)
	}
	second := connectAs(t, h, ann, hub.SessionOptions{Key: first.Key(), Transport: "poll", Address: "192.0.2.1"})
	if second.ID() != first.ID() || h.Session(first.ID()) != second.Session || second.Transport() != "poll" || second.Address() != "192.0.2.1" {
		t.Errorf("the session went on as %s by %s, it was %s", second.ID(), second.Transport(), first.ID())
	}
	if e := first.events(t, 1); e[0].Kind != hub.EventEnd || e[0].Detail.Err.Code != hub.CodeReplaced {
		t.Errorf("the connection before got %v", e)
	}
	first.Close(0)
	if members, _, err := h.Members(ann, "c"); err != nil || len(members) != 1 {
		t.Errorf("after the connection before had gone there were %v, %v", members, err)
	}
	second.Close(0)
	if members, _, err := h.Members(ann, "c"); err != nil || len(members) != 0 || h.Session(first.ID()) != nil {
		t.Errorf("after the goodbye there were %v, %v", members, err)
	}
	bob := connectAs(t, h, &hub.Grant{App: "a", Client: "bob"}, hub.SessionOptions{Key: first.Key()})
	if bob.ID() == first.ID() {
		t.Error("another client got the session's id by its key")
	}
}

// TestWhoIsSentAwayGetsWhatWasThere: of messages that have come before an end in order none is left to a resume that the client might not make.
func TestWhoIsSentAwayGetsWhatWasThere(t *testing.T) {
	h := open(t)
	c := connect(t, h, backend)
	c.subscribe(t, "c", hub.From{})
	drain(c)
	select {
	case <-c.wake: // of the answer, which has been pulled
	default:
	}
	publishN(t, h, "c", 3)
	<-c.wake // acknowledged is not yet marked
	c.End(hub.Errorf(hub.CodeGoaway, "draining"))
	events, more := c.Pull(nil, 4096)
	if len(events) != 4 || events[3].Kind != hub.EventEnd || more {
		t.Errorf("got %v, more: %v; want three messages and the end", events, more)
	}
}

func TestWhoDoesNotReadIsNotReadFrom(t *testing.T) {
	h := open(t)
	c := connect(t, h, backend)
	reserved := 0
	for range 100_000 {
		done := make(chan error, 1)
		go func() { done <- c.Reserve(100) }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			c.Answer(100, "x", 100)
			reserved++
			continue
		case <-time.After(200 * time.Millisecond):
		}
		if len(drain(c)) == 0 {
			t.Fatal("nothing was waiting")
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if reserved > 256 {
			t.Errorf("%d answers could wait", reserved)
		}
		return
	}
	t.Error("answers wait without bound")
}

func TestPresenceIsASnapshotAndThenChanges(t *testing.T) {
	h := open(t)
	ann, bob := connect(t, h, &hub.Grant{App: "a", Client: "ann", Allow: backend.Allow}), connect(t, h, backend)
	if err := ann.Enter("c", "", []byte(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	if err := bob.Reserve(0); err != nil {
		t.Fatal(err)
	}
	if err := bob.Subscribe("c", hub.From{}, true, 0, func(hub.Position, hub.Deliver) (any, int) { return "", 0 }); err != nil {
		t.Fatal(err)
	}
	first := bob.events(t, 1)[0]
	if first.Kind != hub.EventMembers || len(first.Detail.Members) != 1 || first.Detail.Members[0].ID != "ann" {
		t.Fatalf("the snapshot is %+v", first.Detail)
	}
	if err := bob.Enter("c", "robot", nil); err != nil {
		t.Fatal(err)
	}
	ann.Close(0)
	version := first.Detail.Version
	for i, want := range []string{"robot", "ann"} {
		e := bob.events(t, 1)
		c := e[0].Detail.Change
		if e[0].Kind != hub.EventChange || c.Member.ID != want || c.Version != version+1 {
			t.Fatalf("change %d is %+v", i, e[0])
		}
		version = c.Version
		if len(e) > 1 { // both came in one pull
			if c := e[1].Detail.Change; c.Member.ID != "ann" || c.Event != hub.MemberLeft {
				t.Fatalf("then came %+v", c)
			}
			return
		}
	}
}

func TestRefusals(t *testing.T) {
	h := open(t)
	big := make([]byte, hub.DefaultLimits.MessageBytes+1)
	for i := range big {
		big[i] = '1'
	}
	first := publishN(t, h, "c", 1)[0].Position
	for name, test := range map[string]struct {
		pub  hub.Publication
		code hub.Code
	}{
		"too large":        {hub.Publication{Channels: []string{"c"}, Data: big}, hub.CodeMessageTooLarge},
		"no channel":       {hub.Publication{}, hub.CodeBadRequest},
		"empty name":       {hub.Publication{Channels: []string{""}}, hub.CodeBadRequest},
		"long name":        {hub.Publication{Channels: []string{string(big[:5000])}}, hub.CodeBadRequest},
		"control":          {hub.Publication{Channels: []string{"a\nb"}}, hub.CodeBadRequest},
		"not UTF-8 name":   {hub.Publication{Channels: []string{"a\xff"}}, hub.CodeBadRequest},
		"not UTF-8 data":   {hub.Publication{Channels: []string{"c"}, Data: []byte("\"\xff\"")}, hub.CodeBadRequest},
		"long id":          {hub.Publication{Channels: []string{"c"}, ID: string(big[:300])}, hub.CodeBadRequest},
		"long event":       {hub.Publication{Channels: []string{"c"}, Event: string(big[:300])}, hub.CodeBadRequest},
		"headers":          {hub.Publication{Channels: []string{"c"}, Headers: map[string]string{"h": string(big[:9000])}}, hub.CodeLimit},
		"empty header":     {hub.Publication{Channels: []string{"c"}, Headers: map[string]string{"": "x"}}, hub.CodeBadRequest},
		"channels":         {hub.Publication{Channels: make([]string, 101)}, hub.CodeLimit},
		"expect and many":  {hub.Publication{Channels: []string{"c", "d"}, Expect: &first}, hub.CodeBadRequest},
		"second one is no": {hub.Publication{Channels: []string{"c", ""}}, hub.CodeBadRequest},
	} {
		_, err := h.PublishWait(t.Context(), backend, []hub.Publication{{Channels: []string{"c"}, Data: []byte("1")}, test.pub})
		if shown, ok := errors.AsType[*hub.Error](err); !ok || shown.Code != test.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	page, err := h.History(t.Context(), backend, "c", hub.Query{Limit: 10})
	if err != nil || len(page.Messages) != 1 {
		t.Errorf("a refused publish stored something: %d messages, %v", len(page.Messages), err)
	}
}

func TestExpect(t *testing.T) {
	h := open(t)
	at := publishN(t, h, "c", 1)[0].Position
	const racers = 20
	results := make(chan hub.Result, racers)
	for i := range racers {
		go func() {
			r, err := h.PublishWait(t.Context(), backend, []hub.Publication{{Channels: []string{"c"}, ID: fmt.Sprint(i), Data: []byte("1"), Expect: &at}})
			if err != nil {
				t.Error(err)
				results <- hub.Result{}
				return
			}
			results <- r[0]
		}()
	}
	won := 0
	for range racers {
		r := <-results
		if r.Err == nil {
			won++
		} else if shown, ok := errors.AsType[*hub.Error](r.Err); !ok || shown.Code != hub.CodeConflict {
			t.Errorf("a loser got %v", r.Err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d conditional publishes won", won, racers)
	}
}
