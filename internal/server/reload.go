package server

import (
	"net/http"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/peer"
)

// settings are a configuration in force, with what follows from it. They are replaced as a whole.
type settings struct {
	config.Config
	origin  func(*http.Request) bool
	proxies peer.Networks
	header  peer.Header
}

func newSettings(cfg config.Config) *settings {
	s := &settings{Config: cfg, origin: originCheck(cfg.Origins, cfg.Dev)}
	s.proxies, s.header = cfg.Proxies()
	return s
}

// allowed says whether the page that a request comes from may connect.
func (s *Server) allowed(r *http.Request) bool { return s.now.Load().origin(r) }

// Reload puts another configuration in force, which Validate has seen, or none of it. Connections stay; what only a restart can change is logged.
func (s *Server) Reload(cfg config.Config) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	useCertificate, err := s.readCertificate(cfg.TLS.Cert, cfg.TLS.Key)
	if err != nil {
		return err
	}
	if err := s.auth.SetApps(cfg.AuthApps()); err != nil {
		return err
	}
	useCertificate() // from here on nothing fails
	s.now.Store(newSettings(cfg))
	s.gate.SetLimits(s.admits(&cfg.Limits))
	s.hub.SetLimits(cfg.HubLimits())
	s.hub.SetApps(cfg.HubApps())
	s.outbox.SetApps(cfg.OutboxApps())
	s.transports.reload()
	s.pusher.reload()
	if s.cfg.TLS.On() != cfg.TLS.On() {
		s.log.Warn("TLS begins and ends with a restart only", "tls", s.cfg.TLS.On())
	}
	for _, name := range config.Restart(&s.cfg, &cfg) {
		s.log.Warn("this setting has changed and needs a restart to take effect", "setting", name)
	}
	return nil
}
