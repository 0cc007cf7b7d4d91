package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client/clienttest"
	"github.com/snoserver/sno/internal/hub"
)

// Each way a connection can end, and whether the client comes back.
func TestCodesAreObeyed(t *testing.T) { onEach(t, testCodesAreObeyed) }

func testCodesAreObeyed(t *testing.T, by Transport) {
	for name, test := range map[string]struct {
		end  func(*script)
		back bool
	}{
		"cut":               {(*script).Cut, true},
		"replaced":          {func(s *script) { s.Close(4006, "") }, true}, // by a connection of this client that came late
		"going away":        {func(s *script) { s.Close(1001, "") }, true},
		"internal, closed":  {func(s *script) { s.Close(1011, "") }, true},
		"timeout":           {func(s *script) { s.Close(4101, "") }, true},
		"goaway":            {func(s *script) { s.Close(4200, "") }, true},
		"expired":           {func(s *script) { s.Close(4201, "") }, true},
		"unauthorized":      {func(s *script) { s.Close(4001, "") }, false},
		"revoked":           {func(s *script) { s.Close(4003, "") }, false},
		"error, then close": {func(s *script) { s.Send(frm{"type": "error", "code": 4003, "text": "gone"}); s.Close(1000, "") }, false},
		"error, then cut":   {func(s *script) { s.Send(frm{"type": "error", "code": 4102, "text": "oh"}); s.Cut() }, true},
		"not a frame":       {func(s *script) { s.Send(frm{"type": 7}); s.UntilGone() }, true},
		"goaway frame": {func(s *script) {
			s.Send(frm{"type": "goaway", "delay": 1, "code": 4200, "text": "drain"})
			s.UntilGone()
		}, true},
		"request failed": {func(s *script) { s.Send(frm{"type": "error", "code": 4300, "text": "what?"}); s.Cut() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			dialled := make(chan struct{})
			steps := []func(*script){func(s *script) { s.Greet(); <-dialled; test.end(s) }}
			if test.back {
				steps = append(steps, func(s *script) { s.Greet(); s.UntilGone() })
			}
			states := make(chan State, 10)
			c := dial(t, Options{Transport: by, URL: clienttest.Script(t, steps...), OnState: func(s State, _ error) { states <- s }})
			close(dialled)
			want := []State{StateConnected, StateConnecting, StateConnected}
			if !test.back {
				want[2] = StateDisconnected
			}
			for _, w := range want {
				if got := <-states; got != w {
					t.Fatalf("state is %q, want %q", got, w)
				}
			}
			if !test.back {
				<-c.Done()
				if _, ok := errors.AsType[*hub.Error](c.Err()); !ok {
					t.Errorf("Err() = %v, want the server's error", c.Err())
				}
			}
		})
	}
}

func TestEveryConnectAsksForAToken(t *testing.T) { onEach(t, testEveryConnectAsksForAToken) }

func testEveryConnectAsksForAToken(t *testing.T, by Transport) {
	n := 0
	token := func(context.Context) (string, error) { n++; return fmt.Sprint("t", n), nil }
	step := func(want string, end func(*script)) func(*script) {
		return func(s *script) {
			if f := s.Greet(); f["token"] != want {
				t.Errorf("token is %v, want %s", f["token"], want)
			}
			end(s)
		}
	}
	url := clienttest.Script(t, step("t1", func(s *script) { s.Close(4201, "expired") }), step("t2", func(s *script) { s.UntilGone() }))
	connected := make(chan struct{}, 2)
	dial(t, Options{Transport: by, URL: url, Token: token, OnState: func(s State, _ error) {
		if s == StateConnected {
			connected <- struct{}{}
		}
	}})
	<-connected
	<-connected
}

func TestSilenceIsALostConnection(t *testing.T) {
	onEach(t, func(t *testing.T, by Transport) {
		if by != Poll { // a poll that is answered is a sign of life; TestPollWithoutAnAnswer has the other
			silenceIsALostConnection(t, by)
		}
	})
}

// greetWithHeartbeat takes the connect frame and says how often, in milliseconds, something is to be heard.
func greetWithHeartbeat(s *script, ms int) {
	s.Expect("connect")
	welcome := maps.Clone(clienttest.Welcome)
	welcome["heartbeat"] = ms
	s.Send(welcome)
}

func silenceIsALostConnection(t *testing.T, by Transport) {
	quiet := func(s *script) { greetWithHeartbeat(s, 20); s.UntilGone() }
	connected := make(chan time.Time, 3)
	began := time.Now()
	dial(t, Options{
		Transport:      by,
		URL:            clienttest.Script(t, quiet, func(s *script) { s.Greet(); s.UntilGone() }),
		heartbeatSlack: 30 * time.Millisecond,
		OnState: func(s State, _ error) {
			if s == StateConnected {
				connected <- time.Now()
			}
		},
	})
	<-connected
	if again := (<-connected).Sub(began); again < 50*time.Millisecond {
		t.Errorf("connected again after %v, before heartbeat + slack", again)
	}
}

func TestMembershipOutlivesTheConnection(t *testing.T) {
	onEach(t, testMembershipOutlivesTheConnection)
}

func testMembershipOutlivesTheConnection(t *testing.T, by Transport) {
	enter := func(s *script) frm { return s.Expect("enter") }
	ok := func(s *script, f frm) { s.Send(frm{"type": "ok", "ref": f["ref"]}) }
	again := make(chan frm, 1)
	first := func(s *script) { s.Greet(); ok(s, enter(s)); ok(s, s.Expect("ping")); s.Cut() }
	second := func(s *script) {
		s.Greet()
		f := enter(s)
		ok(s, f)
		again <- f
		ok(s, s.Expect("leave"))
		s.Cut()
	}
	third := func(s *script) { s.Greet(); ok(s, s.Expect("ping")); s.UntilGone() }
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, first, second, third)})
	if err := c.Enter(testContext(t), "x", "bot", []byte(`{"name":"Bot"}`)); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if f := <-again; f["member"] != "bot" || f["data"] == nil {
		t.Errorf("after the reconnect: %v", f)
	}
	if err := c.Leave(testContext(t), "x", "bot"); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// However many frames wait, no message is larger than the server reads, and none is left behind.
func TestBatchesFitTheServer(t *testing.T) {
	o := &outbox{byRef: map[uint64]*pending{}}
	for i := range 1000 {
		o.add(&pending{ref: uint64(i), frame: make([]byte, 100+i)})
	}
	sent := 0
	for {
		b := newBatch(10_000)
		o.take(time.Now(), defaultBackoff, b)
		if len(b.frames) == 0 {
			break
		}
		bytes := len("[]") + len(b.frames) - 1
		for _, f := range b.frames {
			bytes += len(f)
		}
		if bytes > 10_000 {
			t.Errorf("a message of %d bytes", bytes)
		}
		sent += len(b.frames)
	}
	if sent != 1000 {
		t.Errorf("%d frames were sent, want 1000", sent)
	}
}

func TestBackoffStaysInItsBounds(t *testing.T) {
	b := backoff{10 * time.Millisecond, time.Second}
	for attempt := range 100 {
		bound := b.max
		if attempt < 6 {
			bound = b.min << attempt
		}
		for range 100 {
			if d := b.delay(attempt); d < 0 || d > bound {
				t.Fatalf("attempt %d: %v is not within %v", attempt, d, bound)
			}
		}
	}
}

func FuzzDecodeFrames(f *testing.F) {
	f.Add([]byte(`{"type":"message","channel":"x","base64":"AA==","offset":9007199254740991}`))
	f.Add([]byte(` [{"type":"ping"},{"type":"error","ref":1,"code":4300}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		frames, err := decodeFrames(b)
		if err != nil {
			return
		}
		for i := range frames {
			s := Subscription{channel: "x"}
			for _, e := range s.take(&frames[i]) {
				if e == nil {
					t.Error("a nil event")
				}
			}
		}
	})
}

// TestPause: who has lost its session to a connection that it had given up itself takes it back at once, but does not fight over it.
func TestPause(t *testing.T) {
	c := &Client{backoff: backoff{time.Minute, time.Hour}}
	for _, test := range []struct {
		code    hub.Code
		attempt int
		again   bool
		at      string // "once", "later"
	}{
		{hub.CodeReplaced, 0, true, "once"},
		{hub.CodeReplaced, 1, true, "later"},
		{hub.CodeGoaway, 0, true, "once"},
		{hub.CodeGoaway, 1, true, "later"},
		{hub.CodeOverloadedConnect, 0, true, "later"},
		{hub.CodeRevoked, 0, false, "once"},
	} {
		delay, again := c.pause(&hub.Error{Code: test.code}, test.attempt)
		if again != test.again || (delay == 0) != (test.at == "once") {
			t.Errorf("%v, attempt %d: %v, %v", test.code, test.attempt, delay, again)
		}
	}
}
