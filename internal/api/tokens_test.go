package api

import (
	"errors"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

type minted struct {
	Token   string `json:"token"`
	ID      string `json:"id"`
	Expires int64  `json:"expires"`
}

const tokens, revoke = "/v1/tokens", "/v1/tokens/revoke"

func TestMint(t *testing.T) {
	s := open(t)
	m := into[minted](t, s.do("POST", tokens, `{"client":"ann","channels":{"chat":["publish","history"],"none":[]},"ttl":60,"id":"t-1"}`))
	if left := time.Until(time.UnixMilli(m.Expires)); m.ID != "t-1" || left > time.Minute || left < 50*time.Second {
		t.Errorf("got %+v", m)
	}
	bearer := "Authorization: Bearer " + m.Token
	into[result](t, s.do("POST", chat, `{}`, bearer))
	if p := into[page](t, s.do("GET", chat, "", bearer)); len(p.Messages) != 1 || p.Messages[0].Client != "ann" {
		t.Errorf("got %+v", p)
	}
	wantProblem(t, s.do("GET", "/v1/channels/none/messages", "", bearer), 403, hub.CodeForbidden)
	hour := into[minted](t, s.do("POST", tokens, `{}`))
	if left := time.Until(time.UnixMilli(hour.Expires)); left > time.Hour || left < 59*time.Minute {
		t.Errorf("got %+v", hour)
	}
	for body, want := range map[string]string{
		`[]`:                          "must be an object",
		`{"clent":"ann"}`:             `did you mean "client"?`,
		`{"ttl":0}`:                   "from 1 to 34560000",
		`{"ttl":34560001}`:            "from 1 to 34560000",
		`{"ttl":"1h"}`:                "must be a number of seconds",
		`{"channels":{"a":["fly"]}}`:  `allows "fly" on "a"`,
		`{"channels":["a"]}`:          "an object of patterns to arrays of actions",
		`{"channels":{"":["admin"]}}`: "1 to 1024",
		`{"client":"a\u0000"}`:        "no control characters",
	} {
		wantProblem(t, s.do("POST", tokens, body), 400, hub.CodeBadRequest, want)
	}
	wantProblem(t, s.do("POST", tokens, `{}`, "Authorization: Bearer "+token(t, "ann", "*", hub.AllActions, time.Now().Add(time.Hour))), 403, hub.CodeForbidden, "use an app key")
}

func TestRevoke(t *testing.T) {
	s := open(t)
	mint := func(body string) string {
		return "Authorization: Bearer " + into[minted](t, s.do("POST", tokens, body)).Token
	}
	one, other := mint(`{"client":"ann","channels":{"*":["history"]},"id":"1"}`), mint(`{"client":"ann","channels":{"*":["history"]},"id":"2"}`)
	revoked := func(bearer string, want bool) {
		t.Helper()
		if a := s.do("GET", chat, "", bearer); want {
			wantProblem(t, a, 403, hub.CodeRevoked, "has been revoked")
		} else {
			into[page](t, a)
		}
	}
	if a := s.do("POST", revoke, `{"id":"1"}`); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	revoked(one, true)
	revoked(other, false)
	if a := s.do("POST", revoke, `{"client":"ann"}`); a.StatusCode != 204 {
		t.Fatalf("%d %s", a.StatusCode, a.body)
	}
	revoked(other, true)
	revoked(mint(`{"client":"bob","channels":{"*":["history"]}}`), false)
	for body, want := range map[string]string{`{}`: "name either", `{"id":"a","client":"b"}`: "name either", `{"id":1}`: "id is or has a number", `x`: "is not JSON"} {
		wantProblem(t, s.do("POST", revoke, body), 400, hub.CodeBadRequest, want)
	}
	admin := mint(`{"client":"eve","channels":{"*":["admin"]}}`)
	if a := s.do("POST", revoke, `{"client":"bob"}`, admin); a.StatusCode != 204 {
		t.Errorf("an administrator's token: %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, s.do("POST", revoke, `{"client":"bob"}`, mint(`{"client":"joe","channels":{"a":["admin"]}}`)), 403, hub.CodeForbidden)
}

// FuzzDecodeToken takes no body for a token that is none, and says in our words what is wrong with it.
func FuzzDecodeToken(f *testing.F) {
	for _, s := range []string{`{"client":"ann","channels":{"a":["publish"]},"ttl":60,"id":"x"}`, `{"channels":{"a":null}}`, `{"ttl":-1}`, `{"ttl":1e3}`, `{}{}`, `[`} {
		f.Add([]byte(s))
	}
	now := time.Now()
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decodeToken(body)
		if err == nil {
			c, e := r.claims(now)
			if err = e; err == nil && (!c.Expires.After(now) || c.Expires.Sub(now) > hub.MaxTokenLife) {
				t.Fatalf("%q gives %+v", body, c)
			}
		}
		if e, ours := errors.AsType[*hub.Error](err); err != nil && (!ours || len(e.Text) > 600) {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
