package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// signedHeader signs as docs/auth.md says.
func signedHeader(key, secret, method, target, idempotency, body string, at time.Time) string {
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(body)))
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "Sno-HMAC-SHA256\n%d\n%s\n%s\n%s\n%s", at.Unix(), method, target, idempotency, digest)
	return fmt.Sprintf(`Sno-HMAC-SHA256 key="%s", time="%d", body="%s", signature="%x"`, key, at.Unix(), digest, mac.Sum(nil))
}

const target, said = "/v1/channels/a%2Fb/messages?x=1&y=%20", `{"data":1}`

func TestSignedRequest(t *testing.T) {
	a := shops(t)
	sign := func(key, secret, body string, at time.Time) string {
		return signedHeader(key, secret, "POST", target, "m-1", body, at)
	}
	good := sign("shop-1", shopSecret, said, noon)
	for name, test := range map[string]struct {
		header, method, target, id, body string
		text                             string // of the refusal
		late                             string // of the refusal at the body's end
	}{
		"good":                   {header: good},
		"without quotes":         {header: strings.ReplaceAll(good, `"`, "")},
		"scheme in lower case":   {header: strings.Replace(good, SignedScheme, strings.ToLower(SignedScheme), 1)},
		"by the secret before":   {header: sign("shop-2", shopSecret+"1", said, noon)},
		"old, within the window": {header: sign("shop-1", shopSecret, said, noon.Add(-SignatureWindow))},
		"a clock ahead":          {header: sign("shop-1", shopSecret, said, noon.Add(SignatureWindow))},
		"too old":                {header: sign("shop-1", shopSecret, said, noon.Add(-SignatureWindow-time.Second)), text: "sign each request anew"},
		"from the future":        {header: sign("shop-1", shopSecret, said, noon.Add(SignatureWindow+time.Second)), text: "check the clocks"},
		"another secret":         {header: sign("shop-1", blogSecret, said, noon), text: "no app key of this id"},
		"no secret":              {header: sign("shop-1", "", said, noon), text: "no app key of this id"},
		"an unknown key":         {header: sign("shop-9", shopSecret, said, noon), text: "no app key of this id"},
		"an unknown key, empty":  {header: sign("shop-9", "", said, noon), text: "no app key of this id"},
		"another method":         {header: good, method: "PUT", text: "six lines"},
		"another path":           {header: good, target: "/v1/channels/b/messages?x=1&y=%20", text: "six lines"},
		"the path decoded":       {header: good, target: "/v1/channels/a/b/messages?x=1&y=%20", text: "six lines"},
		"another query":          {header: good, target: target + "&z=1", text: "six lines"},
		"another message id":     {header: good, id: "m-2", text: "six lines"},
		"another body":           {header: good, body: `{"data":2}`, late: "not the one that was signed"},
		"a longer body":          {header: good, body: said + " ", late: "not the one that was signed"},
		"a cut body":             {header: good, body: said[:3], late: "not the one that was signed"},
		"no body":                {header: good, body: "-", late: "not the one that was signed"},
		"another body's digest":  {header: strings.Replace(good, fmt.Sprintf("%x", sha256.Sum256([]byte(said))), fmt.Sprintf("%x", sha256.Sum256([]byte("x"))), 1), body: "x", text: "six lines"},
		"time twice":             {header: good + `, time="1"`, text: "there twice"},
		"unknown parameter":      {header: good + `, alg="none"`, text: `"alg" is none`},
		"no key":                 {header: SignedScheme + ` time=1, signature=00`, text: "needs key"},
		"no parameters":          {header: SignedScheme, text: "key, time, body"},
		"no digest":              {header: SignedScheme + ` key="shop-1", time="1", body="zz", signature="00"`, text: "SHA-256"},
		"no signature":           {header: SignedScheme + ` key="shop-1", time="1", signature="00"`, text: "HMAC"},
		"no time":                {header: signedTime("noon"), text: "whole seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			body := test.body
			if body == "" {
				body = said
			}
			r := httptest.NewRequest(or(test.method, "POST"), or(test.target, target), strings.NewReader(strings.Trim(body, "-")))
			r.Header.Set("Authorization", test.header)
			r.Header.Set("Idempotency-Key", or(test.id, "m-1"))
			g, err := a.Request(r)
			if test.text != "" {
				refused(t, g, err, hub.CodeUnauthorized, test.text)
				return
			}
			if err != nil || g.App != "shop" || !g.Server {
				t.Fatalf("got %+v, %v", g, err)
			}
			read, err := io.ReadAll(r.Body)
			if test.late != "" {
				refused(t, nil, err, hub.CodeUnauthorized, test.late)
			} else if err != nil || string(read) != body {
				t.Errorf("read %q, %v", read, err)
			}
		})
	}
}

// signedTime is a good signature over a time that is none.
func signedTime(time string) string {
	r := httptest.NewRequest(http.MethodPost, target, nil)
	r.Header.Set("Idempotency-Key", "m-1")
	digest := fmt.Sprintf("%x", sha256.Sum256(nil))
	mac := hmac.New(sha256.New, []byte(shopSecret))
	mac.Write(signedText(r, time, digest))
	return fmt.Sprintf("%s key=shop-1, time=%s, signature=%x", SignedScheme, time, mac.Sum(nil))
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func FuzzSignature(f *testing.F) {
	a := shops(f)
	good := signedHeader("shop-1", shopSecret, "POST", target, "", said, noon)
	f.Add(strings.TrimPrefix(good, SignedScheme))
	f.Add(` key=a,time="1,signature=`)
	f.Fuzz(func(t *testing.T, params string) {
		r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(said))
		r.Header.Set("Authorization", SignedScheme+" "+params)
		g, err := a.Request(r)
		if err == nil {
			s, _ := parseSignature(params)
			if !strings.EqualFold(s.mac, good[len(good)-65:len(good)-1]) || g.App != "shop" {
				t.Fatalf("forged: %q", params)
			}
			return
		}
		if e, ours := errors.AsType[*hub.Error](err); !ours || g != nil || e.Code != hub.CodeUnauthorized {
			t.Fatalf("%q: %+v, %v", params, g, err)
		}
	})
}

func TestSigned(t *testing.T) {
	a, err := New([]App{{ID: "shop", Keys: []Key{{ID: "k", Secret: "new", Previous: "old"}, {ID: "one", Secret: "only"}}}})
	if err != nil {
		t.Fatal(err)
	}
	mac := func(secret string) string {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte("text"))
		return hex.EncodeToString(h.Sum(nil))
	}
	for _, test := range []struct {
		key, mac string
		want     bool
	}{
		{"k", mac("new"), true}, {"k", mac("old"), true}, {"one", mac("only"), true}, {"k", strings.ToUpper(mac("new")), true},
		{"k", mac("only"), false}, {"one", mac(""), false}, {"nobody", mac(""), false}, {"k", "", false}, {"k", "zz", false}, {"k", mac("new") + "0", false},
	} {
		if got := a.Signed(test.key, []byte("text"), test.mac); got != test.want {
			t.Errorf("%s, %s: %v, want %v", test.key, test.mac, got, test.want)
		}
	}
}
