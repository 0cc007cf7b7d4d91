package load

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/client/clienttest"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/verify"
)

// A server that breaks a promise is found out, with the evidence, by whatever scenario.
func TestVerifyFinds(t *testing.T) {
	third := func(f clienttest.Frame) bool { return strings.HasSuffix(f["id"].(string), "-3") }
	for name, test := range map[string]struct {
		misbehave func(*clienttest.Broker)
		want      []verify.Kind
		chain     bool // it is seen without --verify, too
	}{
		"one subscriber does not get a message": {func(b *clienttest.Broker) {
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				if reader == 1 && third(f) {
					return nil
				}
				return []clienttest.Frame{f}
			}
		}, []verify.Kind{verify.KindGap, verify.KindMissed}, true},
		"one does not get it, and the chain hides that": {func(b *clienttest.Broker) {
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				switch {
				case reader == 1 && third(f):
					return nil
				case reader == 1:
					f = maps.Clone(f)
					f["prev"] = max(f["prev"].(int)-1, 0)
				}
				return []clienttest.Frame{f}
			}
		}, []verify.Kind{verify.KindMissed}, false},
		"one gets it twice": {func(b *clienttest.Broker) {
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				if reader == 0 && third(f) {
					return []clienttest.Frame{f, f}
				}
				return []clienttest.Frame{f}
			}
		}, []verify.Kind{verify.KindRepeated}, true},
		"two messages change places": {func(b *clienttest.Broker) {
			var held atomic.Pointer[clienttest.Frame]
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				if reader != 0 {
					return []clienttest.Frame{f}
				}
				if third(f) && held.CompareAndSwap(nil, &f) {
					return nil
				}
				if h := held.Swap(nil); h != nil && !third(f) {
					return []clienttest.Frame{f, *h}
				}
				return []clienttest.Frame{f}
			}
		}, []verify.Kind{verify.KindGap, verify.KindNotIncreasing}, true},
		"one gets something else": {func(b *clienttest.Broker) {
			b.Deliver = func(reader int, f clienttest.Frame) []clienttest.Frame {
				if reader == 0 && third(f) {
					f = maps.Clone(f)
					f["id"] = "other"
				}
				return []clienttest.Frame{f}
			}
		}, []verify.Kind{verify.KindDisagreement}, false},
		"an acknowledged message was not stored": {func(b *clienttest.Broker) {
			b.Keep = func(id string) bool { return id != "p0-3" }
		}, []verify.Kind{verify.KindDisagreement}, false}, // its position is given to another one
	} {
		t.Run(name, func(t *testing.T) {
			b := clienttest.NewBroker(t)
			test.misbehave(b)
			o := small(b.URL, Fanout)
			o.Client.Transport, o.Connections, o.Channels, o.Publishers, o.Timeout = client.WebSocket, 3, 1, 1, 2*time.Second
			res := run(t, o)
			if res.OK || res.Verification.OK || len(res.Verification.Violations) == 0 || test.chain != hasChainFailure(&res) {
				t.Fatalf("got %+v, %+v", res, res.Verification)
			}
			for _, kind := range test.want {
				if res.Verification.Broken[kind] == 0 {
					t.Errorf("found %v, want %s", res.Verification.Broken, kind)
				}
			}
			b2 := clienttest.NewBroker(t)
			test.misbehave(b2)
			o.Client.URL, o.Verify = b2.URL, false
			if res := run(t, o); test.chain == res.OK {
				t.Errorf("without verification: %+v", res)
			}
		})
	}
}

func hasChainFailure(res *Result) bool {
	return strings.Contains(strings.Join(res.Failures, "\n"), "did not follow one another")
}

// An honest server that cuts connections is no liar: what was lost is counted, and everything arrives.
func TestLostConnections(t *testing.T) {
	b := clienttest.NewBroker(t)
	b.CutEvery = 10
	o := small(b.URL, Fanout)
	o.Client.Transport = client.WebSocket
	res := run(t, o)
	if res.OK || res.Lost == 0 || !res.Verification.OK || res.Steps["publish"].Count != 50 || res.Steps["deliver"].Count != 50 {
		t.Errorf("got %+v, %+v", res, res.Verification)
	}
}

// Connections that a server has no room for just now are made later, and counted as refused.
func TestOverload(t *testing.T) {
	target, err := url.Parse(serve(t))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	var asked atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n > 3 && n <= 8 {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":4100,"detail":"come back later"}`))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	o := small(front.URL, Connect)
	o.Client.Transport = client.WebSocket
	res := run(t, o)
	want := Refusal{Name: "overloaded_connect", Code: int(hub.CodeOverloadedConnect), Count: 5, Text: res.Errors[0].Text}
	if !res.OK || res.Connections != 10 || len(res.Errors) != 1 || res.Errors[0] != want || !strings.Contains(want.Text, "come back later") {
		t.Errorf("got %+v", res)
	}
}

// A server that goes away in the middle and does not come back.
func TestServerGone(t *testing.T) {
	for _, s := range []Scenario{Connect, Fanout, Publish, Resume} {
		t.Run(string(s), func(t *testing.T) {
			b := clienttest.NewBroker(t)
			target, err := url.Parse(b.URL)
			if err != nil {
				t.Fatal(err)
			}
			proxy := httputil.NewSingleHostReverseProxy(target)
			var gone atomic.Bool
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if gone.Load() {
					panic(http.ErrAbortHandler)
				}
				proxy.ServeHTTP(w, r)
			}))
			t.Cleanup(front.Close)
			o := small(front.URL, s)
			o.Client.Transport, o.Duration, o.Timeout = client.WebSocket, 2*time.Second, 500*time.Millisecond
			o.Progress = func(Progress) {
				gone.Store(true)
				b.Sever()
			}
			res := run(t, o)
			if res.OK || len(res.Failures) == 0 || len(res.Errors) == 0 || res.Lost == 0 {
				t.Errorf("got %+v", res)
			}
		})
	}
}

// A gate keeps everybody until it opens, or until they do not want to wait any more.
func TestGate(t *testing.T) {
	var g gate
	if err := g.pass(t.Context()); err != nil {
		t.Error(err)
	}
	g.close()
	g.close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if g.pass(ended) == nil {
		t.Error("one has passed a gate that is shut")
	}
	passed := make(chan error, 3)
	for range 3 {
		go func() { passed <- g.pass(t.Context()) }()
	}
	g.open()
	g.open()
	for range 3 {
		if err := <-passed; err != nil {
			t.Error(err)
		}
	}
}
