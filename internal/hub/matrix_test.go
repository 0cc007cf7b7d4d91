package hub_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/snoserver/sno/internal/hub"
)

// paths are all ways by which a session can do something to the channel "c".
var paths = []struct {
	name string
	do   func(*testing.T, *hub.Hub, *client) error
}{
	{"subscribe", func(_ *testing.T, _ *hub.Hub, c *client) error { return c.trySubscribe("c", hub.From{}, false) }},
	{"resume", func(t *testing.T, h *hub.Hub, c *client) error {
		return c.trySubscribe("c", hub.From{After: &hub.Position{Epoch: head(t, h).Epoch}}, false)
	}},
	{"rewind", func(_ *testing.T, _ *hub.Hub, c *client) error { return c.trySubscribe("c", hub.From{Last: 1}, false) }},
	{"cursor", func(t *testing.T, h *hub.Hub, c *client) error {
		token, err := hub.EncodeCursors(hub.Cursors{{Channel: "c", Cursor: hub.Cursor{Position: head(t, h)}}})
		if err != nil {
			t.Fatal(err)
		}
		cursors, err := hub.DecodeCursors(token)
		if err != nil {
			t.Fatal(err)
		}
		at := cursors.Of("c").Position
		return c.trySubscribe("c", hub.From{After: &at}, false)
	}},
	{"follow", func(_ *testing.T, _ *hub.Hub, c *client) error { return c.trySubscribe("c", hub.From{}, true) }},
	{"history", func(t *testing.T, h *hub.Hub, c *client) error {
		_, err := h.History(t.Context(), c.Grant(), "c", hub.Query{Last: 1, Limit: 1})
		return err
	}},
	{"members", func(_ *testing.T, h *hub.Hub, c *client) error {
		_, _, err := h.Members(c.Grant(), "c")
		return err
	}},
	{"enter", func(_ *testing.T, _ *hub.Hub, c *client) error { return c.Enter("c", "", nil) }},
	{"publish", func(t *testing.T, h *hub.Hub, c *client) error { return publishAs(t, h, c, "c") }},
	{"ephemeral", func(t *testing.T, h *hub.Hub, c *client) error {
		_, err := h.PublishWait(t.Context(), c.Grant(), []hub.Publication{{Channels: []string{"c"}, Data: []byte("1"), Ephemeral: true}})
		return err
	}},
	{"publish to many", func(t *testing.T, h *hub.Hub, c *client) error { return publishAs(t, h, c, "mine", "c") }},
}

func publishAs(t *testing.T, h *hub.Hub, c *client, channels ...string) error {
	_, err := h.PublishWait(t.Context(), c.Grant(), []hub.Publication{{Channels: channels, Data: []byte("1")}})
	return err
}

func head(t *testing.T, h *hub.Hub) hub.Position {
	t.Helper()
	page, err := h.History(t.Context(), backend, "c", hub.Query{Last: 1, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return page.Head
}

// TestMatrix asks on every path whether it is allowed, by every kind of grant. What is refused leaves nothing behind.
func TestMatrix(t *testing.T) {
	const reading, everything = "subscribe resume rewind cursor", "subscribe resume rewind cursor follow history members enter publish ephemeral publish-to-many"
	on := func(pattern string, a hub.Action) []hub.Allow {
		return []hub.Allow{{Pattern: pattern, Actions: a}, {Pattern: "mine", Actions: hub.ActionPublish}}
	}
	for _, test := range []struct {
		name    string
		allow   []hub.Allow
		rule    hub.Rule
		allowed string
	}{
		{"nothing", nil, hub.Rule{}, ""},
		{"everything by name", on("c", hub.AllActions), hub.Rule{}, everything},
		{"everything by pattern", on("*", hub.AllActions), hub.Rule{}, everything},
		{"everything elsewhere", on("c:*", hub.AllActions), hub.Rule{}, ""},
		{"everything in capitals", on("C", hub.AllActions), hub.Rule{}, ""},
		{"subscribe", on("c", hub.ActionSubscribe), hub.Rule{}, reading},
		{"history", on("c", hub.ActionHistory), hub.Rule{}, "history"},
		{"presence", on("c", hub.ActionPresence), hub.Rule{}, "members enter"},
		{"publish", on("c", hub.ActionPublish), hub.Rule{}, "publish ephemeral publish-to-many"},
		{"admin", on("c", hub.ActionAdmin), hub.Rule{}, ""},
		{"subscribe and presence", on("c", hub.ActionSubscribe|hub.ActionPresence), hub.Rule{}, reading + " follow members enter"},
		{"nothing, public rule", nil, hub.Rule{Public: true}, reading + " history"},
		{"presence, public rule", on("c", hub.ActionPresence), hub.Rule{Public: true}, reading + " history follow members enter"},
		{"everything, publish by servers", on("c", hub.AllActions), hub.Rule{Publish: hub.PublishByServer}, reading + " follow history members enter"},
		{"nothing, publish by servers, public", nil, hub.Rule{Publish: hub.PublishByServer, Public: true}, reading + " history"},
		{"subscribe, publish by subscribers", on("c", hub.ActionSubscribe), hub.Rule{Publish: hub.PublishBySubscriber}, reading + " publish ephemeral publish-to-many"},
		{"history, publish by subscribers", on("c", hub.ActionHistory), hub.Rule{Publish: hub.PublishBySubscriber}, "history"},
		{"everything, no presence", on("c", hub.AllActions), hub.Rule{NoPresence: true}, reading + " history publish ephemeral publish-to-many"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.rule.Pattern, test.rule.Keep = "c", hub.DefaultRule.Keep
			grant := &hub.Grant{App: "a", Client: "ann", Allow: test.allow}
			expect(t, test.rule, test.allowed, func(h *hub.Hub) *client { return connect(t, h, grant) })
			expect(t, test.rule, test.allowed, func(h *hub.Hub) *client { return narrowed(t, h, grant) })
		})
	}
}

// narrowed is a session that was allowed everything, did everything, and has been given another grant since.
func narrowed(t *testing.T, h *hub.Hub, g *hub.Grant) *client {
	c := connect(t, h, &hub.Grant{App: g.App, Client: g.Client, Allow: backend.Allow})
	if err := c.trySubscribe("c", hub.From{}, false); err != nil {
		t.Fatal(err)
	}
	if err := c.SetGrant(g); err != nil {
		t.Fatal(err)
	}
	return c
}

// expect goes all paths, each by a session of its own, and checks which of them are open.
func expect(t *testing.T, rule hub.Rule, allowed string, session func(*hub.Hub) *client) {
	t.Helper()
	h := open(t, rule)
	publishN(t, h, "c", 1)
	for _, path := range paths {
		before := head(t, h)
		err := path.do(t, h, session(h))
		want := slices.Contains(strings.Fields(allowed), strings.ReplaceAll(path.name, " ", "-"))
		if (err == nil) != want || err != nil && code(err) != hub.CodeForbidden {
			t.Errorf("%s: got %v, want allowed %t", path.name, err, want)
		}
		if after := head(t, h); err != nil && after != before {
			t.Errorf("%s was refused, and yet the channel went from %v to %v", path.name, before, after)
		}
	}
}
