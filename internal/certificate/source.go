package certificate

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"
)

// Source gives the certificates of a server.
type Source interface {
	// TLS is for all listeners of the server.
	TLS() *tls.Config
	// Challenges answers the certificate authority's questions by plain HTTP, and hands everything else to next.
	Challenges(next http.Handler) http.Handler
	// Run keeps the certificates fresh until ctx ends. Listeners serve when it begins.
	Run(ctx context.Context)
	// Expires is when the first of the certificates ends; zero: there is none yet.
	Expires() time.Time
}

func tlsConfig(get func(*tls.ClientHelloInfo) (*tls.Certificate, error), protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: append([]string{"h2", "http/1.1"}, protocols...), GetCertificate: get}
}
