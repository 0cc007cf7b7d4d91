package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client/clienttest"
)

// blockedBy is a proxy that lets only some transports through to a server.
type blockedBy struct {
	*httputil.ReverseProxy
	block atomic.Pointer[map[string]http.HandlerFunc] // by path
}

func newBlockedBy(t *testing.T, server string, block map[string]http.HandlerFunc) (*blockedBy, string) {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &blockedBy{ReverseProxy: httputil.NewSingleHostReverseProxy(target)}
	p.FlushInterval = -1
	p.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	p.block.Store(&block)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	return p, front.URL
}

func (p *blockedBy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := (*p.block.Load())[r.URL.Path]; h != nil {
		h(w, r)
		return
	}
	p.ReverseProxy.ServeHTTP(w, r)
}

// The ways in which a network gets into the way.
func forbids(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "no upgrades here", http.StatusForbidden)
}
func cuts(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
func holdsBack(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the end of the request is not noticed
	<-r.Context().Done()
}
func signIn(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "<html>please sign in to this network</html>")
}

func TestAutoTakesWhatGetsThrough(t *testing.T) {
	for name, test := range map[string]struct {
		block map[string]http.HandlerFunc
		want  Transport
	}{
		"nothing is blocked":          {nil, WebSocket},
		"no upgrades":                 {map[string]http.HandlerFunc{"/v1/ws": forbids}, Stream},
		"upgrades are cut":            {map[string]http.HandlerFunc{"/v1/ws": cuts}, Stream},
		"upgrades get a page":         {map[string]http.HandlerFunc{"/v1/ws": signIn, "/v1/stream": signIn}, SSE},
		"responses are held back":     {map[string]http.HandlerFunc{"/v1/ws": holdsBack, "/v1/stream": holdsBack, "/v1/sse": holdsBack}, Poll},
		"each is blocked another way": {map[string]http.HandlerFunc{"/v1/ws": cuts, "/v1/stream": holdsBack, "/v1/sse": forbids}, Poll},
	} {
		t.Run(name, func(t *testing.T) {
			_, url := newBlockedBy(t, clienttest.NewBroker(t).URL, test.block)
			c := dial(t, Options{URL: url, patience: 200 * time.Millisecond})
			if got := c.Transport(); got != test.want {
				t.Errorf("connected by %s, want %s", got, test.want)
			}
			if _, err := c.Publish(testContext(t), Publication{Channel: "x", Data: []byte(`1`)}); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAutoSaysWhatBlocksEach(t *testing.T) {
	block := map[string]http.HandlerFunc{"/v1/ws": forbids, "/v1/stream": holdsBack, "/v1/sse": signIn, "/v1/poll": cuts}
	_, url := newBlockedBy(t, clienttest.NewBroker(t).URL, block)
	_, err := Dial(testContext(t), Options{URL: url, patience: 100 * time.Millisecond})
	for _, want := range []string{"websocket: the server answered 403", "stream: no welcome within 50ms", `sse: the answer is of type "text/html`, "poll: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if _, err := Dial(testContext(t), Options{URL: "http://127.0.0.1:1"}); err == nil || strings.Contains(err.Error(), "stream") {
		t.Errorf("got %v, want that nobody is there, once", err)
	}
	if _, err := Dial(testContext(t), Options{URL: url, Transport: "carrier pigeon"}); err == nil {
		t.Error("a transport was accepted that there is not")
	}
}

// A network that changes under the client's feet: it goes on by another transport, from where it was, with everything once.
func TestTransportsChangeInTheMiddle(t *testing.T) {
	b := clienttest.NewBroker(t)
	p, url := newBlockedBy(t, b.URL, nil)
	reader, publisher := dial(t, Options{URL: url}), dial(t, Options{URL: b.URL})
	got := make(chan string, 100)
	_, err := reader.Subscribe(testContext(t), "x", SubscribeOptions{}, func(e Event) {
		switch e := e.(type) {
		case *Message:
			got <- e.ID
		case *Fault:
			t.Error(e.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(id string) {
		if _, err := publisher.Publish(testContext(t), Publication{Channel: "x", ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	block := map[string]http.HandlerFunc{}
	for _, by := range Transports() {
		publish("by " + string(by))
		expectEvents(t, got, "by "+string(by))
		if reader.Transport() != by {
			t.Errorf("connected by %s, want %s", reader.Transport(), by)
		}
		if by == Poll {
			break
		}
		block = maps.Clone(block)
		block[map[Transport]string{WebSocket: "/v1/ws", Stream: "/v1/stream", SSE: "/v1/sse"}[by]] = forbids
		next := block
		p.block.Store(&next)
		reader.Drop()
		publish("after " + string(by))
		expectEvents(t, got, "after "+string(by))
	}
}

// A poll that is not answered is a lost connection.
func TestPollWithoutAnAnswer(t *testing.T) {
	stay := func(s *script) { greetWithHeartbeat(s, 20); s.UntilGone() }
	p, url := newBlockedBy(t, clienttest.Script(t, stay, stay), nil)
	states := make(chan error, 10)
	dial(t, Options{URL: url, Transport: Poll, heartbeatSlack: 30 * time.Millisecond, OnState: func(_ State, err error) { states <- err }})
	if err := <-states; err != nil {
		t.Fatal(err)
	}
	p.block.Store(&map[string]http.HandlerFunc{"/v1/poll": holdsBack})
	if err := <-states; !errors.Is(err, errSilence) {
		t.Errorf("lost with %v, want silence", err)
	}
	p.block.Store(&map[string]http.HandlerFunc{})
	for err := range states {
		if err == nil {
			break // connected again
		}
	}
}

func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	w := newWatch(time.Millisecond, cancel)
	defer w.stop()
	select {
	case <-ctx.Done():
	case <-testContext(t).Done():
		t.Fatal("a silence was not noticed")
	}
	if !errors.Is(context.Cause(ctx), errSilence) {
		t.Errorf("ended by %v", context.Cause(ctx))
	}
}

func TestReadEvent(t *testing.T) {
	in := "retry: 500\n\nid: a\ndata: {\"type\":\"ping\"}\n\n: a comment\n\ndata:{\"a\":\r\ndata: 1}\r\n\r\ndata: cut"
	r := bufio.NewReader(strings.NewReader(in))
	for _, want := range []string{`{"type":"ping"}`, "{\"a\":\n1}"} {
		if got, err := readEvent(r); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if got, err := readEvent(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v; an event that is cut off is none", got, err)
	}
}

// Whatever a line holds that can be data, it comes back as it was.
func FuzzReadEvent(f *testing.F) {
	f.Add([]byte(`{"type":"ping"}`))
	f.Add([]byte("data: x"))
	f.Add([]byte(" "))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.ContainsAny(data, "\r\n") {
			t.Skip("frames of the server are one line")
		}
		r := bufio.NewReader(strings.NewReader("id: 1\ndata: " + string(data) + "\n\n"))
		if got, err := readEvent(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %q, %v; want %q", got, err, data)
		}
	})
}
