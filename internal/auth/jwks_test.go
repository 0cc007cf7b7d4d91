package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// provider serves a key set.
type provider struct {
	*httptest.Server
	fetches atomic.Int32
	answer  atomic.Pointer[http.HandlerFunc]
}

func newProvider(t testing.TB, document string) *provider {
	p := &provider{}
	p.serve(document)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		(*p.answer.Load())(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) serve(document string) {
	p.handle(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, document) })
}

func (p *provider) handle(h http.HandlerFunc) { p.answer.Store(&h) }

// clock is a time that a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return noon.Add(time.Duration(c.at.Load())) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

func (p *provider) authenticator(t testing.TB, alg string) (*Authenticator, *clock) {
	t.Helper()
	a, err := New([]App{p.app(alg)})
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{}
	a.now = c.now
	return a, c
}

func (p *provider) app(alg string) App {
	return App{ID: "shop", Issuers: []Issuer{{Name: "idp", Alg: alg, JWKS: p.URL}}}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk writes a public key as a key set has it.
func jwk(t testing.TB, key crypto.PublicKey, kid string, more ...string) string {
	t.Helper()
	k := map[string]string{"kid": kid}
	switch key := key.(type) {
	case *rsa.PublicKey:
		k["kty"], k["n"], k["e"] = "RSA", b64(key.N.Bytes()), b64(big.NewInt(int64(key.E)).Bytes())
	case *ecdsa.PublicKey:
		point, err := key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := (len(point) - 1) / 2
		k["kty"], k["crv"], k["x"], k["y"] = "EC", key.Curve.Params().Name, b64(point[1:1+half]), b64(point[1+half:])
	case ed25519.PublicKey:
		k["kty"], k["crv"], k["x"] = "OKP", "Ed25519", b64(key)
	}
	for i := 0; i < len(more); i += 2 {
		k[more[i]] = more[i+1]
	}
	text, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func (p *provider) token(t testing.TB, alg, kid string, key crypto.Signer, after time.Duration) string {
	t.Helper()
	header := `{"alg":"` + alg + `"}`
	if kid != "" {
		header = `{"alg":"` + alg + `","kid":"` + kid + `"}`
	}
	return sign(t, methods[alg], key, header, fmt.Sprintf(`{"iss":"idp","sub":"ann","exp":%d}`, noon.Add(after+time.Hour).Unix()))
}

func TestKeySets(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for alg := range methods {
		key := pairs[alg].Public()
		odd := []string{`{"kty":"oct","k":"AAAA","kid":"k"}`, `{"kty":"EC","crv":"P-521","kid":"k"}`, `17`, jwk(t, pairs["P-384"].Public(), "k"), jwk(t, other.Public(), "else")}
		for name, test := range map[string]struct {
			document, kid string
			good          bool
		}{
			"by kid":              {set(append(odd, jwk(t, key, "k"))...), "k", true},
			"alg and use named":   {set(jwk(t, key, "k", "alg", alg, "use", "sig")), "k", true},
			"no kid in the token": {set(append(odd, jwk(t, key, "k"))...), "", true},
			"no kid in the set":   {set(jwk(t, key, "")), "k", true},
			"another kid":         {set(jwk(t, key, "k")), "l", false},
			"for encryption":      {set(jwk(t, key, "k", "use", "enc"), jwk(t, other.Public(), "z")), "k", false},
			"of another alg":      {set(jwk(t, key, "k", "alg", "PS256")), "k", false},
		} {
			p := newProvider(t, test.document)
			a, _ := p.authenticator(t, alg)
			g, err := a.Token(p.token(t, alg, test.kid, pairs[alg], 0))
			if !test.good {
				refused(t, g, err, hub.CodeUnauthorized, "no "+alg+" key")
			} else if err != nil || g.Client != "ann" {
				t.Errorf("%s, %s: got %+v, %v", alg, name, g, err)
			}
		}
	}
}

// However many tokens come at once, the keys are fetched once.
func TestKeysAreFetchedOnce(t *testing.T) {
	p := newProvider(t, set(jwk(t, pairs["EdDSA"].Public(), "k")))
	a, _ := p.authenticator(t, "EdDSA")
	token := p.token(t, "EdDSA", "k", pairs["EdDSA"], 0)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := a.Token(token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	// Nor are they forgotten by a reload.
	if err := a.SetApps([]App{p.app("EdDSA")}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Token(token); err != nil || p.fetches.Load() != 1 {
		t.Errorf("after a reload: %v, %d fetches", err, p.fetches.Load())
	}
}

// An issuer changes its key: the new one is taken as soon as a token names it, and tokens with invented kids cost no more than a fetch per pause.
func TestKeyRotation(t *testing.T) {
	_, next, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := newProvider(t, set(jwk(t, pairs["EdDSA"].Public(), "old")))
	a, c := p.authenticator(t, "EdDSA")
	if _, err := a.Token(p.token(t, "EdDSA", "old", pairs["EdDSA"], 0)); err != nil {
		t.Fatal(err)
	}
	p.serve(set(jwk(t, pairs["EdDSA"].Public(), "old"), jwk(t, next.Public(), "new")))
	fresh := p.token(t, "EdDSA", "new", next, 0)
	for range 20 {
		g, err := a.Token(fresh)
		refused(t, g, err, hub.CodeOverloadedConnect, "a moment ago") // and not for ever
	}
	if n := p.fetches.Load(); n != 1 {
		t.Errorf("%d fetches within the pause", n)
	}
	c.forward(keySetPause)
	if _, err := a.Token(fresh); err != nil {
		t.Error(err)
	}
	c.forward(keySetPause)
	for i := range 20 {
		if _, err := a.Token(p.token(t, "EdDSA", fmt.Sprint("invented-", i), next, 0)); err == nil {
			t.Error("took an invented kid")
		}
	}
	if n := p.fetches.Load(); n != 3 {
		t.Errorf("%d fetches", n)
	}
}

// Keys that were fetched once count while the provider is away.
func TestStaleKeys(t *testing.T) {
	p := newProvider(t, set(jwk(t, pairs["EdDSA"].Public(), "k")))
	a, c := p.authenticator(t, "EdDSA")
	if _, err := a.Token(p.token(t, "EdDSA", "k", pairs["EdDSA"], 0)); err != nil {
		t.Fatal(err)
	}
	redirects := newProvider(t, set(jwk(t, pairs["EdDSA"].Public(), "stolen")))
	for name, bad := range map[string]http.HandlerFunc{
		"an error":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"a redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, redirects.URL, http.StatusFound) },
		"no JSON":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no keys":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, set()) },
		"without end":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat(" ", keySetBytes)+set()) },
		"a hanging up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		p.handle(bad)
		c.forward(time.Hour)
		before := p.fetches.Load()
		if _, err := a.Token(p.token(t, "EdDSA", "k", pairs["EdDSA"], time.Duration(c.at.Load()))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		s := a.table.Load().sets[p.URL]
		s.mu.Lock()
		flight := s.flight
		s.mu.Unlock()
		if flight != nil {
			<-flight
		}
		c.forward(keySetPause)
		g, err := a.Token(p.token(t, "EdDSA", "unknown", pairs["EdDSA"], time.Duration(c.at.Load())))
		refused(t, g, err, hub.CodeOverloadedConnect, "cannot be fetched")
		if n := p.fetches.Load(); n != before+2 {
			t.Errorf("%s: %d fetches, want 2", name, n-before)
		}
	}
	if redirects.fetches.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(set(jwk(f, pairs["RS256"].Public(), "a"), jwk(f, pairs["ES256"].Public(), "b"), jwk(f, pairs["EdDSA"].Public(), "c"))))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AA","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeySet(text)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		token := strings.Repeat("A", 40)
		for _, k := range keys {
			for alg, method := range methods {
				// A key that an attacker could write is nothing to crash on, and verifies nothing.
				if fits(alg, k.key) && method.Verify(token, make([]byte, 64), k.key) == nil && alg != "EdDSA" {
					t.Fatalf("%s verifies zeros", alg)
				}
			}
		}
	})
}
