package protocoltest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Channels of the suite. A server lets its clients do everything on OpenChannels and nothing on ClosedChannels.
const (
	OpenChannels   = "open:*"
	ClosedChannels = "closed:*"
)

// patience is how long anything may take that is waited for.
const patience = 20 * time.Second

// Client is one connection, in whatever protocol. One goroutine uses it at a time.
type Client interface {
	// Subscribe begins to follow a channel, after a position or (nil) at the tail, and returns when the server has agreed. A refusal is a *hub.Error.
	Subscribe(ctx context.Context, channel string, after *hub.Position) error
	// Next returns what comes next of any subscription. When the connection has ended it fails.
	Next(ctx context.Context) (Event, error)
	// Close cuts the connection.
	Close()
}

// Event is a message, a reset, or the server's word that it is going away.
type Event struct {
	Channel  string
	Position hub.Position
	Prev     uint64
	Data     string // a message's, as JSON
	Reset    hub.Reset
	Goaway   bool
}

// Server is a server of its own for one test of the suite.
type Server struct {
	// Dial connects a client that may do what Channels says.
	Dial func(t *testing.T) Client
	// Publish stores one message with JSON data, as a backend does, and returns its position.
	Publish func(t *testing.T, channel, data string) hub.Position
	// Trim removes the messages of a channel up to an offset; nil: the server has no way for it.
	Trim func(t *testing.T, channel string, through uint64)
	// Drain makes the server end in order, and returns when it has begun; nil: the protocol has no connection that could be told.
	Drain func(t *testing.T)
	// MessageBytes is the largest message.
	MessageBytes int
}

// Run is the suite. start makes a server with an empty store, which ends with the test.
func Run(t *testing.T, start func(t *testing.T) Server) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Server)
	}{
		{"order", testOrder}, {"resume", testResume}, {"reset", testReset}, {"expired", testExpired}, {"refused subscribe", testRefused},
		{"slow reader", testSlowReader}, {"big message", testBigMessage}, {"drain", testDrain},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t)) })
	}
}

// reader follows one channel and checks the chain of positions as it goes.
type reader struct {
	t       *testing.T
	client  Client
	channel string
	at      *hub.Position // of the newest message
}

func follow(t *testing.T, s Server, channel string, after *hub.Position) *reader {
	t.Helper()
	r := &reader{t: t, client: s.Dial(t), channel: channel, at: after}
	t.Cleanup(r.client.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.client.Subscribe(ctx, channel, after); err != nil {
		t.Fatalf("subscribe to %q: %v", channel, err)
	}
	return r
}

func (r *reader) next() (Event, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	return r.client.Next(ctx)
}

// messages takes n messages. It may be called from any goroutine.
func (r *reader) messages(n int) ([]string, error) {
	var data []string
	for len(data) < n {
		e, err := r.next()
		switch {
		case err != nil:
			return data, fmt.Errorf("after %d of %d messages: %w", len(data), n, err)
		case e.Channel != r.channel || e.Reset != "" || e.Goaway:
			return data, fmt.Errorf("after %d of %d messages: %+v", len(data), n, e)
		}
		if err := r.follows(e); err != nil {
			return data, err
		}
		data = append(data, e.Data)
	}
	return data, nil
}

func (r *reader) follows(e Event) error {
	if at := r.at; at != nil && (e.Position.Epoch != at.Epoch || e.Prev != at.Offset || e.Position.Offset <= at.Offset) {
		return fmt.Errorf("%s with prev %d does not follow %s", e.Position, e.Prev, at)
	}
	r.at = &e.Position
	return nil
}

func (r *reader) want(data ...string) {
	r.t.Helper()
	got, err := r.messages(len(data))
	if err != nil {
		r.t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(data) {
		r.t.Fatalf("got %v, want %v", got, data)
	}
}

// testOrder: all subscribers see the messages of several publishers in one order, and those of one publisher in its own.
func testOrder(t *testing.T, s Server) {
	const readers, publishers, each = 4, 3, 60
	var seen [readers][]string
	var reading, publishing sync.WaitGroup
	for i := range readers {
		r := follow(t, s, "open:order", nil)
		reading.Go(func() {
			var err error
			if seen[i], err = r.messages(publishers * each); err != nil {
				t.Error(err)
			}
		})
	}
	for p := range publishers {
		publishing.Go(func() {
			for n := range each {
				s.Publish(t, "open:order", fmt.Sprintf("[%d,%d]", p, n))
			}
		})
	}
	publishing.Wait()
	reading.Wait()
	for i := range seen {
		if fmt.Sprint(seen[i]) != fmt.Sprint(seen[0]) {
			t.Errorf("reader %d has seen another order than reader 0", i)
		}
	}
	ownOrder(t, seen[0], publishers)
}

func ownOrder(t *testing.T, seen []string, publishers int) {
	t.Helper()
	next := make([]int, publishers)
	for _, data := range seen {
		var p, n int
		if _, err := fmt.Sscanf(data, "[%d,%d]", &p, &n); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if n != next[p] {
			t.Errorf("publisher %d: message %d came where %d was due", p, n, next[p])
		}
		next[p]++
	}
}

// testResume: who comes back with a position gets everything after it, once, and what follows live.
func testResume(t *testing.T, s Server) {
	first := follow(t, s, "open:resume", nil)
	s.Publish(t, "open:resume", "1")
	s.Publish(t, "open:resume", "2")
	first.want("1", "2")
	first.client.Close()
	var missed []string
	for n := range 300 {
		missed = append(missed, fmt.Sprint(n))
		s.Publish(t, "open:resume", missed[n])
	}
	second := follow(t, s, "open:resume", first.at)
	s.Publish(t, "open:resume", `"live"`)
	second.want(append(missed, `"live"`)...)
}

// testReset: a position that cannot be honoured is answered by the reason, then by what there is.
func testReset(t *testing.T, s Server) {
	at := s.Publish(t, "open:reset", `"kept"`)
	old := follow(t, s, "open:reset", &hub.Position{Epoch: "of-another-age", Offset: 1})
	old.wantReset(hub.ResetEpoch)
	old.want(`"kept"`)
	ahead := follow(t, s, "open:reset", &hub.Position{Epoch: at.Epoch, Offset: at.Offset + 1000})
	ahead.wantReset(hub.ResetAhead)
	s.Publish(t, "open:reset", `"next"`)
	ahead.want(`"next"`)
}

func testExpired(t *testing.T, s Server) {
	if s.Trim == nil {
		t.Skip("this server gives the suite no way to remove messages")
	}
	first := s.Publish(t, "open:expired", "1")
	gone := s.Publish(t, "open:expired", "2")
	s.Publish(t, "open:expired", "3")
	s.Trim(t, "open:expired", gone.Offset)
	r := follow(t, s, "open:expired", &first)
	r.wantReset(hub.ResetExpired)
	r.want("3")
}

func (r *reader) wantReset(reason hub.Reset) {
	r.t.Helper()
	e, err := r.next()
	if err != nil || e.Reset != reason {
		r.t.Fatalf("got %+v, %v; want the reset %q", e, err, reason)
	}
	r.at = nil
}

// testRefused: a refusal is said, and the connection goes on.
func testRefused(t *testing.T, s Server) {
	r := follow(t, s, "open:refused", nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := r.client.Subscribe(ctx, "closed:refused", nil)
	if shown, ok := hub.Show(err); err == nil || !ok || shown.Code != hub.CodeForbidden {
		t.Fatalf("subscribe to a closed channel: %v, want %v", err, hub.CodeForbidden)
	}
	s.Publish(t, "closed:refused", `"secret"`)
	s.Publish(t, "open:refused", `"public"`)
	r.want(`"public"`)
}

// testSlowReader: who does not read holds nobody up, and gets everything when it reads again.
func testSlowReader(t *testing.T, s Server) {
	const messages, size = 400, 32 << 10 // more than the buffers of two sockets hold
	slow, quick := follow(t, s, "open:slow", nil), follow(t, s, "open:slow", nil)
	var want []string
	for n := range messages {
		data := fmt.Sprintf("%q", fmt.Sprintf("%0*d", size, n))
		want = append(want, data)
		s.Publish(t, "open:slow", data)
		got, err := quick.messages(1)
		if err != nil || got[0] != data {
			t.Fatalf("the quick reader, message %d: %v", n, err)
		}
	}
	got, err := slow.messages(messages)
	if err != nil {
		t.Fatalf("the slow reader: %v", err)
	}
	for n := range want {
		if got[n] != want[n] {
			t.Fatalf("the slow reader got something else as message %d", n)
		}
	}
}

// testBigMessage: the largest message that is allowed comes whole, between its neighbours.
func testBigMessage(t *testing.T, s Server) {
	r := follow(t, s, "open:big", nil)
	big := fmt.Sprintf("%q", fmt.Sprintf("%0*d", s.MessageBytes-2, 7))
	for _, data := range []string{"1", big, "2"} {
		s.Publish(t, "open:big", data)
	}
	got, err := r.messages(3)
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != "1" || got[1] != big || got[2] != "2" {
		t.Errorf("got %.20s, %d bytes, %.20s", got[0], len(got[1]), got[2])
	}
}

// testDrain: a server that ends says so, has sent everything that was stored, and closes the connection.
func testDrain(t *testing.T, s Server) {
	if s.Drain == nil {
		t.Skip("between two requests there is no connection that could be told")
	}
	r := follow(t, s, "open:drain", nil)
	for n := range 50 {
		s.Publish(t, "open:drain", fmt.Sprint(n))
	}
	s.Drain(t)
	goaway := false
	for got := 0; ; {
		e, err := r.next()
		if err != nil {
			if got != 50 || !goaway {
				t.Errorf("the connection ended after %d of 50 messages, goaway: %v: %v", got, goaway, err)
			}
			return
		}
		if goaway = goaway || e.Goaway; !e.Goaway {
			got++
		}
	}
}
