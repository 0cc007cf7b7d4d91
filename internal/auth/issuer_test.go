package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/snoserver/sno/internal/hub"
)

// pairs are real keys, made once: RSA takes its time.
var pairs = func() map[string]crypto.Signer {
	_, ed, err1 := ed25519.GenerateKey(rand.Reader)
	p256, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, err3 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	rs, err4 := rsa.GenerateKey(rand.Reader, 2048)
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			panic(err)
		}
	}
	return map[string]crypto.Signer{"EdDSA": ed, "ES256": p256, "RS256": rs, "P-384": p384}
}()

var methods = map[string]jwt.SigningMethod{"EdDSA": jwt.SigningMethodEdDSA, "ES256": jwt.SigningMethodES256, "RS256": jwt.SigningMethodRS256}

func publicPEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// idp is an Authenticator of an app with an issuer "idp" of each algorithm: idp-RS256 and so on.
func idp(t testing.TB, change func(*Issuer)) *Authenticator {
	t.Helper()
	app := App{ID: "shop", Keys: []Key{{ID: "shop-1", Secret: shopSecret}}}
	for alg := range methods {
		i := Issuer{Name: "idp-" + alg, Audience: "shop", Alg: alg, PublicKeys: publicPEM(t, pairs[alg].Public())}
		if change != nil {
			change(&i)
		}
		app.Issuers = append(app.Issuers, i)
	}
	a, err := New([]App{app})
	if err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return noon }
	return a
}

func TestIssuerTokens(t *testing.T) {
	a := idp(t, func(i *Issuer) {
		i.Allow = []hub.Allow{{Pattern: "user:{user}", Actions: hub.ActionSubscribe}}
	})
	for alg, method := range methods {
		for name, test := range map[string]struct {
			claims string
			allow  []hub.Allow
		}{
			"the issuer's channels": {`,"aud":"shop"`, []hub.Allow{{Pattern: "user:ann", Actions: hub.ActionSubscribe}}},
			"the token's channels":  {`,"aud":["other","shop"],"channels":{"x":["publish"]}`, []hub.Allow{{Pattern: "x", Actions: hub.ActionPublish}}},
			"no channel at all":     {`,"aud":"shop","channels":{}`, nil},
		} {
			token := sign(t, method, pairs[alg], `{"alg":"`+alg+`"}`, `{"iss":"idp-`+alg+`","sub":"ann","exp":1795352400`+test.claims+`}`)
			g, err := a.Token(token)
			if err != nil || g.App != "shop" || g.Client != "ann" || g.Server || !reflect.DeepEqual(g.Allow, test.allow) {
				t.Errorf("%s, %s: got %+v, %v", alg, name, g, err)
			}
		}
	}
}

// The algorithm is pinned: what a header says of another is refused, whatever key it would be verified with.
func TestIssuerTokensRefused(t *testing.T) {
	a := idp(t, nil)
	const good = `{"iss":"idp-RS256","aud":"shop","sub":"ann","exp":1795352400}`
	asSecret := []byte(publicPEM(t, pairs["RS256"].Public()))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs := func(claims string) string {
		return sign(t, jwt.SigningMethodRS256, pairs["RS256"], `{"alg":"RS256"}`, claims)
	}
	for name, test := range map[string]struct {
		token, text string
	}{
		"HS256 by the public key":              {sign(t, jwt.SigningMethodHS256, asSecret, `{"alg":"HS256"}`, good), "no kid"},
		"HS256 by the public key, issuer kid":  {sign(t, jwt.SigningMethodHS256, asSecret, `{"alg":"HS256","kid":"idp-RS256"}`, good), "no app key"},
		"HS256 by the public key, app key kid": {sign(t, jwt.SigningMethodHS256, asSecret, `{"alg":"HS256","kid":"shop-1"}`, good), "signature is not that of app key"},
		"none":                                 {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, `{"alg":"none"}`, good), `alg is "none"`},
		"another alg of another issuer":        {sign(t, jwt.SigningMethodES256, pairs["ES256"], `{"alg":"ES256"}`, good), "only RS256 of issuer"},
		"alg of the same key":                  {sign(t, jwt.SigningMethodPS256, pairs["RS256"], `{"alg":"PS256"}`, good), `alg is "PS256"`},
		"longer hash of the same key":          {sign(t, jwt.SigningMethodRS512, pairs["RS256"], `{"alg":"RS512"}`, good), `alg is "RS512"`},
		"wrong curve":                          {sign(t, jwt.SigningMethodES384, pairs["P-384"], `{"alg":"ES384"}`, good), `alg is "ES384"`},
		"another key":                          {sign(t, jwt.SigningMethodRS256, other, `{"alg":"RS256"}`, good), `not that of issuer "idp-RS256"`},
		"a key of the header":                  {sign(t, jwt.SigningMethodRS256, other, `{"alg":"RS256","jku":"https://evil.example/k","x5u":"https://evil.example/k","jwk":{"kty":"RSA"}}`, good), "not that of issuer"},
		"no iss":                               {rs(`{"aud":"shop","sub":"ann","exp":1795352400}`), `iss is ""`},
		"unknown iss":                          {rs(`{"iss":"evil","aud":"shop","sub":"ann","exp":1795352400}`), `iss is "evil"`},
		"no aud":                               {rs(`{"iss":"idp-RS256","sub":"ann","exp":1795352400}`), "aud is"},
		"another aud":                          {rs(`{"iss":"idp-RS256","aud":["blog","Shop"],"sub":"ann","exp":1795352400}`), "aud is"},
		"no exp":                               {rs(`{"iss":"idp-RS256","aud":"shop","sub":"ann"}`), "no exp"},
		"nbf to come":                          {rs(`{"iss":"idp-RS256","aud":"shop","sub":"ann","exp":1795352400,"nbf":1795350000}`), "nbf"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := a.Token(test.token)
			refused(t, g, err, hub.CodeUnauthorized, test.text)
		})
	}
	g, err := a.Token(rs(`{"iss":"idp-RS256","aud":"shop","sub":"ann","exp":1795348000}`))
	refused(t, g, err, hub.CodeTokenExpired)
}

func TestUserClaim(t *testing.T) {
	a := idp(t, func(i *Issuer) {
		i.UserClaim = "https://shop.example/uid"
		i.Allow = []hub.Allow{{Pattern: "user:{user}", Actions: hub.ActionSubscribe}}
	})
	for value, want := range map[string]string{`"u-1"`: "u-1", `17`: "17", `"*"`: "", `""`: "", `null`: "", `true`: "", `["a"]`: "", `{}`: ""} {
		g, err := a.Token(sign(t, jwt.SigningMethodEdDSA, pairs["EdDSA"], `{"alg":"EdDSA"}`,
			fmt.Sprintf(`{"iss":"idp-EdDSA","aud":"shop","sub":"ann","exp":1795352400,"https://shop.example/uid":%s}`, value)))
		if want == "" {
			refused(t, g, err, hub.CodeUnauthorized)
		} else if err != nil || g.Client != want || g.Allow[0].Pattern != "user:"+want {
			t.Errorf("%s: got %+v, %v", value, g, err)
		}
	}
}

// A text with two public keys lets an issuer change its key.
func TestTwoPublicKeys(t *testing.T) {
	next, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := idp(t, func(i *Issuer) {
		if i.Alg == "ES256" {
			i.PublicKeys += publicPEM(t, next.Public())
		}
	})
	for _, key := range []any{pairs["ES256"], next} {
		if _, err := a.Token(sign(t, jwt.SigningMethodES256, key, `{"alg":"ES256"}`, `{"iss":"idp-ES256","aud":"shop","exp":1795352400}`)); err != nil {
			t.Error(err)
		}
	}
}

func TestIssuersOfSeveralApps(t *testing.T) {
	issuer := func(audience string) []Issuer {
		return []Issuer{{Name: "idp", Audience: audience, Alg: "EdDSA", PublicKeys: publicPEM(t, pairs["EdDSA"].Public())}}
	}
	a, err := New([]App{{ID: "shop", Issuers: issuer("s")}, {ID: "blog", Issuers: issuer("b")}})
	if err != nil {
		t.Fatal(err)
	}
	a.now = func() time.Time { return noon }
	g, err := a.Token(sign(t, jwt.SigningMethodEdDSA, pairs["EdDSA"], `{"alg":"EdDSA"}`, `{"iss":"idp","aud":"b","exp":1795352400}`))
	if err != nil || g.App != "blog" {
		t.Errorf("got %+v, %v", g, err)
	}
	for _, second := range []string{"s", ""} {
		if _, err := New([]App{{ID: "shop", Issuers: issuer("s")}, {ID: "blog", Issuers: issuer(second)}}); err == nil {
			t.Errorf("two apps may have the tokens of audience %q", second)
		}
	}
}

func TestIssuerCheck(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	key := publicPEM(t, pairs["EdDSA"].Public())
	private, err := x509.MarshalPKCS8PrivateKey(pairs["EdDSA"])
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		issuer Issuer
		want   string
	}{
		"no name":        {Issuer{Alg: "EdDSA", PublicKeys: key}, "no name"},
		"no alg":         {Issuer{Name: "i", PublicKeys: key}, "RS256, ES256, EdDSA"},
		"a secret's alg": {Issuer{Name: "i", Alg: "HS256", PublicKeys: key}, `alg "HS256"`},
		"no key":         {Issuer{Name: "i", Alg: "EdDSA"}, "either"},
		"both":           {Issuer{Name: "i", Alg: "EdDSA", PublicKeys: key, JWKS: "https://a.example/"}, "either"},
		"no PEM":         {Issuer{Name: "i", Alg: "EdDSA", PublicKeys: "hello"}, "no public key"},
		"not DER":        {Issuer{Name: "i", Alg: "EdDSA", PublicKeys: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"}, "cannot be read"},
		"another's key":  {Issuer{Name: "i", Alg: "ES256", PublicKeys: key}, "none for ES256"},
		"another curve":  {Issuer{Name: "i", Alg: "ES256", PublicKeys: publicPEM(t, pairs["P-384"].Public())}, "P-256"},
		"short RSA":      {Issuer{Name: "i", Alg: "RS256", PublicKeys: publicPEM(t, small.Public())}, "2048"},
		"private key":    {Issuer{Name: "i", Alg: "EdDSA", PublicKeys: string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}, `must be a "PUBLIC KEY"`},
		"http":           {Issuer{Name: "i", Alg: "EdDSA", JWKS: "http://idp.example/keys"}, "https"},
		"a file":         {Issuer{Name: "i", Alg: "EdDSA", JWKS: "file:///etc/passwd"}, "https"},
		"no URL":         {Issuer{Name: "i", Alg: "EdDSA", JWKS: "https://"}, "https"},
	} {
		if err := test.issuer.Check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
	for _, url := range []string{"https://idp.example/keys", "http://localhost:1/keys", "http://127.0.0.1/keys", "http://[::1]:80/keys"} {
		if err := (&Issuer{Name: "i", Alg: "EdDSA", JWKS: url}).Check(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
