package auth

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/snoserver/sno/internal/hub"
)

func mint(t testing.TB, c Claims) string {
	t.Helper()
	token, err := Mint("shop-1", shopSecret, c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// sign signs whatever header and claims, as somebody else's library might.
func sign(t testing.TB, method jwt.SigningMethod, key any, header, claims string) string {
	t.Helper()
	token := jwt.New(method)
	token.Header = map[string]any{}
	for s, into := range map[string]any{header: &token.Header, claims: &token.Claims} {
		if m, ok := into.(*jwt.Claims); ok {
			*m = jwt.MapClaims{}
			d := json.NewDecoder(strings.NewReader(s))
			d.UseNumber()
			c := jwt.MapClaims{}
			if err := d.Decode(&c); err != nil {
				t.Fatal(err)
			}
			*m = c
		} else if err := json.Unmarshal([]byte(s), into); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestTokenThatMintMade(t *testing.T) {
	a := shops(t)
	allow := []hub.Allow{
		{Pattern: "chat:*", Actions: hub.ActionSubscribe | hub.ActionPublish | hub.ActionPresence | hub.ActionHistory},
		{Pattern: "news", Actions: hub.ActionSubscribe},
	}
	g, err := a.Token(mint(t, Claims{Client: "ann", Allow: allow, Expires: noon.Add(time.Hour)}))
	if err != nil {
		t.Fatal(err)
	}
	if g.App != "shop" || g.Client != "ann" || g.Server || !reflect.DeepEqual(g.Allow, allow) || !g.Expires.Equal(noon.Add(time.Hour)) {
		t.Errorf("got %+v", g)
	}
}

func TestTokenOfAnotherLibrary(t *testing.T) {
	a := shops(t)
	for name, test := range map[string]struct {
		claims string
		want   hub.Grant
	}{
		"the documented one": {`{"sub":"ann","exp":1795352400,"channels":{"chat:*":["subscribe","history"]}}`,
			hub.Grant{Client: "ann", Allow: []hub.Allow{{Pattern: "chat:*", Actions: hub.ActionSubscribe | hub.ActionHistory}}}},
		"claims of others are left alone": {`{"sub":"ann","exp":1795352400,"iss":"us","aud":["x"],"role":{"a":1}}`, hub.Grant{Client: "ann"}},
		"what it can be revoked by":       {`{"sub":"ann","exp":1795352400,"iat":1795348700,"jti":"1"}`, hub.Grant{Client: "ann", TokenID: "1", Issued: time.Unix(1795348700, 0)}},
		"member":                          {`{"sub":"ann","exp":1795352400,"member":{"name":"Ann"}}`, hub.Grant{Client: "ann", Member: []byte(`{"name":"Ann"}`)}},
		"the user's own channels": {`{"sub":"ann","exp":1795352400,"channels":{"user:{user}:*":["subscribe"]}}`,
			hub.Grant{Client: "ann", Allow: []hub.Allow{{Pattern: "user:ann:*", Actions: hub.ActionSubscribe}}}},
		"no sub":         {`{"exp":1795352400.0,"channels":{"a":[],"b":["admin","admin"]}}`, hub.Grant{Allow: []hub.Allow{{Pattern: "a"}, {Pattern: "b", Actions: hub.ActionAdmin}}}},
		"not before now": {`{"sub":"ann","exp":1795352400,"nbf":1795348800}`, hub.Grant{Client: "ann"}},
	} {
		g, err := a.Token(sign(t, jwt.SigningMethodHS256, []byte(shopSecret), `{"alg":"HS256","typ":"JWT","kid":"shop-1"}`, test.claims))
		test.want.App, test.want.Expires, test.want.Grace = "shop", time.Unix(1795352400, 0), DefaultGrace
		if err != nil || !reflect.DeepEqual(*g, test.want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, g, err, test.want)
		}
	}
}

func TestTokenRefused(t *testing.T) {
	const good, header = `{"sub":"ann","exp":1795352400}`, `{"alg":"HS256","kid":"shop-1"}`
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hs := func(header, claims string) string {
		return sign(t, jwt.SigningMethodHS256, []byte(shopSecret), header, claims)
	}
	valid := strings.Split(hs(header, good), ".")
	patterns := make([]string, MaxPatterns+1)
	for i := range patterns {
		patterns[i] = fmt.Sprintf(`"p%d":["publish"]`, i)
	}
	a := shops(t)
	for name, test := range map[string]struct{ token, text string }{
		"empty":                 {"", "not a token"},
		"the key":               {"shop-1:" + shopSecret, "not a token"},
		"two parts":             {"eyJh.eyJh", "not a token"},
		"four parts":            {strings.Join(valid, ".") + ".x", "not a token"},
		"garbage":               {"ey.ey.ey", "malformed"},
		"too long":              {"ey" + strings.Repeat("x", MaxTokenBytes), "not 8194"},
		"alg none":              {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, `{"alg":"none","kid":"shop-1"}`, good), "HS256"},
		"alg None":              {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, `{"alg":"None","kid":"shop-1"}`, good), "HS256"},
		"alg HS384":             {sign(t, jwt.SigningMethodHS384, []byte(shopSecret), `{"alg":"HS384","kid":"shop-1"}`, good), "HS256"},
		"alg RS256":             {sign(t, jwt.SigningMethodRS256, rsaKey, `{"alg":"RS256","kid":"shop-1"}`, good), "no issuer of that name"},
		"no alg":                {hs(`{"kid":"shop-1"}`, good), "HS256"},
		"alg no string":         {hs(`{"alg":1,"kid":"shop-1"}`, good), "HS256"},
		"no kid":                {hs(`{"alg":"HS256"}`, good), "no kid"},
		"kid no string":         {hs(`{"alg":"HS256","kid":1}`, good), "no kid"},
		"kid unknown":           {hs(`{"alg":"HS256","kid":"shop-9"}`, good), `kid is "shop-9"`},
		"kid of another key":    {hs(`{"alg":"HS256","kid":"blog-1"}`, good), `not that of app key "blog-1"`},
		"crit":                  {hs(`{"alg":"HS256","kid":"shop-1","crit":["b64"]}`, good), "crit"},
		"no signature":          {valid[0] + "." + valid[1] + ".", "signature"},
		"other claims":          {valid[0] + "." + strings.Split(hs(header, `{"sub":"bob","exp":1795352400}`), ".")[1] + "." + valid[2], "signature"},
		"empty secret":          {sign(t, jwt.SigningMethodHS256, []byte(""), header, good), "signature"},
		"no exp":                {hs(header, `{"sub":"ann"}`), "no exp"},
		"exp null":              {hs(header, `{"sub":"ann","exp":null}`), "no exp"},
		"exp in milliseconds":   {hs(header, `{"sub":"ann","exp":1795352400000}`), "not milliseconds"},
		"exp negative":          {hs(header, `{"sub":"ann","exp":-1}`), "out of range"},
		"exp no number":         {hs(header, `{"sub":"ann","exp":"soon"}`), "malformed"},
		"exp without end":       {hs(header, `{"sub":"ann","exp":1e300}`), "out of range"},
		"exp beyond numbers":    {hs(header, `{"sub":"ann","exp":1e999}`), "malformed"},
		"nbf to come":           {hs(header, `{"sub":"ann","exp":1795352400,"nbf":1795348806}`), "nbf"},
		"expired and nbf":       {hs(header, `{"sub":"ann","exp":1795348000,"nbf":1795352400}`), "nbf"},
		"expired and bad sub":   {hs(header, `{"sub":"a\nb","exp":1795348000}`), "sub"},
		"expired, badly signed": {sign(t, jwt.SigningMethodHS256, []byte(blogSecret), header, `{"exp":1795348000}`), "signature"},
		"sub too long":          {hs(header, `{"sub":"`+strings.Repeat("a", 257)+`","exp":1795352400}`), "256"},
		"sub no string":         {hs(header, `{"sub":1,"exp":1795352400}`), "malformed"},
		"channels an array":     {hs(header, `{"exp":1795352400,"channels":["a"]}`), "malformed"},
		"actions a string":      {hs(header, `{"exp":1795352400,"channels":{"a":"subscribe"}}`), "malformed"},
		"unknown action":        {hs(header, `{"exp":1795352400,"channels":{"a":["read"]}}`), `"read" on "a" cannot be allowed; the actions are subscribe,publish,presence,history,admin`},
		"action in capitals":    {hs(header, `{"exp":1795352400,"channels":{"a":["Subscribe"]}}`), `"Subscribe"`},
		"empty pattern":         {hs(header, `{"exp":1795352400,"channels":{"":["subscribe"]}}`), "0 bytes"},
		"long pattern":          {hs(header, `{"exp":1795352400,"channels":{"`+strings.Repeat("a", 1025)+`":["subscribe"]}}`), "1025 bytes"},
		"{user} without one":    {hs(header, `{"exp":1795352400,"channels":{"user:{user}":["subscribe"]}}`), "needs an id (sub) that is not empty"},
		"{user} is a star":      {hs(header, `{"sub":"*","exp":1795352400,"channels":{"user:{user}":["subscribe"]}}`), "has no '*'"},
		"{user} has a star":     {hs(header, `{"sub":"a*b","exp":1795352400,"channels":{"x":[],"{user}:y":["subscribe"]}}`), "has no '*'"},
		"{user} a thousandfold": {hs(header, `{"sub":"`+strings.Repeat("a", 200)+`","exp":1795352400,"channels":{"`+strings.Repeat("{user}", 6)+`":["subscribe"]}}`), "1200 bytes"},
		"member an array":       {hs(header, `{"exp":1795352400,"member":["a"]}`), "JSON object"},
		"member null":           {hs(header, `{"exp":1795352400,"member":null}`), "JSON object"},
		"jti too long":          {hs(header, `{"exp":1795352400,"jti":"`+strings.Repeat("a", 257)+`"}`), "257 bytes"},
		"iat in milliseconds":   {hs(header, `{"exp":1795352400,"iat":1795348800000}`), "iat is out of range"},
		"too many patterns":     {hs(header, `{"exp":1795352400,"channels":{`+strings.Join(patterns, ",")+`}}`), "101 channel patterns"},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := a.Token(test.token)
			refused(t, g, err, hub.CodeUnauthorized, test.text)
		})
	}
}

func TestTokenExpires(t *testing.T) {
	a := shops(t)
	token := mint(t, Claims{Client: "ann", Expires: noon})
	short := &App{ID: "shop", Grace: time.Second}
	if short.grace() != Leeway {
		t.Errorf("a grace of %v would end sessions of tokens that are taken", short.grace())
	}
	for after, good := range map[time.Duration]bool{-time.Hour: true, 0: true, Leeway - 1: true, Leeway: false, time.Hour: false} {
		a.now = func() time.Time { return noon.Add(after) }
		g, err := a.Token(token)
		if !good {
			refused(t, g, err, hub.CodeTokenExpired, "expired at 2026-11-22T12:00:00Z")
		} else if err != nil || !g.Expires.Add(g.Grace).After(a.now()) { // a grant that has ended already would make its session connect for ever
			t.Errorf("%v after exp: %+v, %v", after, g, err)
		}
	}
}

func TestMintRefuses(t *testing.T) {
	hour := noon.Add(time.Hour)
	many := make([]hub.Allow, MaxPatterns)
	for i := range many {
		many[i] = hub.Allow{Pattern: strings.Repeat("p", 100) + fmt.Sprint(i), Actions: hub.AllActions}
	}
	for name, test := range map[string]struct {
		key, secret string
		claims      Claims
		text        string
	}{
		"key id":    {"a:b", shopSecret, Claims{Expires: hour}, `"a:b"`},
		"no secret": {"shop-1", "", Claims{Expires: hour}, "secret"},
		"no end":    {"shop-1", shopSecret, Claims{}, "no exp"},
		"no action": {"shop-1", shopSecret, Claims{Expires: hour, Allow: []hub.Allow{{Pattern: "a"}}}, "actions are"},
		"sub":       {"shop-1", shopSecret, Claims{Expires: hour, Client: "\x00"}, "sub"},
		"member":    {"shop-1", shopSecret, Claims{Expires: hour, Member: []byte("1")}, "JSON object"},
		"too long":  {"shop-1", shopSecret, Claims{Expires: hour, Allow: many}, "at most 8192 bytes"},
	} {
		token, err := Mint(test.key, test.secret, test.claims)
		if err == nil || token != "" || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), shopSecret) {
			t.Errorf("%s: got %q, %v, want %q", name, token, err, test.text)
		}
	}
}

func FuzzToken(f *testing.F) {
	a := shops(f)
	good := mint(f, Claims{Client: "ann", Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}, Expires: noon.Add(time.Hour)})
	want, err := a.Token(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add("eyJhbGciOiJub25lIn0.eyJleHAiOjE3OTUzNTI0MDB9.")
	f.Fuzz(func(t *testing.T, token string) {
		g, err := a.Token(token)
		if err == nil {
			// Without the secret nobody makes a token that says something else. (The same one can be written in several ways: base64 has spare bits.)
			if !reflect.DeepEqual(g, want) {
				t.Fatalf("forged: %q gives %+v", token, g)
			}
			return
		}
		refused(t, g, err, hub.CodeUnauthorized)
	})
}

// FuzzClaims signs whatever claims, to get behind the signature.
func FuzzClaims(f *testing.F) {
	a := shops(f)
	f.Add([]byte(`{"sub":"ann","exp":1795352400,"channels":{"chat:*":["subscribe"]}}`))
	f.Add([]byte(`{"exp":1e18,"nbf":-1e18}`))
	f.Fuzz(func(t *testing.T, claims []byte) {
		p := jwt.New(jwt.SigningMethodHS256)
		p.Header["kid"] = "shop-1"
		head, err := p.SigningString()
		if err != nil {
			t.Fatal(err)
		}
		text := head[:strings.IndexByte(head, '.')+1] + p.EncodeSegment(claims)
		sig, err := jwt.SigningMethodHS256.Sign(text, []byte(shopSecret))
		if err != nil {
			t.Fatal(err)
		}
		g, err := a.Token(text + "." + p.EncodeSegment(sig))
		if err != nil {
			if e, ok := errors.AsType[*hub.Error](err); !ok || g != nil || e.Code != hub.CodeUnauthorized && e.Code != hub.CodeTokenExpired {
				t.Fatalf("got %+v, %v", g, err)
			}
			return
		}
		if g.App != "shop" || g.Server || len(g.Allow) > MaxPatterns || len(g.Client) > MaxClientBytes || !g.Expires.Add(g.Grace).After(noon) {
			t.Fatalf("%q gives %+v", claims, g)
		}
	})
}
