package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

type channel struct {
	Channel     string       `json:"channel"`
	Head        hub.Position `json:"head"`
	Messages    int          `json:"messages"`
	Bytes       int          `json:"bytes"`
	Subscribers int          `json:"subscribers"`
	Members     int          `json:"members"`
}

type channelPage struct {
	Channels []channel `json:"channels"`
	More     bool      `json:"more"`
}

func (p channelPage) names() string {
	var names []string
	for _, c := range p.Channels {
		names = append(names, c.Channel)
	}
	return strings.Join(names, " ")
}

// join is a session of ann that follows a channel, and may stand for her there.
func (s *site) join(name string, enter bool) *hub.Session {
	s.t.Helper()
	session := s.hub.NewSession(&hub.Grant{App: "shop", Client: "ann", Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}, hub.SessionOptions{Transport: "test", Address: "192.0.2.7"}, hub.WakeFunc(func() {}))
	s.t.Cleanup(func() { session.Close(0) })
	if err := session.Reserve(0); err != nil {
		s.t.Fatal(err)
	}
	if err := session.Subscribe(name, hub.From{}, false, 0, func(hub.Position, hub.Deliver) (any, int) { return nil, 0 }); err != nil {
		s.t.Fatal(err)
	}
	if enter {
		if err := session.Enter(name, "", nil); err != nil {
			s.t.Fatal(err)
		}
	}
	return session
}

func TestChannels(t *testing.T) {
	s := open(t)
	if p := into[channelPage](t, s.do("GET", "/v1/channels", "")); len(p.Channels) != 0 || p.More || p.Channels == nil {
		t.Errorf("an empty server has %+v", p)
	}
	last := into[[]result](t, s.do("POST", messages, `[{"channel":"chat:1","data":"ab"},{"channels":["chat:2","chat:1","news","/"]}]`))[2]
	s.join("chat:1", true)
	s.join("chat:1", true)
	s.join("quiet:live", false)
	want := "/ chat:1 chat:2 news quiet:live"
	if p := into[channelPage](t, s.do("GET", "/v1/channels", "")); p.names() != want || p.More {
		t.Errorf("all: %+v", p)
	}
	got, after := []string{}, ""
	for {
		p := into[channelPage](t, s.do("GET", "/v1/channels?limit=2&after="+url.QueryEscape(after), ""))
		if got = append(got, p.names()); !p.More {
			break
		}
		after = p.Channels[len(p.Channels)-1].Channel
	}
	if strings.Join(got, " ") != want || len(got) != 3 {
		t.Errorf("by two: %q", got)
	}
	p := into[channelPage](t, s.do("GET", "/v1/channels?prefix=chat:", ""))
	if p.names() != "chat:1 chat:2" {
		t.Errorf("by prefix: %+v", p)
	}
	wanted := channel{"chat:1", hub.Position{Epoch: last.Epoch, Offset: last.Offset}, 2, p.Channels[0].Bytes, 2, 1}
	if p.Channels[0] != wanted || wanted.Bytes < 4 {
		t.Errorf("got %+v, want %+v", p.Channels[0], wanted)
	}
	if one := into[channel](t, s.do("GET", "/v1/channels/chat:1", "")); one != wanted {
		t.Errorf("got %+v, want %+v", one, wanted)
	}
	if none := into[channel](t, s.do("GET", "/v1/channels/nothing", "")); none.Messages+none.Subscribers+none.Members > 0 {
		t.Errorf("a channel that nobody has used: %+v", none)
	}
}

func TestChannelsNeedAdmin(t *testing.T) {
	s := open(t)
	bearer := func(pattern string, actions hub.Action) string {
		return "Authorization: Bearer " + token(t, "ann", pattern, actions, time.Now().Add(time.Hour))
	}
	into[channelPage](t, s.do("GET", "/v1/channels?prefix=chat:1", "", bearer("chat:*", hub.ActionAdmin)))
	into[channel](t, s.do("GET", "/v1/channels/chat:1", "", bearer("chat:*", hub.ActionAdmin)))
	for path, header := range map[string]string{
		"/v1/channels":                bearer("chat:*", hub.ActionAdmin),
		"/v1/channels?prefix=chat":    bearer("chat:*", hub.ActionAdmin),
		"/v1/channels?prefix=c":       bearer("*", hub.AllActions&^hub.ActionAdmin),
		"/v1/channels?prefix=chat:":   bearer("chat:*:1", hub.ActionAdmin),
		"/v1/channels?prefix=chat:x":  bearer("chat:x", hub.ActionAdmin),
		"/v1/channels/public:news":    "Authorization: ",
		"/v1/channels/chat":           bearer("chat:*", hub.ActionAdmin),
		"/v1/channels?prefix=public:": "Authorization: ",
	} {
		wantProblem(t, s.do("GET", path, "", header), 403, hub.CodeForbidden, "admin")
	}
	wantProblem(t, s.do("GET", "/v1/channels?limit=1001", ""), 400, hub.CodeBadRequest, "from 1 to 1000")
}

// TestManyChannels pages through more channels than one page has room for.
func TestManyChannels(t *testing.T) {
	s := open(t)
	const many, size = 5000, 500
	for n := 0; n < many; n += size {
		var body strings.Builder
		for i := range size {
			fmt.Fprintf(&body, `,{"channel":"many:%05d"}`, n+i)
		}
		into[[]result](t, s.do("POST", messages, "["+body.String()[1:]+"]"))
	}
	seen, after := 0, ""
	for more := true; more; {
		p := into[channelPage](t, s.do("GET", "/v1/channels?prefix=many:&limit=700&after="+after, ""))
		for _, c := range p.Channels {
			if c.Channel != fmt.Sprintf("many:%05d", seen) || c.Messages != 1 {
				t.Fatalf("%d is %+v", seen, c)
			}
			seen++
		}
		more, after = p.More, p.Channels[len(p.Channels)-1].Channel
	}
	if seen != many {
		t.Errorf("saw %d of %d", seen, many)
	}
}
