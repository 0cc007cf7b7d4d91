package admission

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

var client = netip.MustParseAddr("192.0.2.7")

func gate(l Limits) *Gate {
	return New(Options{
		Limits: l, Refusals: 2, Shared: func(a netip.Addr) bool { return a.IsLoopback() },
		Refuse: func(w http.ResponseWriter, _ *http.Request, e *hub.Error, after time.Duration) {
			w.Header().Set("After", after.String())
			w.WriteHeader(int(e.Code) / 10) // the test's own way to see the code
		},
	})
}

func begin(g *Gate, from netip.Addr) (ok bool, w *httptest.ResponseRecorder) {
	w = httptest.NewRecorder()
	return g.Begin(w, httptest.NewRequest(http.MethodGet, "/", nil), from, Patience), w
}

// TestHandshakesArePaced: a crowd gets in at the rate, in its turn; who would have to wait for long is refused at once, each told another time.
func TestHandshakesArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(Limits{Handshakes: 100, PerAddress: 1, Burst: 1})
		started := time.Now()
		var in, refused atomic.Int64
		var all sync.WaitGroup
		afters := sync.Map{}
		for range 1000 {
			all.Go(func() {
				ok, w := begin(g, netip.IPv6Loopback())
				if ok {
					in.Add(1)
					return
				}
				if took := time.Since(started); took > 0 {
					t.Errorf("refused after %s", took)
				}
				refused.Add(1)
				after, err := time.ParseDuration(w.Header().Get("After"))
				if err != nil || after < soonest || after > latest || w.Header().Get("Connection") != "close" {
					t.Errorf("refused with %v", w.Header())
				}
				afters.Store(after, true)
			})
		}
		synctest.Wait()
		if n := in.Load(); n != 10 {
			t.Errorf("%d are in at once, want a tenth of a second's", n)
		}
		all.Wait()
		if took := time.Since(started); in.Load() != 210 || took != Patience {
			t.Errorf("%d were let in over %s, want 210 over %s", in.Load(), took, Patience)
		}
		different := 0
		afters.Range(func(any, any) bool { different++; return true })
		if refused.Load() != 790 || different < 700 {
			t.Errorf("%d were refused, with %d times to come back", refused.Load(), different)
		}
	})
}

// TestWhoWaitsLonger: a client that had better wait gets its turn later, and is not refused where another would be.
func TestWhoWaitsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const longer = 4 * Patience
		g := gate(Limits{Handshakes: 100, PerAddress: 1, Burst: 1})
		started := time.Now()
		var in atomic.Int64
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() {
				if g.Begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), netip.IPv6Loopback(), longer) {
					in.Add(1)
				}
			})
		}
		synctest.Wait()
		if ok, _ := begin(g, netip.IPv6Loopback()); ok {
			t.Error("one that can come back waits in their crowd")
		}
		all.Wait()
		if took := time.Since(started); in.Load() != 810 || took != longer {
			t.Errorf("%d were let in over %s, want 810 over %s", in.Load(), took, longer)
		}
	})
}

func TestWaitingForOneWhoHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(Limits{Handshakes: 1})
		begin(g, netip.IPv6Loopback())
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		if started := time.Now(); g.Begin(httptest.NewRecorder(), r, netip.IPv6Loopback(), Patience) || time.Since(started) != time.Millisecond {
			t.Errorf("it waited for %s", time.Since(started))
		}
	})
}

// TestPerAddress: an address has its burst and its rate; a /64 of IPv6 is one, another is not; shared ones have no limit.
func TestPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(Limits{Handshakes: 1_000_000, PerAddress: 2, Burst: 3})
		count := func(from string, n int) (in int) {
			for range n {
				ok, w := begin(g, netip.MustParseAddr(from))
				if ok {
					in++
				} else if w.Code != int(hub.CodeRateLimited)/10 {
					t.Errorf("refused with %d", w.Code)
				}
			}
			return in
		}
		for _, step := range []struct {
			from     string
			n, want  int
			thenWait time.Duration
		}{
			{"192.0.2.7", 10, 3, 0}, {"::ffff:192.0.2.7", 1, 0, 0}, {"192.0.2.8", 10, 3, 0}, {"127.0.0.1", 100, 100, time.Second},
			{"192.0.2.7", 10, 2, 0}, {"2001:db8::1", 2, 2, 0}, {"2001:db8::ffff:2", 2, 1, 0}, {"2001:db8:0:1::1", 1, 1, time.Hour},
			{"192.0.2.7", 10, 3, 0},
		} {
			if got := count(step.from, step.n); got != step.want {
				t.Errorf("of %d from %s %d are let in, want %d", step.n, step.from, got, step.want)
			}
			time.Sleep(step.thenWait)
		}
	})
}

// TestAddressesAreBounded: however many addresses there are, so many are remembered, and quiet ones make room.
func TestAddressesAreBounded(t *testing.T) {
	a := addresses{rates: map[netip.Addr]rate{}}
	now := time.Now()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 2 * maxAddresses {
		if !a.allow(at(i), now, time.Second, 1) {
			t.Fatalf("the first of address %d is refused", i)
		}
	}
	if len(a.rates) != maxAddresses {
		t.Errorf("%d are remembered", len(a.rates))
	}
	if a.allow(at(0), now, time.Second, 1) {
		t.Error("one that is remembered has no limit any more")
	}
	if a.allow(at(3*maxAddresses), now.Add(time.Minute), time.Second, 1); len(a.rates) != 1 {
		t.Errorf("%d are remembered after a quiet minute", len(a.rates))
	}
}

// TestRateNeverExceeds: in no stretch of time does more get through than the burst and the rate.
func TestRateNeverExceeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		each, burst := time.Duration(rapid.IntRange(1, 1000).Draw(t, "each")), rapid.IntRange(1, 20).Draw(t, "burst")
		var r rate
		var passed []time.Time
		now := time.Unix(0, 0)
		for range 200 {
			now = now.Add(time.Duration(rapid.IntRange(0, int(2*each)).Draw(t, "gap")))
			if _, ok := r.wait(now, each, burst, 0); ok {
				passed = append(passed, now)
			}
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if n, most := j-i+1, burst+int(passed[j].Sub(passed[i])/each); n > most {
					t.Fatalf("%d passed within %s", n, passed[j].Sub(passed[i]))
				}
			}
		}
	})
}

// TestConnections: beyond the limit a connection gets an answer, further ones are closed, and a place that is given back is taken again.
func TestConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := gate(Limits{Connections: 3, Handshakes: 1000})
	s := &http.Server{ConnContext: g.ConnContext, Handler: g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))}
	go s.Serve(g.Listener(l, false))
	defer s.Close()
	ask := func() (net.Conn, string) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		status := make([]byte, len("HTTP/1.1 200"))
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			return c, ""
		}
		n, _ := io.ReadFull(c, status) // closed without a word: nothing
		return c, string(status[:n])
	}
	var in []net.Conn
	for range 3 {
		c, status := ask()
		if status != "HTTP/1.1 200" {
			t.Fatalf("within the limit: %q", status)
		}
		in = append(in, c)
	}
	if _, status := ask(); status != "HTTP/1.1 410" {
		t.Errorf("beyond it: %q", status)
	}
	if open, most := g.Open(); open != 3 || most != 3 {
		t.Errorf("%d of %d are open", open, most)
	}
	// Silent ones take the places for refusals; then a connection is closed at once.
	awaitZero(t, &g.refusals)
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, status := ask(); status != "" {
		t.Errorf("beyond the refusals: %q", status)
	}
	in[0].Close()
	awaitOpen(t, g, 2)
	if _, status := ask(); status != "HTTP/1.1 200" {
		t.Errorf("after one has gone: %q", status)
	}
}

func awaitZero(t *testing.T, n *atomic.Int64) {
	t.Helper()
	await(t, func() bool { return n.Load() == 0 })
}

func awaitOpen(t *testing.T, g *Gate, want int) {
	t.Helper()
	await(t, func() bool { open, _ := g.Open(); return open == want })
}

// await polls: a socket that closes gives the test no event.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

// TestRefusedConnectionHasNoLongLife, with memory for sockets: who is refused and says nothing is closed.
func TestRefusedConnectionHasNoLongLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(Limits{Connections: 0})
		near, far := net.Pipe()
		defer near.Close()
		c := g.admit(far)
		if c == nil || c.refusal == nil {
			t.Fatal("it was let in")
		}
		started := time.Now()
		if _, err := near.Read(make([]byte, 1)); err == nil || time.Since(started) != refusedPatience {
			t.Errorf("%v after %s", err, time.Since(started))
		}
		c.Close()
		if n := g.refusals.Load(); n != 0 {
			t.Errorf("%d refusals are counted", n)
		}
	})
}

// TestPacedConnection: its first Read waits, and its first session does not wait again.
func TestPacedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate(Limits{Connections: 10, Handshakes: 1, PerAddress: 100, Burst: 100})
		g.turn(Patience)
		near, far := net.Pipe()
		defer near.Close()
		c := g.admit(far)
		c.paced.Store(true)
		go near.Write([]byte("x"))
		started := time.Now()
		if _, err := c.Read(make([]byte, 1)); err != nil || time.Since(started) != time.Second {
			t.Errorf("%v after %s", err, time.Since(started))
		}
		started = time.Now()
		r := httptest.NewRequestWithContext(g.ConnContext(t.Context(), c), http.MethodGet, "/", nil)
		if !g.Begin(httptest.NewRecorder(), r, client, Patience) || time.Since(started) > 0 {
			t.Errorf("its first session waits for %s", time.Since(started))
		}
	})
}
