package hub_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/store/local"
)

// restartable is a hub that can be opened again on its log.
type restartable struct {
	*hub.Hub
	disk vfs.FS
}

func (r *restartable) open(t interface{ Fatal(...any) }) {
	var err error
	r.Hub, err = hub.New(hub.Options{Open: func(s hub.Sink) (hub.Log, error) { return local.Open(local.Options{Dir: "data", FS: r.disk, Sink: s}) }})
	if err != nil {
		t.Fatal(err)
	}
	r.SetApps([]hub.App{{ID: "a"}, {ID: "b"}})
}

// TestRevocations holds what is refused against a model: through any sequence of revocations in two apps, and restarts.
func TestRevocations(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := &restartable{disk: vfs.NewMem()}
		h.open(r)
		defer func() {
			if err := h.Close(); err != nil {
				r.Error(err)
			}
		}()
		type key struct{ app, kind, id string }
		model := map[key]time.Time{}
		names := rapid.SampledFrom([]string{"", "ann", "bob", "t1", "t2"})
		apps := rapid.SampledFrom([]string{"a", "b"})
		r.Repeat(map[string]func(*rapid.T){
			"revoke": func(r *rapid.T) {
				app, name, byID := apps.Draw(r, "app"), names.Draw(r, "name"), rapid.Bool().Draw(r, "by id")
				admin, which, k := *backend, hub.Revocation{Client: name}, key{app, "client", name}
				if byID {
					which, k = hub.Revocation{TokenID: name}, key{app, "token", name}
				}
				admin.App = app
				before := time.Now()
				err := h.Revoke(t.Context(), &admin, which)
				if name == "" {
					if codeOf(err) != hub.CodeBadRequest {
						r.Fatalf("revoking nothing: %v", err)
					}
					return
				}
				if err != nil {
					r.Fatal(err)
				}
				model[k] = before
			},
			"restart": func(r *rapid.T) {
				if err := h.Close(); err != nil {
					r.Fatal(err)
				}
				h.open(r)
			},
			"use": func(r *rapid.T) {
				g := &hub.Grant{
					App: apps.Draw(r, "app"), Client: names.Draw(r, "client"), TokenID: names.Draw(r, "token"),
					Issued: time.Now().Add(time.Duration(2*rapid.IntRange(-2, 1).Draw(r, "issued")+1) * time.Hour), Allow: backend.Allow,
				}
				at, byClient := model[key{g.App, "client", g.Client}]
				_, byID := model[key{g.App, "token", g.TokenID}]
				want := hub.Code(0)
				if byID || byClient && g.Issued.Before(at) {
					want = hub.CodeRevoked
				}
				if _, _, err := h.Members(g, "c"); codeOf(err) != want {
					r.Fatalf("%+v: got %v, want code %d", g, err, want)
				}
			},
		})
	})
}

// ending waits for a session's end and returns its code.
func (c *client) ending(t *testing.T) hub.Code {
	t.Helper()
	deadline := time.After(patience)
	for {
		events, more := c.Pull(nil, 1<<20)
		for _, e := range events {
			if e.Kind == hub.EventEnd {
				return e.Detail.Err.Code
			}
		}
		if more {
			continue
		}
		select {
		case <-c.wake:
		case <-deadline:
			t.Fatal("the session does not end")
		}
	}
}

func TestRevokingEndsSessions(t *testing.T) {
	h := open(t)
	anns := func(id string, issued time.Time) *hub.Grant {
		return &hub.Grant{App: "a", Client: "ann", TokenID: id, Issued: issued, Allow: backend.Allow}
	}
	hourAgo, soon := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	byID, byClient, fresh := connect(t, h, anns("1", hourAgo)), connect(t, h, anns("2", hourAgo)), connect(t, h, anns("3", soon))
	bob := connect(t, h, &hub.Grant{App: "a", Client: "bob", Issued: hourAgo})
	revoke := func(r hub.Revocation) {
		t.Helper()
		if err := h.Revoke(t.Context(), backend, r); err != nil {
			t.Fatal(err)
		}
	}
	revoke(hub.Revocation{TokenID: "1"})
	if c := byID.ending(t); c != hub.CodeRevoked {
		t.Errorf("the session of the token ends with %d", c)
	}
	revoke(hub.Revocation{Client: "ann"})
	if c := byClient.ending(t); c != hub.CodeRevoked {
		t.Errorf("the session of the client ends with %d", c)
	}
	if c := connect(t, h, anns("2", hourAgo)).ending(t); c != hub.CodeRevoked {
		t.Errorf("a new session with the old token ends with %d", c)
	}
	if err := fresh.SetGrant(anns("2", hourAgo)); codeOf(err) != hub.CodeRevoked || fresh.ending(t) != hub.CodeRevoked {
		t.Errorf("the old token on a session that goes on: %v", err)
	}
	if err := bob.SetGrant(&hub.Grant{App: "a", Client: "bob"}); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}

func TestRevokeIsForAdministrators(t *testing.T) {
	h := open(t)
	for pattern, actions := range map[string]hub.Action{"*": hub.AllActions &^ hub.ActionAdmin, "chat:*": hub.AllActions} {
		g := &hub.Grant{App: "a", Client: "ann", Issued: time.Now(), Allow: []hub.Allow{{Pattern: pattern, Actions: actions}}}
		if err := h.Revoke(t.Context(), g, hub.Revocation{Client: "bob"}); codeOf(err) != hub.CodeForbidden {
			t.Errorf("%s on %s: %v", actions, pattern, err)
		}
	}
	for _, r := range []hub.Revocation{{}, {Client: "a", TokenID: "b"}, {Client: fmt.Sprintf("%0257d", 1)}} {
		if err := h.Revoke(t.Context(), backend, r); codeOf(err) != hub.CodeBadRequest {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// TestTokensThatLastTooLong are refused: nobody would remember that they have been revoked.
func TestTokensThatLastTooLong(t *testing.T) {
	h := open(t)
	now := time.Now()
	for _, test := range []struct {
		issued, expires time.Time
		want            hub.Code
	}{
		{now, now.Add(hub.MaxTokenLife), 0},
		{now, now.Add(hub.MaxTokenLife + time.Hour), hub.CodeUnauthorized},
		{now.Add(-hub.MaxTokenLife), now.Add(time.Hour), hub.CodeUnauthorized},
		{time.Time{}, now.Add(hub.MaxTokenLife), 0},
		{time.Time{}, now.Add(hub.MaxTokenLife + time.Hour), hub.CodeUnauthorized},
	} {
		g := &hub.Grant{App: "a", Client: "ann", Issued: test.issued, Expires: test.expires, Allow: backend.Allow}
		if _, _, err := h.Members(g, "c"); codeOf(err) != test.want {
			t.Errorf("issued %v, expires %v: %v", test.issued, test.expires, err)
		}
	}
}

// TestRevocationsCannotBeTouched: the channel that holds them is nobody's.
func TestRevocationsCannotBeTouched(t *testing.T) {
	h := open(t)
	if err := h.Revoke(t.Context(), backend, hub.Revocation{Client: "ann"}); err != nil {
		t.Fatal(err)
	}
	const name = "\x01revocations"
	if _, err := h.PublishWait(t.Context(), backend, []hub.Publication{{Channels: []string{name}, Data: []byte("{}")}}); codeOf(err) != hub.CodeBadRequest {
		t.Errorf("published: %v", err)
	}
	if _, err := h.History(t.Context(), backend, name, hub.Query{Limit: 1}); codeOf(err) != hub.CodeBadRequest {
		t.Errorf("read: %v", err)
	}
	if page, _, err := h.Channels(t.Context(), backend, "", "", 10); err != nil || len(page) != 0 {
		t.Errorf("listed: %+v, %v", page, err)
	}
}

// codeOf is 0 for no error.
func codeOf(err error) hub.Code {
	if err == nil {
		return 0
	}
	return code(err)
}
