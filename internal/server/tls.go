package server

import (
	"net"
	"net/http"
	"strconv"

	"github.com/snoserver/sno/internal/certificate"
	"github.com/snoserver/sno/internal/wire/loop"
)

// openCertificates makes what gives the public listeners their certificates, if they are to have any.
func (s *Server) openCertificates() (err error) {
	c := &s.cfg.TLS
	switch {
	case c.ACME.On():
		s.certs, err = certificate.NewACME(certificate.ACMEOptions{
			Domains: c.ACME.Domains, Email: c.ACME.Email, Directory: c.ACME.Directory, Roots: c.ACME.CARoot, Storage: c.ACME.Storage,
			TLSPort: portOf(s.public[0]), HTTPPort: portOf(s.redirect), Logger: s.log,
		})
	case c.Cert != "":
		s.certs, err = certificate.NewFiles(c.Cert, c.Key, s.log)
	}
	return err
}

// portOf is a listener's port; 0: there is no listener.
func portOf(l net.Listener) int {
	if l == nil {
		return 0
	}
	return l.Addr().(*net.TCPAddr).Port
}

// secured is a public listener with TLS, if there is any.
func (s *Server) secured(l net.Listener) net.Listener {
	if s.certs == nil {
		return l
	}
	return loop.Secure(l, s.certs.TLS())
}

// redirectHTTPS sends a request on to the same place by HTTPS.
func (s *Server) redirectHTTPS(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if port := portOf(s.public[0]); port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(port))
	}
	w.Header().Set("Connection", "close")
	http.Redirect(w, r, "https://"+host+r.URL.RequestURI(), http.StatusPermanentRedirect)
}

// readCertificate reads the files again, which may be others than before, and returns what puts them to use. Whether there is TLS at all is fixed at the start.
func (s *Server) readCertificate(cert, key string) (use func(), err error) {
	if files, ok := s.certs.(*certificate.Files); ok && cert != "" {
		return files.Read(cert, key)
	}
	return func() {}, nil
}
