package server

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRedirectHTTPS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &Server{public: []net.Listener{l}}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for host, want := range map[string]string{"a.example": "https://a.example:" + port, "a.example:80": "https://a.example:" + port, "[::1]:80": "https://[::1]:" + port} {
		r := httptest.NewRequest(http.MethodGet, "/v1/ws?app=a%20b", nil)
		r.Host = host
		w := httptest.NewRecorder()
		s.redirectHTTPS(w, r)
		if got := w.Header().Get("Location"); w.Code != http.StatusPermanentRedirect || got != want+"/v1/ws?app=a%20b" {
			t.Errorf("%s: %d to %s", host, w.Code, got)
		}
	}
}
