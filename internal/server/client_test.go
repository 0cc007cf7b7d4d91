package server

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/config"
)

// start serves a configuration of a data directory and ports of its own until the test ends.
func start(t *testing.T, change func(*config.Config)) *Server {
	t.Helper()
	return startAfter(t, change, func(*Server) {})
}

// startAfter is start with something done before anything is served.
func startAfter(t *testing.T, change func(*config.Config), before func(*Server)) *Server {
	t.Helper()
	cfg := config.Default()
	cfg.Listen, cfg.Data, cfg.Drain, cfg.Admin.Listen = config.Addresses{"127.0.0.1:0"}, t.TempDir(), 0, "127.0.0.1:0"
	change(&cfg)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	before(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }() // the test's context ends before the cleanup
	t.Cleanup(func() {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestWhoSends: what a proxy says counts if it is trusted, also after a reload, for the address and for the page's own host.
func TestWhoSends(t *testing.T) {
	s := start(t, func(*config.Config) {})
	var address string
	var own bool
	h := s.known(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { address, own = s.address(r), s.allowed(r) }))
	ask := func(origin string) {
		r := httptest.NewRequest(http.MethodGet, "http://10.0.0.9/v1/ws", nil)
		r.RemoteAddr = "10.0.0.1:80"
		for name, value := range map[string]string{"X-Forwarded-For": "198.51.100.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example", "Origin": origin} {
			r.Header.Set(name, value)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if ask("https://chat.example"); address != "10.0.0.1" || own {
		t.Errorf("of a stranger: %s, its own page %v", address, own)
	}
	cfg := s.now.Load().Config
	cfg.TrustedProxies = []string{"10.0.0.0/8"}
	if err := s.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	if ask("https://chat.example"); address != "198.51.100.1" || !own {
		t.Errorf("of a trusted proxy: %s, its own page %v", address, own)
	}
	if ask("http://chat.example"); own {
		t.Error("a page of plain HTTP is taken for the page of an HTTPS server")
	}
}

// TestListenProxy: a request comes through with a PROXY header, and not without.
func TestListenProxy(t *testing.T) {
	s := start(t, func(c *config.Config) {
		c.Listen, c.ListenProxy, c.TrustedProxies = nil, config.Addresses{"127.0.0.1:0"}, []string{"127.0.0.1"}
	})
	for say, want := range map[string]string{"PROXY TCP4 192.0.2.7 10.0.0.1 12345 443\r\n": "HTTP/1.1 200 OK", "": ""} {
		c, err := net.Dial("tcp", s.public[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, say+"GET /healthz HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(c) // a refused connection may be reset
		if !strings.HasPrefix(string(answer), want) || want == "" && len(answer) > 0 {
			t.Errorf("%q is answered by %q", say, answer)
		}
	}
}
