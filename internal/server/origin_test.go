package server

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOriginCheck(t *testing.T) {
	origins := []string{"https://app.example", "https://*.example.org"}
	for _, test := range []struct {
		origin, host string
		loopback, ok bool
	}{
		{"", "chat.example", false, true},                          // not a browser
		{"https://chat.example", "chat.example", false, true},      // the server's own page
		{"https://CHAT.example", "chat.example", false, true},      // names have no case
		{"https://chat.example:444", "chat.example", false, false}, // another port is another origin
		{"https://app.example", "chat.example", false, true},
		{"http://app.example", "chat.example", false, false},
		{"https://a.example.org", "chat.example", false, true},
		{"https://example.org.evil.example", "chat.example", false, false},
		{"https://evil.example", "chat.example", false, false},
		{"null", "chat.example", false, false},
		{"https://%zz", "chat.example", false, false},
		{"http://localhost:3000", "127.0.0.1:7878", true, true},
		{"http://[::1]:3000", "127.0.0.1:7878", true, true},
		{"http://localhost:3000", "127.0.0.1:7878", false, false},
		{"http://localhost.evil.example", "127.0.0.1:7878", true, false},
		{"https://evil.example", "127.0.0.1:7878", true, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://"+test.host+"/v1/ws", nil)
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		if got := originCheck(origins, test.loopback)(r); got != test.ok {
			t.Errorf("a page of %q at %s, loopback %v: %v", test.origin, test.host, test.loopback, got)
		}
	}
}

// TestLoopbackHost is about pages whose own name resolves to this machine: they must not be same-origin with a server that trusts everybody here.
func TestLoopbackHost(t *testing.T) {
	h := loopbackHost(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for host, status := range map[string]int{
		"localhost": 200, "localhost:7878": 200, "127.0.0.1:7878": 200, "[::1]:7878": 200, "[::1]": 200, "tab.localhost:7878": 200,
		"evil.example": http.StatusMisdirectedRequest, "evil.example:7878": http.StatusMisdirectedRequest, "192.168.1.2:7878": http.StatusMisdirectedRequest, "": 200,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != status {
			t.Errorf("a request to %q got %d, want %d", host, w.Code, status)
		}
	}
}
