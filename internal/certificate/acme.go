package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

var _ Source = (*ACME)(nil)

// ACMEOptions say which certificates to get, from whom and how.
type ACMEOptions struct {
	Domains   []string
	Email     string // for the authority, which may warn of certificates that expire; may be empty
	Directory string // the authority's URL
	Roots     string // a file with the roots that the directory's own certificate follows from; empty: those of the system
	Storage   string // the directory for certificates, their keys and the account
	// TLSPort and HTTPPort are where this server is asked whether it has the domains. HTTPPort 0: by TLS only.
	TLSPort, HTTPPort int
	Logger            *slog.Logger
}

// ACME gets certificates from an authority, and renews them when a third of their life is left.
type ACME struct {
	o      ACMEOptions
	cache  *certmagic.Cache
	config *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

// NewACME prepares everything and asks nobody yet.
func NewACME(o ACMEOptions) (*ACME, error) {
	roots, err := readRoots(o.Roots)
	if err != nil {
		return nil, err
	}
	quiet := zap.NewNop() // what matters is told by events
	a := &ACME{o: o}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil },
		Logger:           quiet,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: o.Storage}, OnEvent: a.event, Logger: quiet})
	a.issuer = certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
		CA: o.Directory, TestCA: o.Directory, Email: o.Email, Agreed: true, TrustedRoots: roots,
		DisableHTTPChallenge: o.HTTPPort == 0, AltHTTPPort: o.HTTPPort, AltTLSALPNPort: o.TLSPort,
		Logger: quiet,
	})
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return roots, nil
}

// event logs what becomes of certificates.
func (a *ACME) event(_ context.Context, event string, data map[string]any) error {
	switch event {
	case "cert_obtained":
		a.o.Logger.Info("a certificate has come", "domain", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		a.o.Logger.Error("no certificate came; it is tried again later", "domain", data["identifier"], "error", data["error"])
	}
	return nil
}

// Run implements Source.
func (a *ACME) Run(ctx context.Context) {
	defer a.cache.Stop()
	if err := a.config.ManageAsync(ctx, a.o.Domains); err != nil && !errors.Is(err, context.Canceled) {
		a.o.Logger.Error("certificates", "error", err)
	}
	<-ctx.Done()
}

// TLS implements Source.
func (a *ACME) TLS() *tls.Config {
	return tlsConfig(a.config.GetCertificate, a.config.TLSConfig().NextProtos...)
}

// Challenges implements Source.
func (a *ACME) Challenges(next http.Handler) http.Handler { return a.issuer.HTTPChallengeHandler(next) }

// Expires implements Source.
func (a *ACME) Expires() time.Time {
	var first time.Time
	for _, domain := range a.o.Domains {
		for _, c := range a.cache.AllMatchingCertificates(domain) {
			if first.IsZero() || c.Leaf.NotAfter.Before(first) {
				first = c.Leaf.NotAfter
			}
		}
	}
	return first
}
