package contract

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
	"github.com/snoserver/sno/internal/verify"
)

// balancer is what stands before a server: it sends each request to the next of its addresses, and can do harm.
type balancer struct {
	*httptest.Server
	to       []*url.URL
	next     atomic.Uint64
	upgrades atomic.Bool // WebSockets are let through
	buffers  atomic.Bool // responses are held back until they end

	mu    sync.Mutex
	conns map[net.Conn]struct{} // of clients, WebSockets too
}

func balance(t *testing.T, addresses ...string) *balancer {
	t.Helper()
	b := &balancer{conns: map[net.Conn]struct{}{}}
	b.upgrades.Store(true)
	for _, a := range addresses {
		u, err := url.Parse(a)
		if err != nil {
			t.Fatal(err)
		}
		b.to = append(b.to, u)
	}
	quiet := slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	onTransport := &http.Transport{DisableKeepAlives: true}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(b.to[b.next.Add(1)%uint64(len(b.to))]) },
		FlushInterval: -1, Transport: onTransport, ErrorLog: quiet,
	}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !b.upgrades.Load() && r.Header.Get("Upgrade") != "" {
			http.Error(w, "upgrades are not allowed here", http.StatusForbidden)
			return
		}
		if b.buffers.Load() {
			w = &buffering{ResponseWriter: w}
		}
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // the very value that net/http names
				panic(p)
			}
		}()
		proxy.ServeHTTP(w, r)
	}))
	b.Config.ErrorLog = quiet
	b.Config.ConnState = func(c net.Conn, state http.ConnState) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.conns[c] = struct{}{}; state == http.StateClosed {
			delete(b.conns, c)
		}
	}
	b.Start()
	t.Cleanup(func() {
		b.cut()
		b.Close()
	})
	return b
}

// cut ends every client's connection without a word.
func (b *balancer) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close() // it may have ended
	}
	clear(b.conns)
}

// buffering is a response that leaves when it has ended.
type buffering struct{ http.ResponseWriter }

// Flush implements http.Flusher: it keeps what there is.
func (*buffering) Flush() {}

// cutUntil cuts every connection again and again, at odd times, until done is closed.
func (b *balancer) cutUntil(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(100+rand.IntN(300)) * time.Millisecond):
			b.cut()
		}
	}
}

// over is an experiment by one transport.
func over(o verify.Options, by client.Transport) verify.Options {
	o.Client.Transport = by
	o.Publishers, o.Rate = 8, 400
	return o
}

// TestEveryTransportKeepsThePromises cuts connections at odd times behind a balancer that sends each request to another port of the server than the
// last: nothing is lost, doubled or out of order, on any transport.
func TestEveryTransportKeepsThePromises(t *testing.T) {
	for _, by := range append(client.Transports(), client.Auto) {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			s := serveTwoPorts(t, filepath.Join(t.TempDir(), "messages"), 0, "127.0.0.1:0", "127.0.0.1:0")
			b := balance(t, s.URLs()...)
			judge := judgeWhile(t, over(experiment(b.URL, secret, 8), by), func() {
				done := make(chan struct{})
				time.AfterFunc(6*time.Second, func() { close(done) })
				b.cutUntil(done)
			})
			if judge.Acked < 200 || judge.Reconnects == 0 {
				t.Errorf("%d messages, %d reconnects: that proves little", judge.Acked, judge.Reconnects)
			}
		})
	}
}

// TestEveryTransportSurvivesKill kills the server under clients of each transport.
func TestEveryTransportSurvivesKill(t *testing.T) {
	kills := 10
	if testing.Short() {
		kills = 3
	}
	bin := program(t)
	for _, by := range client.Transports() {
		t.Run(string(by), func(t *testing.T) {
			data := t.TempDir()
			p := start(t, bin, "127.0.0.1:0", data)
			judge := judgeWhile(t, over(experiment(p.URL, p.Secret, 8), by), func() {
				for range kills {
					wait(time.Duration(200+rand.IntN(400)) * time.Millisecond)
					p.kill()
					p = start(t, bin, p.Listen, data)
				}
				wait(500 * time.Millisecond)
			})
			if judge.Acked < kills {
				t.Errorf("%d messages around %d kills: that proves little", judge.Acked, kills)
			}
		})
	}
}

// TestNetworksThatChange has a client choose its transport itself while the network lets through now this, now that: it goes over, and on from where it was.
func TestNetworksThatChange(t *testing.T) {
	s := serveTwoPorts(t, filepath.Join(t.TempDir(), "messages"), 0, "127.0.0.1:0", "127.0.0.1:0")
	b := balance(t, s.URLs()...)
	judge := judgeWhile(t, over(experiment(b.URL, secret, 8), client.Auto), func() {
		for _, now := range []struct{ upgrades, buffers bool }{{true, false}, {false, false}, {true, false}, {false, true}, {true, false}} {
			b.upgrades.Store(now.upgrades)
			b.buffers.Store(now.buffers)
			b.cut()
			wait(3 * time.Second)
		}
	})
	if judge.Acked < 200 || judge.Reconnects < 3 {
		t.Errorf("%d messages, %d reconnects: that proves little", judge.Acked, judge.Reconnects)
	}
}

// running is a server in this process that can be stopped in order.
type running struct {
	*server.Server
	stop func()
}

func serveTwoPorts(t *testing.T, data string, drain time.Duration, listen ...string) *running {
	t.Helper()
	cfg := config.Dev(data, secret)
	cfg.Listen, cfg.Drain = listen, config.Duration(drain)
	s, err := server.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r := &running{Server: s}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

// TestP8DeployIsInvisible stops the server in order and starts the next, twice, under clients of every transport that hear something
// all the time: nothing is lost or doubled, and of 100 clients at most one hears nothing for longer than five seconds.
func TestP8DeployIsInvisible(t *testing.T) {
	data := filepath.Join(t.TempDir(), "messages")
	const drain = 500 * time.Millisecond
	s := serveTwoPorts(t, data, drain, "127.0.0.1:0", "127.0.0.1:0")
	var ports []string
	for _, u := range s.URLs() {
		ports = append(ports, u[len("http://"):])
	}
	const each = 25
	listeners := make([]*listener, 0, 4*each)
	for _, by := range client.Transports() {
		for i := range each {
			c := dialUntilClosed(t, client.Options{URL: s.URLs()[i%2], Key: "dev", Secret: secret, Transport: by})
			listeners = append(listeners, listen(t, c))
		}
	}
	published, finished := make(chan int), make(chan struct{})
	go publishUntil(t, s.URL(), finished, published)
	for range 2 {
		wait(6 * time.Second)
		s.stop()
		s = serveTwoPorts(t, data, drain, ports...)
	}
	wait(2 * time.Second)
	close(finished)
	n := next(t, "end of publishing", published)
	var silences []time.Duration
	for _, l := range listeners {
		silences = append(silences, l.heardAll(t, n))
	}
	slices.Sort(silences)
	if p99 := silences[len(silences)*99/100-1]; p99 > 5*time.Second {
		t.Errorf("of %d clients the 99th heard nothing for %v", len(silences), p99)
	}
	t.Logf("%d messages to %d clients; longest silence: median %v, p99 %v", n, len(silences), silences[len(silences)/2], silences[len(silences)*99/100-1])
}

// publishUntil publishes as a backend does: by a request that it repeats, with the same id, until it is answered.
func publishUntil(t *testing.T, url string, finished <-chan struct{}, published chan<- int) {
	requests := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	n := 0
	for {
		select {
		case <-finished:
			published <- n
			return
		case <-time.After(20 * time.Millisecond):
		}
		body := fmt.Sprintf(`{"id":"m-%d","data":%d}`, n, n)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/channels/c/messages", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		req.SetBasicAuth("dev", secret)
		req.Header.Set("Content-Type", "application/json")
		if res, err := requests.Do(req); err == nil {
			if res.Body.Close(); res.StatusCode == http.StatusOK {
				n++
			}
		}
	}
}

// listener is one client, and the longest time that it heard nothing.
type listener struct {
	mu      sync.Mutex
	seen    int
	last    time.Time
	silence time.Duration
	bad     string
	heard   chan struct{}
}

func listen(t *testing.T, c *client.Client) *listener {
	t.Helper()
	l := &listener{heard: make(chan struct{}, 1)}
	if _, err := c.Subscribe(t.Context(), "c", client.SubscribeOptions{}, l.handle); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *listener) handle(e client.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := e.(*client.Message)
	switch {
	case !ok:
		if f, fault := e.(*client.Fault); fault {
			l.bad = f.Text
		}
		return
	case string(m.Data) != fmt.Sprint(l.seen):
		l.bad = fmt.Sprintf("message %s came where %d was due", m.Data, l.seen)
	}
	now := time.Now()
	if l.seen++; l.seen > 1 {
		l.silence = max(l.silence, now.Sub(l.last))
	}
	l.last = now
	select {
	case l.heard <- struct{}{}:
	default:
	}
}

// heardAll waits until n messages have come, and returns the longest silence between two of them.
func (l *listener) heardAll(t *testing.T, n int) time.Duration {
	t.Helper()
	for {
		l.mu.Lock()
		seen, silence, bad := l.seen, l.silence, l.bad
		l.mu.Unlock()
		if bad != "" {
			t.Fatal(bad)
		}
		if seen >= n {
			return silence
		}
		next(t, "message", l.heard)
	}
}
