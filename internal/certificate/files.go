package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

var _ Source = (*Files)(nil)

// pollEvery is how often the files are looked at: whoever renews them need not tell the server.
const pollEvery = time.Minute

// Files is a certificate with its chain in one file of PEM, and its key in another.
type Files struct {
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]

	mu    sync.Mutex
	pair  pair
	stamp [2]time.Time // of the files when they were last read
}

type pair struct{ cert, key string }

// NewFiles reads a certificate and its key.
func NewFiles(cert, key string, log *slog.Logger) (*Files, error) {
	f := &Files{log: log}
	use, err := f.Read(cert, key)
	if err != nil {
		return nil, err
	}
	use()
	return f, nil
}

// Read reads other files, or the same ones again, and returns what puts them to use.
func (f *Files) Read(cert, key string) (use func(), err error) {
	p := pair{cert, key}
	stamp := p.stamp() // before the reading: a change meanwhile is seen at the next poll
	c, err := p.read()
	if err != nil {
		return nil, err
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.pair, f.stamp = p, stamp
		f.current.Store(c)
	}, nil
}

func (p pair) read() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", p.cert, p.key, err)
	}
	if left := time.Until(c.Leaf.NotAfter); left < 0 {
		return nil, fmt.Errorf("certificate %s has expired on %s", p.cert, c.Leaf.NotAfter.Format(time.DateTime))
	}
	return &c, nil
}

// stamp is when the files were written; zero for one that is not there.
func (p pair) stamp() (at [2]time.Time) {
	for i, file := range []string{p.cert, p.key} {
		if info, err := os.Stat(file); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// Run implements Source: it reads the files again when they have changed.
func (f *Files) Run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.poll()
		}
	}
}

func (f *Files) poll() {
	f.mu.Lock()
	p, before := f.pair, f.stamp
	f.mu.Unlock()
	stamp := p.stamp()
	if stamp == before {
		return
	}
	use, err := f.Read(p.cert, p.key)
	if err != nil {
		f.log.Error("the new certificate is refused, and the one before stays", "error", err)
		f.mu.Lock()
		f.stamp = stamp // said once for each change
		f.mu.Unlock()
		return
	}
	use()
	f.log.Info("the certificate has been read again", "file", p.cert, "expires", f.Expires())
}

// TLS implements Source.
func (f *Files) TLS() *tls.Config {
	return tlsConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil })
}

// Challenges implements Source: nobody asks.
func (f *Files) Challenges(next http.Handler) http.Handler { return next }

// Expires implements Source.
func (f *Files) Expires() time.Time { return f.leaf().NotAfter }

func (f *Files) leaf() *x509.Certificate { return f.current.Load().Leaf }
