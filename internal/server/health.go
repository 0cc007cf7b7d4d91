package server

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// phase is how far a server's life has gone.
type phase int32

const (
	starting phase = iota
	serving
	draining
)

// reason is why the server should get no new clients.
type reason struct {
	Name string `json:"name"` // "starting", "draining", or that of a code
	Text string `json:"text"`
}

// reasons are why the server should get no new clients just now; none: it is ready.
func (s *Server) reasons() []reason {
	var all []reason
	switch phase(s.phase.Load()) {
	case starting:
		all = append(all, reason{"starting", "the server does not serve yet"})
	case draining:
		all = append(all, reason{"draining", "the server is shutting down"})
	}
	if open, most := s.gate.Open(); open >= most {
		all = append(all, reason{hub.CodeOverloadedConnect.String(), fmt.Sprintf("%d connections are open, as many as may be", open)})
	}
	if err := s.hub.Check(); err != nil {
		shown, ok := hub.Show(err)
		if !ok {
			s.log.Error("the state of the store", "error", err)
		}
		all = append(all, reason{shown.Code.String(), shown.Text})
	}
	return all
}

// CertificateExpires is when the first of the server's certificates ends; zero: there is none.
func (s *Server) CertificateExpires() time.Time {
	if s.certs == nil {
		return time.Time{}
	}
	return s.certs.Expires()
}

// healthRoutes are for whoever asks from outside: they say whether, not why.
func (s *Server) healthRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if len(s.reasons()) > 0 {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// alive says that the process answers: starting it anew would help nobody.
func alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, "ok")
}

// adminRoutes are for those who run the server. On loopback they answer to loopback's names only, so that no page elsewhere can read them.
func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", s.readiness)
	mux.Handle("GET /metrics", s.telemetry.Handler(s.log))
	if host, _, err := net.SplitHostPort(s.cfg.Admin.Listen); err == nil && isLoopback(host) {
		return loopbackHost(mux)
	}
	return mux
}

func (s *Server) readiness(w http.ResponseWriter, _ *http.Request) {
	reasons := s.reasons()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	if len(reasons) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(struct {
		Ready   bool      `json:"ready"`
		Reasons []reason  `json:"reasons,omitempty"`
		Expires time.Time `json:"certificate_expires,omitzero"`
	}{len(reasons) == 0, reasons, s.CertificateExpires()}) // whoever has gone needs no answer
}
