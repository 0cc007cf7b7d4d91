package xhr

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
	"github.com/snoserver/sno/internal/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	messageBytes = 1000
	againCode    = 4201
)

func newEndpoint() *Endpoint {
	return New(Options{MessageBytes: func() int64 { return messageBytes }, AgainCode: againCode})
}

// place is an endpoint behind a server, and the handlers of its sessions.
type place struct {
	t        *testing.T
	e        *Endpoint
	url      string
	handlers chan *wiretest.Handler
}

func serve(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, e: newEndpoint(), handlers: make(chan *wiretest.Handler, 10)}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, kind := r.URL.Query().Get("session"), r.URL.Path
		if kind == "/send" {
			body, _ := io.ReadAll(r.Body)
			if err := p.e.Send(key, r.URL.Query().Get("name"), body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
			}
			return
		}
		p.e.Serve(w, r, key, r.URL.Query().Get("name"), kind == "/streaming", func(c wire.Conn) wire.Handler {
			h := wiretest.New(c)
			p.handlers <- h
			return h
		})
	}))
	srv.Config.ConnContext = liveness.With
	srv.Start()
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	p.url = srv.URL
	return p
}

// stream is a response that is read line by line.
type stream struct {
	t      *testing.T
	lines  *bufio.Reader
	cancel context.CancelFunc
	body   io.Closer
}

func (p *place) post(kind, session, body string) *stream {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wiretest.Patience)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/"+kind+"?session="+session, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	s := &stream{p.t, bufio.NewReader(res.Body), cancel, res.Body}
	p.t.Cleanup(s.abort)
	return s
}

// abort gives the request up, as a client does that asks for the next.
func (s *stream) abort() {
	s.cancel()
	_ = s.body.Close()
}

func (s *stream) line() string {
	s.t.Helper()
	line, err := s.lines.ReadString('\n')
	if err != nil {
		s.t.Fatalf("%q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\n")
}

func (s *stream) want(lines ...string) {
	s.t.Helper()
	for _, want := range lines {
		if got := s.line(); got != want {
			s.t.Fatalf("got %.100q, want %.100q", got, want)
		}
	}
}

func (s *stream) ends() {
	s.t.Helper()
	if rest, err := io.ReadAll(s.lines); err != nil || len(rest) > 0 {
		s.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

// messages reads lines until there are so many messages.
func (s *stream) messages(n int) (all []string) {
	s.t.Helper()
	for len(all) < n {
		line := s.line()
		var some []string
		if line[0] != 'a' || json.Unmarshal([]byte(line[1:]), &some) != nil {
			s.t.Fatalf("got %.100q, want messages", line)
		}
		all = append(all, some...)
	}
	return all
}

func (s *stream) prelude() {
	s.t.Helper()
	s.want(strings.Repeat("h", preludeBytes))
}

func TestStreaming(t *testing.T) {
	p := serve(t)
	s := p.post("streaming", "1", "")
	h := <-p.handlers
	s.prelude()
	s.want("o")
	h.Send("one \"quoted\"\n<&>\u2028")
	s.want(`a["one \"quoted\"\u000a<&>` + "\u2028" + `"]`)
	p.post("send", "1", `["a","b"]`).ends()
	for _, want := range []string{"a", "b"} {
		if got := <-h.Received; got != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
	h.Then(wire.Next{End: 4200, Reason: "go \"now\""})
	s.want(`c[4200,"go \"now\""]`)
	s.ends()
	<-h.Ended
	if p.e.Has("1") {
		t.Error("the session is still there")
	}
}

// A client of streaming reads so much, and then asks for the next response: nothing is lost between the two, whatever characters it is made of.
func TestStreamingGoesOnInTheNextResponse(t *testing.T) {
	for name, letter := range map[string]string{"ASCII": "x", "two bytes": "é", "a surrogate pair": "😀"} {
		t.Run(name, func(t *testing.T) {
			p := serve(t)
			s := p.post("streaming", "1", "")
			h := <-p.handlers
			s.prelude()
			s.want("o")
			const n = 300
			var want []string
			for i := range n {
				want = append(want, fmt.Sprintf("%d %s", i, strings.Repeat(letter, 2000)))
			}
			h.Send(want...)
			read, lines := preludeBytes+1+2, 0
			var got []string
			for read <= enough {
				some := s.messages(1)
				for _, m := range some {
					read += len(utf16.Encode([]rune(`a["` + m + `"]` + "\n")))
				}
				got = append(got, some...)
				lines++
			}
			h.Send("behind") // the client would not see it here
			s.abort()
			for responses := 1; len(got) < n+1; responses++ {
				next := p.post("streaming", "1", "")
				next.prelude()
				read := preludeBytes + 1
				for read <= enough && len(got) < n+1 {
					m := next.messages(1)
					read += len(utf16.Encode([]rune(`a["` + m[0] + `"]` + "\n")))
					got = append(got, m...)
				}
				next.abort()
			}
			if fmt.Sprint(got) != fmt.Sprint(append(want, "behind")) {
				t.Error("got something else")
			}
		})
	}
}

func TestPolling(t *testing.T) {
	p := serve(t)
	first := p.post("polling", "1", "")
	h := <-p.handlers
	first.want("o")
	first.ends()
	h.Send("between", "two polls")
	second := p.post("polling", "1", "")
	if got := second.messages(2); fmt.Sprint(got) != "[between two polls]" {
		t.Errorf("got %v", got)
	}
	second.ends()
	answer := make(chan *stream)
	go func() { answer <- p.post("polling", "1", "") }()
	h.Send("while one waits")
	third := <-answer
	third.want(`a["while one waits"]`)
	third.ends()
	h.Then(wire.Next{End: 4001, Reason: "x"})
	last := p.post("polling", "1", "")
	last.want(`c[4001,"x"]`)
	last.ends()
	<-h.Ended
}

// A payload of several messages is several strings of a line.
func TestSeveralMessages(t *testing.T) {
	for payload, want := range map[*wire.Payload]string{
		{Bytes: []byte("ab")}:                      `a["ab"]` + "\n",
		{Bytes: []byte("abc"), Ends: []int{1, 3}}:  `a["a","bc"]` + "\n",
		{Bytes: []byte("a"), Ends: []int{0, 0, 1}}: `a["","","a"]` + "\n",
	} {
		if got := string(appendLine(nil, nil, payload)); got != want {
			t.Errorf("%q, %v: %s, want %s", payload.Bytes, payload.Ends, got, want)
		}
	}
	if got := appendLine(nil, nil, nil); got != nil {
		t.Errorf("nothing is %q", got)
	}
}

func TestSend(t *testing.T) {
	p := serve(t)
	s := p.post("streaming", "1", "")
	h := <-p.handlers
	s.prelude()
	s.want("o")
	if err := p.e.Send("2", "", []byte("[]")); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	for _, body := range []string{"", "x", `{}`, `"a"`, `[1]`, `[["a"]]`, "[null"} {
		if err := p.e.Send("1", "", []byte(body)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", body, err)
		}
	}
	if err := p.e.Send("1", "", []byte("[]")); err != nil {
		t.Error(err)
	}
	if err := p.e.Send("1", "", []byte(`["`+strings.Repeat("x", messageBytes+1)+`","fits"]`)); err != nil {
		t.Error(err)
	}
	if got := <-h.Received; got != fmt.Sprintf("too large: %d", messageBytes+1) {
		t.Errorf("received %.40q", got)
	}
	if got := <-h.Received; got != "fits" {
		t.Errorf("received %.40q", got)
	}
}

// A request that is repeated counts once, as long as it is remembered.
func TestSendAgain(t *testing.T) {
	p := serve(t)
	p.post("polling", "1", "").want("o")
	h := <-p.handlers
	for _, name := range []string{"1", "1", "2", "1", "", ""} {
		if err := p.e.Send("1", name, []byte(`["`+name+`"]`)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"1", "2", "", ""} {
		if got := wiretest.Wait(t, "message", h.Received); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Requests that wait for those before them are bounded.
func TestTooManyWait(t *testing.T) {
	e := newEndpoint()
	block := make(chan struct{})
	s := e.session("1", func(c wire.Conn) wire.Handler {
		h := wiretest.New(c)
		h.Block = block
		return h
	})
	results := make(chan error, maxPosts+1)
	for range maxPosts + 1 {
		go func() { results <- e.Send("1", "", []byte(`["x"]`)) }()
	}
	if err := <-results; !errors.Is(err, ErrTooMany) { // all others wait
		t.Errorf("got %v", err)
	}
	s.expire() // nobody has the session; the handler is told, and lets go
	for range maxPosts {
		<-results
	}
}

// A session that no request comes for ends, and says when its client was heard last.
func TestAbandoned(t *testing.T) {
	for _, kind := range []string{"streaming", "polling"} {
		t.Run(kind, func(t *testing.T) {
			p := serve(t)
			p.e.patience = 10 * time.Millisecond
			before := time.Now()
			s := p.post(kind, "1", "")
			h := <-p.handlers
			if kind == "streaming" {
				s.prelude()
			}
			s.want("o")
			s.abort()
			select {
			case last := <-h.Ended:
				if last.Before(before) || last.After(time.Now()) {
					t.Errorf("last heard %v", last)
				}
			case <-time.After(wiretest.Patience):
				t.Fatal("it goes on")
			}
			if err := p.e.Send("1", "", []byte(`["x"]`)); !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
			again := p.post("polling", "1", "") // is another session
			again.want("o")
			<-p.handlers
		})
	}
}

// A browser asks again by itself for what it has lost with a connection. What the session has written there is gone; if that was nothing, the session goes on.
func TestLostAnswer(t *testing.T) {
	for _, kind := range []string{"streaming", "polling"} {
		t.Run(kind, func(t *testing.T) {
			p := serve(t)
			p.post("polling", "1&name=1", "").want("o")
			h := <-p.handlers
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			p.e.Serve(httptest.NewRecorder(), httptest.NewRequestWithContext(gone, http.MethodPost, "/", nil), "1", "2", false, nil)
			h.Send("x")
			p.post("polling", "1&name=2", "").want(`a["x"]`)
			again := p.post(kind, "1&name=2", "")
			if kind == "streaming" {
				again.prelude()
			}
			again.want(fmt.Sprintf(`c[%d,"an answer was lost"]`, againCode))
			again.ends()
			wiretest.Wait(t, "end", h.Ended)
		})
	}
}

// A second request takes the session from the first, which its client has given up.
func TestOneResponseAtATime(t *testing.T) {
	p := serve(t)
	first := p.post("streaming", "1", "")
	h := <-p.handlers
	first.prelude()
	first.want("o")
	second := p.post("streaming", "1", "")
	second.prelude()
	if rest, _ := io.ReadAll(first.lines); len(rest) > 0 { // it is cut off
		t.Errorf("the first response goes on with %q", rest)
	}
	h.Send("x")
	second.want(`a["x"]`)
	p.e.find("1").Close(4201, "y")
	second.want(`c[4201,"y"]`)
	<-h.Ended
}

func FuzzSend(f *testing.F) {
	for _, s := range []string{`["a"]`, `[]`, `["{\"event\":\"x\"}"]`, `[1]`, `x`} {
		f.Add([]byte(s))
	}
	e := newEndpoint()
	f.Fuzz(func(t *testing.T, body []byte) {
		s := e.session("1", func(c wire.Conn) wire.Handler { return &counter{} })
		var want []string
		valid := json.Unmarshal(body, &want) == nil
		if err := e.Send("1", "", body); (err == nil) != valid {
			t.Fatalf("%q: %v", body, err)
		}
		c := s.handler.(*counter)
		if c.n != len(want) && valid {
			t.Fatalf("%q: %d messages, want %d", body, c.n, len(want))
		}
		c.n = 0
	})
}

// counter counts what it receives.
type counter struct{ n int }

func (c *counter) Receive([]byte, bool)                        { c.n++ }
func (c *counter) TooLarge(int64)                              { c.n++ }
func (c *counter) Pull(dst []byte, _ bool) ([]byte, wire.Next) { return dst, wire.Next{} }
func (c *counter) Heartbeat()                                  {}
func (c *counter) Closed(time.Time)                            {}

// What waits for the request before it is handed over in the order in which it has come.
func TestSendInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint()
		block := make(chan struct{})
		var h *wiretest.Handler
		e.session("1", func(c wire.Conn) wire.Handler {
			h = wiretest.New(c)
			h.Block = block
			return h
		})
		var sending sync.WaitGroup
		for n := range 20 {
			sending.Go(func() {
				if err := e.Send("1", "", fmt.Appendf(nil, `["%d"]`, n)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		close(block)
		sending.Wait()
		for n := range 20 {
			if got := <-h.Received; got != fmt.Sprint(n) {
				t.Fatalf("message %d is %s", n, got)
			}
		}
		e.Close()
	})
}

// A client of streaming answers a sign of life. One that does not is told that its session ends, and its last sign of life was before that.
func TestSilence(t *testing.T) {
	p := serve(t)
	s := p.post("streaming", "1", "")
	h := <-p.handlers
	s.prelude()
	s.want("o")
	session := p.e.find("1")
	session.mu.Lock()
	response, began := session.has, session.heard
	session.mu.Unlock()
	asked := time.Now()
	if err := p.e.Send("1", "", []byte("[]")); err != nil {
		t.Fatal(err)
	}
	if !response.check(asked) {
		t.Fatal("it has answered, and is given up")
	}
	if response.check(time.Now()) {
		t.Fatal("it has not answered, and goes on")
	}
	s.want(fmt.Sprintf(`c[%d,"the client has not answered"]`, againCode))
	s.ends()
	if last := wiretest.Wait(t, "end", h.Ended); last.Before(began) || last.After(time.Now()) {
		t.Errorf("last heard %v", last)
	}
}

// When the endpoint closes, so does every session: those without a response at once, the others with it. None begins.
func TestClose(t *testing.T) {
	p := serve(t)
	polled := p.post("polling", "1", "")
	idle := <-p.handlers
	polled.want("o")
	polled.ends()
	s := p.post("streaming", "2", "")
	busy := <-p.handlers
	s.prelude()
	s.want("o")
	p.e.Close()
	wiretest.Wait(t, "end", idle.Ended)
	s.abort()
	wiretest.Wait(t, "end", busy.Ended)
	if p.e.Serve(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), "3", "", false, nil) {
		t.Error("a session begins")
	}
}

// FuzzStrings: any text is a JSON string that says the same, on one line, and its length is that of JavaScript.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\x00\x1f\x7f", "é€😀\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		var got string
		line := appendString(nil, []byte(s))
		if err := json.Unmarshal(line, &got); err != nil || got != s || strings.ContainsAny(string(line), "\r\n") {
			t.Fatalf("%q becomes %s, %v", s, line, err)
		}
		if got, want := characters(line), len(utf16.Encode([]rune(string(line)))); got != want {
			t.Fatalf("%s has %d characters, want %d", line, got, want)
		}
	})
}
