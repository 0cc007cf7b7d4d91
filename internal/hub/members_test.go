package hub

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestChangesLeadFromSnapshotToSnapshot compares followers that apply changes with a model that knows who is there.
func TestChangesLeadFromSnapshotToSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ch := Channel{"a", "c"}
		p := newMembers(time.Hour, func(Channel) {})
		stands := map[string]map[string]bool{} // member → sessions
		data := map[string]string{}
		seen, version := map[string]string{}, uint64(0)
		id := rapid.SampledFrom([]string{"ann", "bob", "cat"})
		session := rapid.SampledFrom([]string{"s1", "s2", "s3", "s4"})
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				m, s, d := id.Draw(t, "member"), session.Draw(t, "session"), rapid.SampledFrom([]string{"1", "2"}).Draw(t, "data")
				if err := p.Enter(ch, s, Member{ID: m, Data: []byte(d)}); err != nil {
					t.Fatal(err)
				}
				if stands[m] == nil {
					stands[m] = map[string]bool{}
				}
				stands[m][s], data[m] = true, d
			},
			"leave": func(t *rapid.T) {
				m, s := id.Draw(t, "member"), session.Draw(t, "session")
				p.Leave(ch, s, m)
				delete(stands[m], s)
			},
			"goodbye": func(t *rapid.T) {
				s := session.Draw(t, "session")
				p.Lost(s, 0)
				for _, sessions := range stands {
					delete(sessions, s)
				}
			},
			"follow": func(t *rapid.T) { version = follow(t, p, ch, seen, version) },
			"": func(t *rapid.T) {
				follower := maps.Clone(seen)
				follow(t, p, ch, follower, version)
				want := map[string]string{}
				for m, sessions := range stands {
					if len(sessions) > 0 {
						want[m] = data[m]
					}
				}
				if !maps.Equal(follower, want) {
					t.Fatalf("a follower sees %v, there are %v", follower, want)
				}
			},
		})
	})
}

func follow(t *rapid.T, p *members, ch Channel, seen map[string]string, version uint64) uint64 {
	changes, ok := p.Changes(ch, version)
	if !ok {
		all, v := p.Members(ch)
		clear(seen)
		for _, m := range all {
			seen[m.ID] = string(m.Data)
		}
		return v
	}
	for _, c := range changes {
		if c.Version != version+1 {
			t.Fatalf("change %d follows version %d", c.Version, version)
		}
		version = c.Version
		if _, there := seen[c.Member.ID]; there == (c.Event == MemberEntered) {
			t.Fatalf("event %d for %s, who was there: %v", c.Event, c.Member.ID, there)
		}
		seen[c.Member.ID] = string(c.Member.Data)
		if c.Event == MemberLeft {
			delete(seen, c.Member.ID)
		}
	}
	return version
}

func TestGrace(t *testing.T) {
	ch := Channel{"a", "c"}
	enter := func(p *members, session string) {
		if err := p.Enter(ch, session, Member{ID: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		do     func(p *members)
		events []PresenceEvent
	}{
		{"a goodbye leaves at once", func(p *members) { p.Lost("s1", 0) }, []PresenceEvent{MemberEntered, MemberLeft}},
		{"a lost session stays for the grace", func(p *members) {
			p.Lost("s1", time.Now().UnixMilli())
			time.Sleep(9 * time.Second)
		}, []PresenceEvent{MemberEntered}},
		{"and leaves after it", func(p *members) {
			p.Lost("s1", time.Now().UnixMilli())
			time.Sleep(11 * time.Second)
		}, []PresenceEvent{MemberEntered, MemberLeft}},
		{"the grace counts from the last sign of life", func(p *members) {
			p.Lost("s1", time.Now().Add(-35*time.Second).UnixMilli())
		}, []PresenceEvent{MemberEntered, MemberLeft}},
		{"a return within the grace is no change", func(p *members) {
			p.Lost("s1", time.Now().UnixMilli())
			time.Sleep(5 * time.Second)
			enter(p, "s2")
			time.Sleep(time.Minute)
		}, []PresenceEvent{MemberEntered}},
		{"the same session comes back", func(p *members) {
			p.Lost("s1", time.Now().UnixMilli())
			time.Sleep(5 * time.Second)
			enter(p, "s1")
			time.Sleep(time.Minute)
		}, []PresenceEvent{MemberEntered}},
		{"the same session comes back and is lost again", func(p *members) {
			p.Lost("s1", time.Now().UnixMilli())
			time.Sleep(8 * time.Second)
			enter(p, "s1")
			p.Lost("s1", time.Now().UnixMilli())
			time.Sleep(8 * time.Second)
			enter(p, "s1")
			time.Sleep(time.Minute)
		}, []PresenceEvent{MemberEntered}},
		{"another session keeps the member", func(p *members) {
			enter(p, "s2")
			p.Lost("s1", 0)
		}, []PresenceEvent{MemberEntered}},
		{"lost twice within the grace", func(p *members) {
			p.Lost("s1", time.Now().UnixMilli())
			enter(p, "s2")
			time.Sleep(8 * time.Second)
			p.Lost("s2", time.Now().UnixMilli())
			time.Sleep(8 * time.Second)
			enter(p, "s3")
			time.Sleep(time.Minute)
		}, []PresenceEvent{MemberEntered}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newMembers(10*time.Second, func(Channel) {})
				_, start := p.Members(ch)
				enter(p, "s1")
				test.do(p)
				synctest.Wait()
				changes, _ := p.Changes(ch, start)
				var events []PresenceEvent
				for _, c := range changes {
					events = append(events, c.Event)
				}
				if !slices.Equal(events, test.events) {
					t.Errorf("changes %v, want %v", events, test.events)
				}
			})
		})
	}
}

func TestMembersAreBounded(t *testing.T) {
	p := newMembers(time.Second, func(Channel) {})
	for i := range 5 * keptRosters {
		ch := Channel{"a", fmt.Sprint(i)}
		if err := p.Enter(ch, "s", Member{ID: "ann"}); err != nil {
			t.Fatal(err)
		}
		p.Leave(ch, "s", "ann")
	}
	if len(p.rosters) > keptRosters || len(p.sessions) > 0 {
		t.Errorf("%d rosters and %d sessions are kept when nobody is there", len(p.rosters), len(p.sessions))
	}
	for range 10 * keptChanges {
		if err := p.Enter(Channel{"a", "c"}, "s", Member{ID: "ann"}); err != nil {
			t.Fatal(err)
		}
		p.Leave(Channel{"a", "c"}, "s", "ann")
	}
	if n := len(p.rosters[Channel{"a", "c"}].changes); n > keptChanges {
		t.Errorf("%d changes are kept", n)
	}
}
