package api

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// ids are the ids of a page's messages, joined.
func (p page) ids() string {
	var ids []string
	for _, m := range p.Messages {
		ids = append(ids, m.ID)
	}
	return strings.Join(ids, " ")
}

func TestHistory(t *testing.T) {
	s := open(t)
	before := time.Now().Add(-time.Second)
	stored := into[[]result](t, s.do("POST", chat, `[{"id":"a"},{"id":"b"},{"id":"c"},{"id":"d"},{"id":"e"}]`))
	at := func(i int) string { return fmt.Sprintf("%s:%d", stored[i].Epoch, stored[i].Offset) }
	for _, test := range []struct {
		query, want string
		more        bool
		reset       string
	}{
		{"", "a b c d e", false, ""},
		{"limit=2", "a b", true, ""},
		{"after=" + at(1), "c d e", false, ""},
		{"after=" + at(1) + "&limit=1", "c", true, ""},
		{"after=" + at(4), "", false, ""},
		{fmt.Sprint("before=", stored[3].Offset), "a b c", false, ""},
		{fmt.Sprint("before=", stored[3].Offset, "&limit=2"), "b c", true, ""},
		{"last=2", "d e", false, ""},
		{"last=1000000", "a b c d e", false, ""},
		{"last=4&limit=1", "b", true, ""},
		{"since=10m", "a b c d e", false, ""},
		{"since=0s", "", false, ""},
		{fmt.Sprint("since=", before.UnixMilli()), "a b c d e", false, ""},
		{"since=" + url.QueryEscape(before.Format(time.RFC3339)), "a b c d e", false, ""},
		{"since=" + before.In(time.FixedZone("", 2*3600)).Format(time.RFC3339), "a b c d e", false, ""}, // '+' as people write it
		{"since=2100-01-01T00:00:00Z&app=shop", "", false, ""},
		{fmt.Sprintf("after=%s:%d", stored[0].Epoch, stored[4].Offset+1000), "", false, "ahead"},
		{"after=gone:1", "a b c d e", false, "epoch_changed"},
	} {
		t.Run(test.query, func(t *testing.T) {
			p := into[page](t, s.do("GET", chat+"?"+test.query, ""))
			if p.ids() != test.want || p.More != test.more || p.Reset != test.reset || p.Head.Offset != stored[4].Offset || p.Head.Epoch != stored[4].Epoch {
				t.Errorf("got %q, %+v", p.ids(), p)
			}
		})
	}
}

func TestHistoryOfNothingAndOfTheExpired(t *testing.T) {
	s := open(t)
	empty := into[page](t, s.do("GET", chat, ""))
	if empty.Messages == nil || len(empty.Messages) > 0 || empty.More || empty.Head.Epoch == "" {
		t.Errorf("got %+v", empty)
	}
	const short = "/v1/channels/short:1/messages"
	first := into[result](t, s.do("POST", short, `{"id":"a"}`))
	into[[]result](t, s.do("POST", short, `[{"id":"b"},{"id":"c"},{"id":"d"}]`))
	if p := into[page](t, s.do("GET", fmt.Sprintf("%s?after=%s:%d", short, first.Epoch, first.Offset), "")); p.Reset != "expired" || p.ids() != "c d" {
		t.Errorf("got %+v", p)
	}
}

func TestHistoryRefuses(t *testing.T) {
	s := open(t)
	for query, want := range map[string]string{
		"limt=1":                   `limt: there is no such parameter; did you mean "limit"?`,
		"Limit=1":                  `did you mean "limit"?`,
		"x=1":                      `x: there is no such parameter; there are after, before, last, since, limit, wait, app`,
		"limit=1&limit=2":          "limit stands there 2 times",
		"limit=0":                  `limit is "0"; it must be from 1 to 1000`,
		"limit=1001":               "from 1 to 1000",
		"limit=ten":                "from 1 to 1000",
		"limit=":                   "from 1 to 1000",
		"last=0":                   `last is "0"`,
		"last=-1":                  `last is "-1"`,
		"last=x":                   `last is "x"`,
		"before=0":                 `before is "0"`,
		"before=e:1":               "without the epoch",
		"before=9007199254740992":  "from 1 to 9007199254740991",
		"after=17":                 "epoch:offset",
		"after=":                   "epoch:offset",
		"after=:1":                 "epoch:offset",
		"after=e:":                 "epoch:offset",
		"after=e:-1":               "epoch:offset",
		"after=e:9007199254740992": "epoch:offset",
		"since=yesterday":          `since is "yesterday"`,
		"since=":                   `since is ""`,
		"last=1&since=1h":          "last and since exclude each other",
		"after=e:1&before=1":       "after and before exclude each other",
		"limit=%zz":                "query string is malformed",
		"a;b":                      "query string is malformed",
	} {
		wantProblem(t, s.do("GET", chat+"?"+query, ""), 400, hub.CodeBadRequest, want)
	}
}

func TestParametersOfPresence(t *testing.T) {
	s := open(t)
	wantProblem(t, s.do("GET", "/v1/channels/chat/presence?limit=1", ""), 400, hub.CodeBadRequest, "there are app")
}

func TestPresence(t *testing.T) {
	s := open(t)
	type presence struct {
		Members []struct {
			ID       string         `json:"id"`
			Data     map[string]any `json:"data"`
			Sessions int            `json:"sessions"`
		} `json:"members"`
		Version uint64 `json:"version"`
	}
	const path = "/v1/channels/chat/presence"
	if p := into[presence](t, s.do("GET", path, "")); p.Members == nil || len(p.Members) > 0 {
		t.Errorf("nobody: %+v", p)
	}
	for _, client := range []string{"bob", "ann", "ann"} {
		session := s.hub.NewSession(&hub.Grant{App: "shop", Client: client, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}, hub.SessionOptions{}, hub.WakeFunc(func() {}))
		t.Cleanup(func() { session.Close(0) })
		var data []byte
		if client == "ann" {
			data = []byte(`{"name":"Ann"}`)
		}
		if err := session.Enter("chat", "", data); err != nil {
			t.Fatal(err)
		}
	}
	p := into[presence](t, s.do("GET", path, "", "Authorization: Bearer "+token(t, "eve", "chat", hub.ActionPresence, time.Now().Add(time.Hour))))
	if len(p.Members) != 2 || p.Version == 0 {
		t.Fatalf("got %+v", p)
	}
	if ann := p.Members[0]; ann.ID != "ann" || ann.Sessions != 2 || ann.Data["name"] != "Ann" {
		t.Errorf("got %+v", ann)
	}
	if bob := p.Members[1]; bob.ID != "bob" || bob.Sessions != 1 || bob.Data != nil {
		t.Errorf("got %+v", bob)
	}
}

func FuzzQuery(f *testing.F) {
	for _, s := range []string{"after=k3x9:1207&limit=10", "before=1207", "last=10", "since=2d", "since=2026-11-22T11:20:00+02:00", "limit=%zz", "after=a:b:1", "after=a:1&wait=25", "wait=56"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, raw string) {
		params, err := parameters(raw, "after", "before", "last", "since", "limit", "wait")
		var q hub.Query
		if err == nil {
			q, err = parseQuery(params, now)
		}
		var wait time.Duration
		if err == nil {
			wait, err = parseWait(params)
		}
		if err != nil {
			if e, ok := errors.AsType[*hub.Error](err); !ok || len(e.Text) > 600 {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		ways := 0
		for _, set := range []bool{q.After != nil, q.Before > 0, q.Last > 0, !q.Since.IsZero()} {
			if set {
				ways++
			}
		}
		if ways > 1 || q.Limit < 1 || q.Limit > maxLimit || q.Before > hub.MaxOffset || q.After != nil && (q.After.Epoch == "" || q.After.Offset > hub.MaxOffset) || !reflect.DeepEqual(q.Keep, hub.Retention{}) ||
			wait < 0 || wait > maxWait || wait > 0 && q.After == nil {
			t.Fatalf("%q gives %+v, wait %v", raw, q, wait)
		}
	})
}
