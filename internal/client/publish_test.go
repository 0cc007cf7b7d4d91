package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/client/clienttest"
	"github.com/snoserver/sno/internal/hub"
)

// outcomes collects the results of PublishAsync in the order of the callbacks.
type outcomes struct {
	t   *testing.T
	got chan string
}

func newOutcomes(t *testing.T) *outcomes { return &outcomes{t, make(chan string, 100)} }

func (o *outcomes) publish(c *Client, p Publication) {
	o.t.Helper()
	err := c.PublishAsync(testContext(o.t), p, func(a Ack, err error) {
		if err != nil {
			o.got <- p.ID + " " + err.Error()
			return
		}
		o.got <- fmt.Sprintf("%s %d", a.ID, a.Position.Offset)
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *outcomes) expect(want ...string) {
	o.t.Helper()
	ctx := testContext(o.t)
	for _, w := range want {
		select {
		case got := <-o.got:
			if !strings.HasPrefix(got, w) {
				o.t.Errorf("got %q, want %q", got, w)
			}
		case <-ctx.Done():
			o.t.Fatalf("nothing came, want %q", w)
		}
	}
}

func TestUnacknowledgedPublishesGoAgainInOrder(t *testing.T) {
	onEach(t, testUnacknowledgedPublishesGoAgainInOrder)
}

func testUnacknowledgedPublishesGoAgainInOrder(t *testing.T, by Transport) {
	first := func(s *script) {
		s.Greet()
		s.Publish(1)
		s.Expect("publish")
		s.Expect("publish")
		s.Cut()
	}
	second := func(s *script) {
		s.Greet()
		for i, want := range []string{"b", "c", "d"} {
			if f := s.Publish(2 + i); f["id"] != want || f["data"] != want {
				t.Errorf("got %v, want %q again", f, want)
			}
		}
		s.UntilGone()
	}
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, first, second)})
	o := newOutcomes(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		o.publish(c, Publication{Channel: "x", ID: id, Data: []byte(`"` + id + `"`)})
	}
	o.expect("a 1", "b 2", "c 3", "d 4")
}

func TestIDsAreMadeAndKept(t *testing.T) { onEach(t, testIDsAreMadeAndKept) }

func testIDsAreMadeAndKept(t *testing.T, by Transport) {
	ids := make(chan any, 3)
	first := func(s *script) {
		s.Greet()
		ids <- s.Expect("publish")["id"]
		s.Cut()
	}
	second := func(s *script) {
		s.Greet()
		ids <- s.Publish(1)["id"]
		ids <- s.Publish(2)["id"]
		s.UntilGone()
	}
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, first, second)})
	for range 2 {
		if _, err := c.Publish(testContext(t), Publication{Channel: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if a, again, b := <-ids, <-ids, <-ids; a == nil || a != again || a == b {
		t.Errorf("ids are %v, %v, %v; want the first kept through the reconnect and the second another", a, again, b)
	}
}

func TestRefusedPublishGoesAgain(t *testing.T) { onEach(t, testRefusedPublishGoesAgain) }

func testRefusedPublishGoesAgain(t *testing.T, by Transport) {
	for _, code := range []hub.Code{hub.CodeOverloaded, hub.CodeUnavailable, hub.CodeDiskFull} {
		t.Run(code.String(), func(t *testing.T) { refusedPublishGoesAgain(t, by, code) })
	}
}

func refusedPublishGoesAgain(t *testing.T, by Transport, code hub.Code) {
	refuse := func(s *script, code hub.Code) {
		f := s.Expect("publish")
		s.Send(frm{"type": "error", "ref": f["ref"], "code": code, "text": "not now"})
	}
	both := make(chan struct{})
	retries := make(chan error, 10)
	c := dial(t, Options{Transport: by, OnRetry: func(err error) { retries <- err }, URL: clienttest.Script(t, func(s *script) {
		s.Greet()
		<-both // are to be sent, so that on the next connection they go together
		s.Cut()
	}, func(s *script) {
		s.Greet()
		refuse(s, code)
		refuse(s, hub.CodeOutOfOrder)
		for i, want := range []string{"a", "b", "c"} {
			// The server has to know where the new order begins.
			if f := s.Publish(1 + i); f["id"] != want || f["ordered"] != true || (f["retry"] == true) != (i == 0) {
				t.Errorf("got %v, want %q", f, want)
			}
		}
		s.UntilGone()
	}), Window: 2}) // c is not under way when a and b are refused, so it must not overtake them
	o := newOutcomes(t)
	for _, id := range []string{"a", "b"} {
		o.publish(c, Publication{Channel: "x", ID: id})
	}
	close(both)
	o.publish(c, Publication{Channel: "x", ID: "c"})
	o.expect("a 1", "b 2", "c 3")
	for _, want := range []hub.Code{code, hub.CodeOutOfOrder} {
		if e, ok := errors.AsType[*hub.Error](<-retries); !ok || e.Code != want {
			t.Errorf("OnRetry heard %v, want %s", e, want)
		}
	}
	if len(retries) > 0 {
		t.Errorf("OnRetry heard %v, too", <-retries)
	}
}

func TestRefusedForGood(t *testing.T) { onEach(t, testRefusedForGood) }

func testRefusedForGood(t *testing.T, by Transport) {
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, func(s *script) {
		s.Greet()
		f := s.Expect("publish")
		s.Send(frm{"type": "error", "ref": f["ref"], "code": 4301, "text": "not allowed"})
		s.Publish(1)
		s.UntilGone()
	})})
	_, err := c.Publish(testContext(t), Publication{Channel: "x"})
	if e, ok := errors.AsType[*hub.Error](err); !ok || e.Code != hub.CodeForbidden {
		t.Errorf("got %v, want forbidden", err)
	}
	if _, err := c.Publish(testContext(t), Publication{Channel: "y"}); err != nil {
		t.Errorf("the connection did not go on: %v", err)
	}
}

func TestEphemeralIsSentAtMostOnce(t *testing.T) { onEach(t, testEphemeralIsSentAtMostOnce) }

func testEphemeralIsSentAtMostOnce(t *testing.T, by Transport) {
	first := func(s *script) {
		s.Greet()
		if f := s.Expect("publish"); f["ephemeral"] != true {
			t.Errorf("got %v, want ephemeral", f)
		}
		s.Cut()
	}
	second := func(s *script) {
		s.Greet()
		if f := s.Publish(1); f["id"] != "stored" {
			t.Errorf("got %v, want only the stored message", f)
		}
		s.UntilGone()
	}
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, first, second)})
	o := newOutcomes(t)
	o.publish(c, Publication{Channel: "x", ID: "typing", Ephemeral: true})
	o.expect("typing the connection was lost")
	o.publish(c, Publication{Channel: "x", ID: "stored"})
	o.expect("stored 1")
}

func TestWindowBlocks(t *testing.T) { onEach(t, testWindowBlocks) }

func testWindowBlocks(t *testing.T, by Transport) {
	ack := make(chan struct{})
	url := clienttest.Script(t, func(s *script) {
		s.Greet()
		<-ack
		for i := range 3 {
			s.Publish(i + 1)
		}
		s.UntilGone()
	})
	for name, o := range map[string]Options{"count": {Window: 2}, "bytes": {WindowBytes: 600}} {
		t.Run(name, func(t *testing.T) {
			b := &outbox{byRef: map[uint64]*pending{}}
			b.add(&pending{frame: make([]byte, 300)})
			o = o.withDefaults()
			if b.full(o.Window, o.WindowBytes, 300) {
				t.Error("full with one of two")
			}
			b.add(&pending{frame: make([]byte, 300)})
			if !b.full(o.Window, o.WindowBytes, 300) {
				t.Error("not full with two of two")
			}
		})
	}
	c := dial(t, Options{Transport: by, URL: url, Window: 2})
	o := newOutcomes(t)
	o.publish(c, Publication{Channel: "x", ID: "a"})
	o.publish(c, Publication{Channel: "x", ID: "b"})
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	err := c.PublishAsync(ended, Publication{Channel: "x", ID: "never"}, func(Ack, error) { t.Error("done was called") })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want to wait for the window", err)
	}
	close(ack)
	o.publish(c, Publication{Channel: "x", ID: "c"})
	o.expect("a 1", "b 2", "c 3")
}

func TestCloseFlushes(t *testing.T) { onEach(t, testCloseFlushes) }

func testCloseFlushes(t *testing.T, by Transport) {
	code := make(chan int, 1)
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, func(s *script) {
		s.Greet()
		for i := range 10 {
			s.Publish(i + 1)
		}
		code <- s.UntilGone()
	})})
	acked := 0
	for range 10 {
		if err := c.PublishAsync(testContext(t), Publication{Channel: "x"}, func(_ Ack, err error) {
			if err == nil {
				acked++
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(testContext(t)); err != nil || acked != 10 {
		t.Errorf("Close = %v after %d acknowledgements, want all 10", err, acked)
	}
	if got := <-code; got != 1000 {
		t.Errorf("the server saw close code %d, want 1000", got)
	}
	if _, err := c.Publish(testContext(t), Publication{Channel: "x"}); !errors.Is(err, ErrClosed) {
		t.Errorf("publish after Close: %v", err)
	}
}

func TestCloseSaysWhatWasNotAnswered(t *testing.T) { onEach(t, testCloseSaysWhatWasNotAnswered) }

func testCloseSaysWhatWasNotAnswered(t *testing.T, by Transport) {
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, func(s *script) { s.Greet(); s.UntilGone() })})
	o := newOutcomes(t)
	o.publish(c, Publication{Channel: "x", ID: "a"})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 requests") {
		t.Errorf("got %v, want the one request", err)
	}
	o.expect("a " + ErrClosed.Error())
}

func TestTooLargeIsNotSent(t *testing.T) { onEach(t, testTooLargeIsNotSent) }

func testTooLargeIsNotSent(t *testing.T, by Transport) {
	c := dial(t, Options{Transport: by, URL: clienttest.Script(t, func(s *script) { s.Greet(); s.Publish(1); s.UntilGone() })})
	_, err := c.Publish(testContext(t), Publication{Channel: "x", Binary: true, Data: make([]byte, 4<<20)})
	if e, ok := errors.AsType[*hub.Error](err); !ok || e.Code != hub.CodeMessageTooLarge {
		t.Errorf("got %v, want message_too_large", err)
	}
	if _, err := c.Publish(testContext(t), Publication{Channel: "x", Binary: true, Data: make([]byte, 2<<20)}); err != nil {
		t.Errorf("a frame within the limit: %v", err)
	}
}

func TestDataIsKeptByteForByte(t *testing.T) {
	for _, data := range []string{`{ "b":1,"a" : [1, 2.50e1] }`, `"<a&b>\u0041"`, `1e1000`, `null`} {
		r := request{Type: "publish", Channel: "x", Ref: 1}
		frame := r.encode([]byte(data))
		var got struct{ Data json.RawMessage }
		if err := json.Unmarshal(frame, &got); err != nil || string(got.Data) != data {
			t.Errorf("data %s became %s (%v)", data, got.Data, err)
		}
	}
	c := dial(t, Options{URL: clienttest.Script(t, func(s *script) { s.Greet(); s.UntilGone() })})
	if _, err := c.Publish(testContext(t), Publication{Channel: "x", Data: []byte(`1,"id":"y"`)}); err == nil {
		t.Error("data that is no JSON value was sent")
	}
}
