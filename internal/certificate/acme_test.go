package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"github.com/snoserver/sno/internal/certificate/certificatetest"
)

const domain = "sno.example.com"

// authority is a Pebble, Let's Encrypt's test server, that believes every name to be this machine.
type authority struct {
	url   string
	roots string // a file: what the server's own certificate follows from
	issue *ca.CAImpl
}

func newAuthority(t *testing.T, httpPort, tlsPort int) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "20") // as a real one, it now and then wants a request again
	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	issue := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	web := wfe.New(quiet, store, va.New(quiet, httpPort, tlsPort, true, nameServer(t), store), issue, nil, true, false, 1, 1)
	s := httptest.NewTLSServer(web.Handler())
	t.Cleanup(s.Close)
	a := &authority{url: s.URL + wfe.DirectoryPath, roots: filepath.Join(t.TempDir(), "roots.pem"), issue: issue}
	certificatetest.Put(t, a.roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), time.Now())
	return a
}

// pool is what the issued certificates follow from.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.issue.GetRootCert(0).PEM())
	return pool
}

// nameServer says of every name that it is 127.0.0.1.
func nameServer(t *testing.T) string {
	t.Helper()
	l, _ := listen(t) // Pebble asks by TCP
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return l.Addr().String()
}

func listen(t *testing.T) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

// TestACME gets a certificate from a real ACME server, asked by plain HTTP and by TLS.
func TestACME(t *testing.T) {
	for name, byHTTP := range map[string]bool{"HTTP-01": true, "TLS-ALPN-01": false} {
		t.Run(name, func(t *testing.T) {
			secure, tlsPort := listen(t)
			plain, httpPort := listen(t)
			o := ACMEOptions{
				Domains: []string{domain}, Email: "ops@example.com", Storage: t.TempDir(), TLSPort: tlsPort, HTTPPort: httpPort,
				Logger: slog.New(slog.NewTextHandler(&testLog{t: t}, nil)),
			}
			closedPort := 1 // nothing answers there: the authority has to come by the other way
			var from *authority
			if byHTTP {
				from = newAuthority(t, httpPort, closedPort)
			} else {
				from = newAuthority(t, closedPort, tlsPort)
				o.HTTPPort = 0
			}
			o.Directory, o.Roots = from.url, from.roots
			a, err := NewACME(o)
			if err != nil {
				t.Fatal(err)
			}
			quiet := &http.Server{ErrorLog: log.New(io.Discard, "", 0)}
			go quiet.Serve(tls.NewListener(secure, a.TLS()))
			go http.Serve(plain, a.Challenges(http.NotFoundHandler()))
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); a.Run(ctx) }()
			awaitCertificate(t, secure.Addr().String(), from.pool())
			if left := time.Until(a.Expires()); left < time.Hour {
				t.Errorf("it expires in %s", left)
			}
			stop()
			<-ended
		})
	}
}

// awaitCertificate makes handshakes until one succeeds.
func awaitCertificate(t *testing.T, addr string, roots *x509.CertPool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{ServerName: domain, RootCAs: roots}}
	for {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("no certificate came: %v", err)
		}
		time.Sleep(50 * time.Millisecond) // the server tells nobody when it has one
	}
}

func TestRootsThatAreNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "roots.pem")
	certificatetest.Put(t, file, []byte("no PEM"), time.Now())
	if _, err := NewACME(ACMEOptions{Roots: file}); err == nil {
		t.Error("a file without a certificate was taken")
	}
	if _, err := NewACME(ACMEOptions{Roots: file + "x"}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("no file: %v", err)
	}
}

// testLog puts the lines of a log into the test's output.
type testLog struct{ t *testing.T }

func (l *testLog) Write(b []byte) (int, error) {
	l.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}
