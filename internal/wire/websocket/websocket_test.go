package websocket

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/loop"
)

const (
	limit    = 1000
	patience = 10 * time.Second
)

// withGoroutines: connections have goroutines of their own instead of loops. All tests are run both ways.
var withGoroutines bool

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if runtime.GOOS == "linux" && code == 0 {
		withGoroutines = true
		code = m.Run()
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// echo sends back what it gets, in capitals where it was binary, and writes down the rest.
type echo struct {
	conn wire.Conn

	mu       sync.Mutex
	out      [][]byte
	end      wire.Next
	shared   *wire.Payload // is next
	tooLarge []int64
	closed   chan time.Time
	block    chan struct{} // Receive waits for it when set
	vetted   atomic.Bool
}

// Vetted implements wire.Vetter.
func (e *echo) Vetted() bool { return e.vetted.Load() }

func (e *echo) Receive(msg []byte, binary bool) {
	if e.block != nil {
		<-e.block
	}
	if binary {
		msg = bytes.ToUpper(msg)
	}
	e.send(string(msg))
}

func (e *echo) send(s string) {
	e.mu.Lock()
	e.out = append(e.out, []byte(s))
	e.mu.Unlock()
	e.conn.Wake()
}

func (e *echo) TooLarge(size int64) {
	e.mu.Lock()
	e.tooLarge = append(e.tooLarge, size)
	e.mu.Unlock()
	e.send("too large")
}

func (e *echo) Pull(dst []byte, _ bool) ([]byte, wire.Next) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.shared; p != nil {
		e.shared = nil
		return dst, wire.Next{Shared: p, More: true}
	}
	if len(e.out) == 0 {
		return dst, e.end
	}
	dst = append(dst, e.out[0]...)
	e.out = e.out[1:]
	return dst, wire.Next{More: len(e.out) > 0 || e.end.End != 0}
}

func (e *echo) Heartbeat()            {}
func (e *echo) Closed(last time.Time) { e.closed <- last }
func (e *echo) finish(end wire.Next)  { e.mu.Lock(); e.end = end; e.mu.Unlock(); e.conn.Wake() }
func (e *echo) wait(t *testing.T) time.Time {
	t.Helper()
	select {
	case last := <-e.closed:
		return last
	case <-time.After(patience):
		t.Fatal("the handler was not told that the connection is over")
		return time.Time{}
	}
}

// serve starts an endpoint and returns its address and the handlers of its connections.
func serve(t *testing.T, block chan struct{}) (url string, handlers chan *echo) {
	t.Helper()
	return serveWith(t, Options{}, block)
}

// serveWith is serve with some options of its own, on loops.
func serveWith(t *testing.T, o Options, block chan struct{}) (url string, handlers chan *echo) {
	t.Helper()
	handlers = make(chan *echo, 10)
	o.Subprotocol, o.MessageBytes, o.TooLargeCode = "test.v1", cmp.Or(o.MessageBytes, limit), 4004
	if !withGoroutines {
		loops, err := loop.NewGroup(loop.Options{Loops: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(loops.Close)
		o.Loops = loops
	}
	o.AllowOrigin = func(r *http.Request) bool { return r.Header.Get("Origin") != "http://evil.example" }
	e := New(o)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = e.Serve(w, r, func(c wire.Conn) wire.Handler {
			h := &echo{conn: c, closed: make(chan time.Time, 1), block: block}
			handlers <- h
			return h
		})
	}))
	t.Cleanup(srv.Close)
	return "ws" + strings.TrimPrefix(srv.URL, "http"), handlers
}

func dial(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	ws, _, err := (&websocket.Dialer{Subprotocols: []string{"test.v1"}}).Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	return ws
}

func expect(t *testing.T, ws *websocket.Conn, want string) {
	t.Helper()
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	_, got, err := ws.ReadMessage()
	if err != nil || string(got) != want {
		t.Fatalf("got %.50q, %v; want %.50q", got, err, want)
	}
}

func TestMessages(t *testing.T) {
	url, _ := serve(t, nil)
	ws := dial(t, url)
	for _, test := range []struct {
		kind       int
		send, want string
	}{
		{websocket.TextMessage, "hello", "hello"},
		{websocket.BinaryMessage, "hello", "HELLO"},
		{websocket.TextMessage, strings.Repeat("x", limit), strings.Repeat("x", limit)},
		{websocket.TextMessage, strings.Repeat("x", limit+1), "too large"},
		{websocket.TextMessage, strings.Repeat("x", 2*limit), "too large"},
		{websocket.TextMessage, "still there", "still there"},
	} {
		if err := ws.WriteMessage(test.kind, []byte(test.send)); err != nil {
			t.Fatal(err)
		}
		expect(t, ws, test.want)
	}
}

func TestFarTooLargeCloses(t *testing.T) {
	url, handlers := serve(t, nil)
	ws := dial(t, url)
	if err := ws.WriteMessage(websocket.TextMessage, make([]byte, 3*limit)); err != nil {
		t.Fatal(err)
	}
	_, _, err := ws.ReadMessage()
	if !websocket.IsCloseError(err, 4004) {
		t.Errorf("the close was %v", err)
	}
	ws.Close()
	(<-handlers).wait(t)
}

func TestEndComesAfterWhatWasPulled(t *testing.T) {
	url, handlers := serve(t, nil)
	ws := dial(t, url)
	h := <-handlers
	h.send("last")
	h.finish(wire.Next{End: 4200, Reason: strings.Repeat("ä", 100)})
	expect(t, ws, "last")
	_, _, err := ws.ReadMessage()
	if closed, ok := errors.AsType[*websocket.CloseError](err); !ok || closed.Code != 4200 || !strings.HasPrefix(closed.Text, "ää") {
		t.Errorf("the close was %v", err)
	}
	h.wait(t)
}

// TestEndIsFinal: a client that is sent away cannot put that off by going on, be it with the beginning of a message, which otherwise has its time.
func TestEndIsFinal(t *testing.T) {
	url, handlers := serve(t, nil)
	ws := dial(t, url)
	h := <-handlers
	h.finish(wire.Next{End: 4200, Reason: "go"})
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	ws.SetCloseHandler(func(int, string) error { return nil }) // it does not answer
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, 4200) {
		t.Fatalf("the close was %v", err)
	}
	raw(t, ws, frame(websocket.TextMessage, make([]byte, 100))[:50])
	h.wait(t)
}

// TestSeveralMessages: a payload may be several messages, which arrive as such, each compressed if it is large enough and the peer has agreed to that.
func TestSeveralMessages(t *testing.T) {
	url, handlers := serveWith(t, Options{CompressFrom: 100}, nil)
	large := strings.Repeat("large ", 100)
	p := &wire.Payload{}
	want := []string{"a", large, "", "b"}
	for _, msg := range want {
		p.Bytes = append(p.Bytes, msg...)
		p.Ends = append(p.Ends, len(p.Bytes))
	}
	for _, deflated := range []bool{false, true, false, true} { // the second of each kind gets what was made for the first
		d := websocket.Dialer{EnableCompression: deflated}
		ws, _, err := d.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		h := <-handlers
		h.vetted.Store(true)
		h.mu.Lock()
		h.shared = p
		h.mu.Unlock()
		h.send("behind")
		for _, msg := range append(want, "behind") {
			expect(t, ws, msg)
		}
		ws.Close()
		h.wait(t)
	}
}

func TestGoodbyeIsNotSilence(t *testing.T) {
	withoutCode := func(ws *websocket.Conn) {
		_ = ws.WriteControl(websocket.CloseMessage, nil, time.Now().Add(patience))
	}
	url, handlers := serveWith(t, Options{GoodbyeWithoutCode: true}, nil)
	ws := dial(t, url)
	withoutCode(ws)
	if last := (<-handlers).wait(t); !last.IsZero() {
		t.Errorf("closed without a code, where that is a goodbye: last heard %v", last)
	}
	url, handlers = serve(t, nil)
	for name, test := range map[string]struct {
		end     func(*websocket.Conn)
		goodbye bool
	}{
		"closed without a code": {withoutCode, false},
		"closed in order": {func(ws *websocket.Conn) {
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience))
		}, true},
		"cut": {func(ws *websocket.Conn) { ws.Close() }, false},
	} {
		before := time.Now()
		ws := dial(t, url)
		test.end(ws)
		last := (<-handlers).wait(t)
		if last.IsZero() != test.goodbye || !test.goodbye && last.Before(before) {
			t.Errorf("%s: last heard %v", name, last)
		}
	}
}

func TestWhileReceiveRunsNothingIsRead(t *testing.T) {
	block := make(chan struct{})
	url, handlers := serve(t, block)
	ws := dial(t, url)
	h := <-handlers
	if err := ws.WriteMessage(websocket.TextMessage, []byte("first")); err != nil {
		t.Fatal(err)
	}
	// The peer can write only so much as the sockets hold.
	filler := make([]byte, limit)
	stalled := false
	for range 100_000 {
		_ = ws.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		if err := ws.WriteMessage(websocket.TextMessage, filler); err != nil {
			var timeout net.Error
			stalled = errors.As(err, &timeout) && timeout.Timeout()
			break
		}
	}
	if !stalled {
		t.Error("the peer could write without end")
	}
	close(block)
	ws.Close()
	h.wait(t)
}

func TestHandshakes(t *testing.T) {
	url, _ := serve(t, nil)
	for name, test := range map[string]struct {
		subprotocols []string
		origin       string
		status       int
	}{
		"no subprotocol":    {nil, "", http.StatusSwitchingProtocols},
		"one of several":    {[]string{"other", "test.v1"}, "", http.StatusSwitchingProtocols},
		"another":           {[]string{"other"}, "", http.StatusBadRequest},
		"an origin":         {nil, "http://good.example", http.StatusSwitchingProtocols},
		"an origin refused": {nil, "http://evil.example", http.StatusForbidden},
	} {
		header := http.Header{}
		if test.origin != "" {
			header.Set("Origin", test.origin)
		}
		ws, resp, err := (&websocket.Dialer{Subprotocols: test.subprotocols}).Dial(url, header)
		if resp == nil || resp.StatusCode != test.status {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
		if ws != nil {
			ws.Close()
		}
	}
}

// TestDraining looks at what the kernel says of peers that read nothing, and of peers that do.
func TestDraining(t *testing.T) {
	url, handlers := serve(t, nil)
	ws := dial(t, url)
	h := <-handlers
	draining := func() bool {
		about, ok := h.conn.(*conn).link.(loop.Kernel)
		return ok && about.Draining()
	}
	if draining() {
		t.Error("an idle connection counts as draining: a silent peer would never be given up")
	}
	h.send(strings.Repeat("x", 32<<20))
	deadline := time.Now().Add(patience)
	for !draining() {
		if time.Now().After(deadline) {
			t.Fatal("a peer that does not read counts as gone")
		}
		time.Sleep(time.Millisecond) // the kernel gives no event for this
	}
	_, r, err := ws.NextReader()
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	if _, err := all.ReadFrom(r); err != nil || all.Len() != 32<<20 {
		t.Errorf("%d bytes came, %v", all.Len(), err)
	}
	ws.Close()
	h.wait(t)
}
