package stream

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
	"github.com/snoserver/sno/internal/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve serves one form of response, with the body of a request as its first frames.
func serve(t *testing.T, o Options, prepare func(*wiretest.Handler)) (url string, handlers chan *wiretest.Handler) {
	t.Helper()
	handlers = make(chan *wiretest.Handler, 10)
	e := New(o)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e.Serve(w, r, Opening{Frames: body, Whole: r.Method == http.MethodGet}, func(c wire.Conn) wire.Handler {
			h := wiretest.New(c)
			prepare(h)
			handlers <- h
			return h
		})
	}))
	srv.Config.ConnContext = liveness.With
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, handlers
}

func refuse(w http.ResponseWriter, _ *http.Request, code int, reason string) bool {
	http.Error(w, reason, code)
	return true
}

var lines = Options{ContentType: "application/x-ndjson", Refuse: refuse}

func nothing(*wiretest.Handler) {}

func open(t *testing.T, ctx context.Context, url, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestEachMessageLeavesAtOnce(t *testing.T) {
	url, handlers := serve(t, lines, func(h *wiretest.Handler) { h.Send("welcome\n") })
	res := open(t, t.Context(), url, "hello")
	h := <-handlers
	if got := wiretest.Wait(t, "body", h.Received); got != "hello" {
		t.Errorf("the first frames are %q", got)
	}
	in := bufio.NewReader(res.Body)
	for _, want := range []string{"welcome\n", "one\n", "two\n"} {
		if got, err := in.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
		h.Send(map[string]string{"welcome\n": "one\n", "one\n": "two\n"}[want])
	}
	for name, want := range map[string]string{"Content-Type": "application/x-ndjson", "X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	h.Then(wire.Next{End: 4200})
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("after the end came %q, %v", rest, err)
	}
	wiretest.Wait(t, "end", h.Ended)
}

func TestWhatEndsBeforeItBeganHasAStatus(t *testing.T) {
	url, handlers := serve(t, lines, func(h *wiretest.Handler) {
		h.Send("the last word")
		h.Then(wire.Next{End: 418, Reason: "no coffee"})
	})
	res := open(t, t.Context(), url, "")
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 418 || string(body) != "no coffee\n" {
		t.Errorf("%s %q, %v", res.Status, body, err)
	}
	wiretest.Wait(t, "end", (<-handlers).Ended)
}

func TestAnEndWithoutAStatusIsTheLastFrame(t *testing.T) {
	o := Options{ContentType: "text/event-stream", Prelude: func() []byte { return []byte("retry: 5\n\n") }, Refuse: func(http.ResponseWriter, *http.Request, int, string) bool { return false }}
	url, _ := serve(t, o, func(h *wiretest.Handler) {
		h.Send("data: later\n\n")
		h.Then(wire.Next{End: 4100})
	})
	res := open(t, t.Context(), url, "")
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || string(body) != "retry: 5\n\ndata: later\n\n" {
		t.Errorf("%s %q, %v", res.Status, body, err)
	}
}

// TestTheHandlerHearsOfAClientThatGoes also while it waits for answers to leave.
func TestTheHandlerHearsOfAClientThatGoes(t *testing.T) {
	url, handlers := serve(t, lines, func(h *wiretest.Handler) {
		h.Block = make(chan struct{})
		h.Send("welcome\n")
	})
	ctx, cancel := context.WithCancel(t.Context())
	open(t, ctx, url, "")
	h := <-handlers
	cancel()
	if last := wiretest.Wait(t, "end", h.Ended); time.Since(last) > wiretest.Patience {
		t.Errorf("the client was last heard at %v", last)
	}
}

// TestAClientThatDoesNotReadHoldsNothingBack: its response is not written on, and its end is noticed.
func TestAClientThatDoesNotReadHoldsNothingBack(t *testing.T) {
	url, handlers := serve(t, lines, nothing)
	nc, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(nc, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	h := <-handlers
	for range 100 {
		h.Send(strings.Repeat("x", 1<<20))
	}
	if err := nc.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := nc.Close(); err != nil {
		t.Fatal(err)
	}
	wiretest.Wait(t, "end", h.Ended)
}

func TestForms(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{string(AppendLine([]byte("a\n"), []byte("{\"x\":\n\r 1}"), "ignored")), "a\n{\"x\":   1}\n"},
		{string(AppendEvent(nil, []byte(`{"x":1}`), "")), "data: {\"x\":1}\n\n"},
		{string(AppendEvent([]byte("a"), []byte("{\n}"), "AQ_-")), "aid: AQ_-\ndata: { }\n\n"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
