package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/client/clienttest"
	"github.com/snoserver/sno/internal/hub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	script = clienttest.Conn
	frm    = clienttest.Frame
)

// tester is a *testing.T or a *rapid.T.
type tester interface {
	clienttest.T
	Fatal(args ...any)
}

// onEach runs a test over every transport.
func onEach(t *testing.T, test func(*testing.T, Transport)) {
	t.Helper()
	for _, by := range Transports() {
		t.Run(string(by), func(t *testing.T) { test(t, by) })
	}
}

func testContext(t tester) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func dial(t tester, o Options) *Client {
	t.Helper()
	c, err := Dial(testContext(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what a test left open is not waited for
		_ = c.Close(ctx)
	})
	return c
}

func TestCredentials(t *testing.T) { onEach(t, testCredentials) }

func testCredentials(t *testing.T, by Transport) {
	token := func(context.Context) (string, error) { return "eyJ", nil }
	for name, test := range map[string]struct {
		o    Options
		want frm
	}{
		"key":               {Options{Key: "dev", Secret: "s:1"}, frm{"key": "dev:s:1"}},
		"token":             {Options{Token: token}, frm{"token": "eyJ"}},
		"key before token":  {Options{Key: "dev", Token: token}, frm{"key": "dev:"}},
		"anonymous":         {Options{}, frm{}},
		"anonymous, an app": {Options{App: "shop"}, frm{"app": "shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got frm
			test.o.Transport = by
			test.o.URL = clienttest.Script(t, func(s *script) { got = s.Greet(); s.UntilGone() })
			c := dial(t, test.o)
			if err := c.Close(testContext(t)); err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{"key", "token", "app"} {
				if got[field] != test.want[field] {
					t.Errorf("%s is %v, want %v", field, got[field], test.want[field])
				}
			}
		})
	}
}

func TestDialRefused(t *testing.T) {
	refuse := func(s *script) {
		s.Expect("connect")
		s.Send(frm{"type": "error", "code": 4001, "name": "unauthorized", "text": "no such key"})
		s.Close(4001, "no such key")
	}
	_, err := Dial(testContext(t), Options{URL: clienttest.Script(t, refuse)})
	if e, ok := errors.AsType[*hub.Error](err); !ok || e.Code != hub.CodeUnauthorized || e.Text != "no such key" {
		t.Errorf("got %v, want the server's error", err)
	}
	if _, err := Dial(testContext(t), Options{URL: clienttest.Script(t)}); err == nil {
		t.Error("a server that answers 503 was dialled")
	}
	for _, url := range []string{"", "127.0.0.1:7878", "ftp://host", "http://"} {
		if _, err := Dial(testContext(t), Options{URL: url}); err == nil {
			t.Errorf("URL %q was accepted", url)
		}
	}
}

func TestRefusalOfTheUpgrade(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"code":4002,"name":"bad_origin","detail":"not from here"}`))
	}))
	defer server.Close()
	_, err := Dial(testContext(t), Options{URL: server.URL, Wait: true})
	if e, ok := errors.AsType[*hub.Error](err); !ok || e.Code != hub.CodeBadOrigin || e.Text != "not from here" {
		t.Errorf("got %v, want the problem's code", err)
	}
}

func TestDialWaits(t *testing.T) {
	inner := clienttest.Script(t, func(s *script) { s.Greet(); s.UntilGone() })
	target, err := url.Parse(inner)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var answers atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answers.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var begun, failed atomic.Int32
	dial(t, Options{
		Transport: WebSocket, URL: server.URL, Wait: true,
		Before:  func(context.Context) error { begun.Add(1); return nil },
		OnRetry: func(error) { failed.Add(1) },
	})
	if n := answers.Load(); n != 3 || begun.Load() != 3 || failed.Load() != 2 {
		t.Errorf("connected with attempt %d, want 3; Before was called %d times, OnRetry %d", n, begun.Load(), failed.Load())
	}
}

func TestDialWaitsNoLongerThanItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		cancel()
	}))
	defer server.Close()
	if _, err := Dial(ctx, Options{URL: server.URL, Wait: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// A connection that may not be begun is not, and one larger than its buffers gets through.
func TestBeforeAndBuffers(t *testing.T) { onEach(t, testBeforeAndBuffers) }

func testBeforeAndBuffers(t *testing.T, by Transport) {
	not := errors.New("not now")
	if _, err := Dial(testContext(t), Options{Transport: by, URL: "http://127.0.0.1:1", Before: func(context.Context) error { return not }}); !errors.Is(err, not) {
		t.Errorf("got %v, want %v", err, not)
	}
	long := strings.Repeat("x", 20_000)
	c := dial(t, Options{Transport: by, BufferBytes: 512, URL: clienttest.Script(t, func(s *script) {
		s.Greet()
		if f := s.Publish(1); f["id"] != long {
			t.Errorf("the server got %v", f)
		}
		s.UntilGone()
	})})
	if a, err := c.Publish(testContext(t), Publication{Channel: "x", ID: long}); err != nil || a.ID != long {
		t.Errorf("got an answer of %d bytes, %v", len(a.ID), err)
	}
}

func TestServerAddress(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:7878":       "http://127.0.0.1:7878",
		"https://example.com/":        "https://example.com",
		"https://example.com/rt/":     "https://example.com/rt",
		"wss://example.com":           "https://example.com",
		"ws://example.com/v1/ws":      "http://example.com",
		"http://u:p@example.com/?a=b": "http://example.com",
	} {
		if got, err := newServer(in); err != nil || got.base != want {
			t.Errorf("newServer(%q) = %+v, %v; want %q", in, got, err, want)
		}
	}
}
