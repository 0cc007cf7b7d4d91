package hub_test

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/snoserver/sno/internal/hub"
)

func TestNarrowerGrantEndsSubscriptions(t *testing.T) {
	h := open(t)
	wide := &hub.Grant{App: "a", Client: "ann", Allow: backend.Allow}
	c := connect(t, h, wide)
	c.subscribe(t, "secret", hub.From{})
	c.subscribe(t, "open", hub.From{})
	if err := c.Enter("secret", "", nil); err != nil {
		t.Fatal(err)
	}
	narrow := &hub.Grant{App: "a", Client: "ann", Allow: []hub.Allow{{Pattern: "open", Actions: hub.AllActions}}}
	if err := c.SetGrant(narrow); err != nil {
		t.Fatal(err)
	}
	publish(t, h, hub.Publication{Channels: []string{"secret", "open"}})
	events := c.events(t, 2)
	if events[0].Kind != hub.EventUnsubscribed || events[0].Channel != "secret" || events[1].Channel != "open" {
		t.Errorf("after a narrower grant came %v", events)
	}
	if members, _, _ := h.Members(backend, "secret"); len(members) != 0 {
		t.Errorf("%v is still a member", members)
	}
	if err := c.SetGrant(&hub.Grant{App: "a", Client: "bob"}); err == nil {
		t.Error("the session took another client's grant")
	}
}

// A session lives for the grace behind its token's end, and longer when a fresh token comes within it.
func TestExpiryEndsTheSessionAfterTheGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		start := time.Now()
		grant := func(end time.Duration) *hub.Grant {
			return &hub.Grant{App: "a", Client: "ann", Expires: start.Add(end), Grace: 10 * time.Second}
		}
		late, renewed := connect(t, h, grant(time.Minute)), connect(t, h, grant(time.Minute))
		time.Sleep(70*time.Second - 1)
		for _, c := range []*client{late, renewed} {
			if events := drain(c); len(events) != 0 {
				t.Fatalf("within the grace came %v", events)
			}
		}
		if err := renewed.SetGrant(grant(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		ended(t, late)
		if events := drain(renewed); len(events) != 0 {
			t.Fatalf("with a fresh token came %v", events)
		}
		time.Sleep(time.Minute)
		ended(t, renewed)
	})
}

// Each of a crowd ends at its own time, whatever the others do: some never, some earlier or later than they first were to, and some are gone before.
func TestExpiryOfACrowd(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type one struct{ end, renewed, closed int } // in seconds; 0: never
		crowd := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) one {
			second := rapid.IntRange(0, 20)
			return one{second.Draw(r, "end"), second.Draw(r, "renewed"), second.Draw(r, "closed")}
		}), 1, 20).Draw(r, "crowd")
		synctest.Test(t, func(t *testing.T) {
			h := open(t)
			start := time.Now()
			grant := func(end int) *hub.Grant {
				g := &hub.Grant{App: "a", Client: "ann"}
				if end > 0 {
					g.Expires = start.Add(time.Duration(end) * time.Second)
				}
				return g
			}
			clients, want := make([]*client, len(crowd)), make([]int, len(crowd))
			for i, o := range crowd {
				clients[i], want[i] = connect(t, h, grant(o.end)), o.end
				if o.renewed%2 == 1 {
					want[i] = o.renewed
					if err := clients[i].SetGrant(grant(o.renewed)); err != nil {
						t.Fatal(err)
					}
				}
			}
			gone := make([]bool, len(crowd))
			for second := range 22 {
				synctest.Wait()
				for i, o := range crowd {
					switch {
					case gone[i]:
					case want[i] > 0 && want[i] == second-1: // it was in the second that has passed
						ended(t, clients[i])
						gone[i] = true
					case o.closed == second:
						clients[i].Close(0)
						gone[i] = true
					case want[i] != second: // else it may be a moment later
						if events := drain(clients[i]); len(events) != 0 {
							t.Fatalf("client %d of %+v got %v after %d s", i, crowd, events, second)
						}
					}
				}
				time.Sleep(time.Second)
			}
		})
	})
}

func ended(t *testing.T, c *client) {
	t.Helper()
	events := drain(c)
	if len(events) != 1 || events[0].Kind != hub.EventEnd || events[0].Detail.Err.Code != hub.CodeTokenExpired {
		t.Fatalf("the end was %+v", events)
	}
}

// What others see of a member is what its token says, whatever its client would like them to see.
func TestMemberDataOfTheToken(t *testing.T) {
	h := open(t)
	grant := func(data string) *hub.Grant {
		return &hub.Grant{App: "a", Client: "ann", Allow: backend.Allow, Member: []byte(data)}
	}
	c := connect(t, h, grant(`{"name":"Ann"}`))
	check := func(want string) {
		t.Helper()
		members, _, err := h.Members(backend, "c")
		if err != nil || len(members) != 1 || string(members[0].Data) != want {
			t.Errorf("got %v, %v, want %s", members, err, want)
		}
	}
	if err := c.Enter("c", "", []byte(`{"name":"Admin"}`)); code(err) != hub.CodeForbidden {
		t.Errorf("other data was answered by %v", err)
	}
	for _, same := range []string{"", `{"name":"Ann"}`} {
		data := []byte(same)
		if same == "" {
			data = nil
		}
		if err := c.Enter("c", "", data); err != nil {
			t.Fatal(err)
		}
		check(`{"name":"Ann"}`)
	}
	if err := c.SetGrant(grant(`{"name":"Ann B."}`)); err != nil {
		t.Fatal(err)
	}
	check(`{"name":"Ann B."}`)
}

func code(err error) hub.Code {
	shown, _ := hub.Show(err)
	return shown.Code
}
