package api

import (
	"slices"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

type sessionAnswer struct {
	Session       string `json:"session"`
	Client        string `json:"client"`
	Transport     string `json:"transport"`
	Address       string `json:"address"`
	Started       int64  `json:"started"`
	Subscriptions int    `json:"subscriptions"`
	Lag           int    `json:"lag"`
	LagAtLeast    bool   `json:"lag_at_least"`
	Channels      []struct {
		Channel    string `json:"channel"`
		Epoch      string `json:"epoch"`
		Offset     uint64 `json:"offset"`
		Presence   bool   `json:"presence"`
		Lag        int    `json:"lag"`
		LagAtLeast bool   `json:"lag_at_least"`
	} `json:"channels"`
}

type sessionPage struct {
	Sessions []sessionAnswer `json:"sessions"`
	More     bool            `json:"more"`
}

func TestSessions(t *testing.T) {
	s := open(t)
	ids := []string{}
	for range 5 {
		ids = append(ids, s.join("chat", false).ID())
	}
	slices.Sort(ids)
	elsewhere := s.join("news", false).ID()
	other := s.hub.NewSession(&hub.Grant{App: "blog", Client: "ann"}, hub.SessionOptions{}, hub.WakeFunc(func() {}))
	defer other.Close(0)

	var got []string
	for after, more := "", true; more; after = got[len(got)-1] {
		p := into[sessionPage](t, s.do("GET", "/v1/sessions?client=ann&channel=chat&limit=2&after="+after, ""))
		for _, one := range p.Sessions {
			got = append(got, one.Session)
		}
		more = p.More
	}
	if !slices.Equal(got, ids) {
		t.Errorf("by two: %q, want %q", got, ids)
	}
	if p := into[sessionPage](t, s.do("GET", "/v1/sessions?client=bob", "")); len(p.Sessions) != 0 || p.More || p.Sessions == nil {
		t.Errorf("of nobody: %+v", p)
	}
	if p := into[sessionPage](t, s.do("GET", "/v1/sessions", "")); len(p.Sessions) != 6 {
		t.Errorf("of this app: %+v", p)
	}
	one := into[sessionAnswer](t, s.do("GET", "/v1/sessions/"+elsewhere, ""))
	if one.Session != elsewhere || one.Client != "ann" || one.Transport != "test" || one.Address != "192.0.2.7" || one.Subscriptions != 1 ||
		time.Since(time.UnixMilli(one.Started)).Abs() > time.Minute || len(one.Channels) != 1 || one.Channels[0].Channel != "news" || one.Channels[0].Epoch == "" {
		t.Errorf("got %+v", one)
	}
	wantProblem(t, s.do("GET", "/v1/sessions/"+other.ID(), ""), 404, hub.CodeNotFound)
}

// TestLag has a session that takes nothing fall behind: first by what the tail has, then by more than anybody has counted.
func TestLag(t *testing.T) {
	s := open(t)
	session := s.join("chat", false)
	lag := func(want int, atLeast bool) {
		t.Helper()
		one := into[sessionAnswer](t, s.do("GET", "/v1/sessions/"+session.ID(), ""))
		if one.Lag != want || one.LagAtLeast != atLeast || one.Channels[0].Lag != want || one.Channels[0].LagAtLeast != atLeast {
			t.Errorf("got %+v, want a lag of %d, at least: %v", one, want, atLeast)
		}
	}
	publish := func(n int) {
		t.Helper()
		body := "["
		for range n {
			body += "{},"
		}
		into[[]result](t, s.do("POST", chat, body[:len(body)-1]+"]"))
	}
	lag(0, false)
	publish(700)
	lag(700, false)
	for more := true; more; {
		_, more = session.Pull(nil, 1<<20)
	}
	lag(0, false)
	for range 3 {
		publish(1000)
	}
	lag(2048, true)
}

func TestEndSessions(t *testing.T) {
	s := open(t)
	ends := func(session *hub.Session) hub.Code {
		events, _ := session.Pull(nil, 1<<20)
		for _, e := range events {
			if e.Kind == hub.EventEnd {
				return e.Detail.Err.Code
			}
		}
		return 0
	}
	one, two, three := s.join("a", false), s.join("b", false), s.join("c", false)
	if a := s.do("DELETE", "/v1/sessions/"+one.ID(), ""); a.StatusCode != 204 || a.body != "" || ends(one) != hub.CodeRevoked || ends(two) != 0 {
		t.Errorf("one: %d %s", a.StatusCode, a.body)
	}
	if a := s.do("DELETE", "/v1/sessions/"+two.ID()+"?reconnect=true", ""); a.StatusCode != 204 || ends(two) != hub.CodeGoaway {
		t.Errorf("with reconnect: %d %s", a.StatusCode, a.body)
	}
	if a := s.do("DELETE", "/v1/sessions?client=ann", ""); a.StatusCode != 200 || a.body != `{"ended":3}`+"\n" || ends(three) != hub.CodeRevoked {
		t.Errorf("all of ann: %d %s", a.StatusCode, a.body)
	}
	wantProblem(t, s.do("DELETE", "/v1/sessions", ""), 400, hub.CodeBadRequest, "client is missing")
	wantProblem(t, s.do("DELETE", "/v1/sessions/x?reconnect=1", ""), 400, hub.CodeBadRequest, "true or false")
	bearer := "Authorization: Bearer " + token(t, "ann", "chat:*", hub.ActionAdmin, time.Now().Add(time.Hour))
	for _, r := range []struct{ method, path string }{{"GET", "/v1/sessions"}, {"GET", "/v1/sessions/" + one.ID()}, {"DELETE", "/v1/sessions?client=ann"}, {"DELETE", "/v1/sessions/" + one.ID()}} {
		wantProblem(t, s.do(r.method, r.path, "", bearer), 403, hub.CodeForbidden, "admin")
	}
}
