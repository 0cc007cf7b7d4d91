package hub

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"chat:*", "chat:1", true}, {"chat:*", "chat:", true}, {"chat:*", "chat", false}, {"*", "", true}, {"*", "a:b/c", true},
		{"a", "a", true}, {"a", "ab", false}, {"*a", "bba", true}, {"a*b*c", "abc", true}, {"a*b*c", "axbxbxc", true}, {"a*b*c", "ac", false},
		{"a*a", "a", false}, {"", "", true}, {"", "a", false}, {"**", "x", true}, {"a.c", "abc", false}, {"[a]", "a", false}, {"é*", "éa", true},
	} {
		if got := Match(test.pattern, test.name); got != test.want {
			t.Errorf("Match(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern, name := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern"), rapid.StringMatching(`[ab]{0,10}`).Draw(t, "name")
		want := regexp.MustCompile("^" + strings.ReplaceAll(pattern, "*", ".*") + "$").MatchString(name)
		if Match(pattern, name) != want {
			t.Fatalf("Match(%q, %q) is not %v", pattern, name, want)
		}
	})
}

func TestAuthorise(t *testing.T) {
	free, serverOnly, open := Rule{}, Rule{Publish: PublishByServer}, Rule{Publish: PublishBySubscriber}
	public, noPresence := Rule{Public: true}, Rule{NoPresence: true}
	nothing := &Grant{}
	reader := &Grant{Allow: []Allow{{"chat:*", ActionSubscribe}}}
	all := &Grant{Allow: []Allow{{"*", AllActions}}}
	server := &Grant{Server: true, Allow: all.Allow}
	for i, test := range []struct {
		grant  *Grant
		action Action
		name   string
		rule   Rule
		ok     bool
	}{
		{nothing, ActionSubscribe, "chat:1", free, false},
		{nothing, ActionSubscribe, "chat:1", public, true},
		{nothing, ActionHistory, "chat:1", public, true},
		{nothing, ActionPublish, "chat:1", public, false},
		{nothing, ActionPresence, "chat:1", public, false},
		{nothing, ActionPublish, "chat:1", open, false},
		{reader, ActionSubscribe, "chat:1", free, true},
		{reader, ActionSubscribe, "news", free, false},
		{reader, ActionHistory, "chat:1", free, false},
		{reader, ActionPublish, "chat:1", free, false},
		{reader, ActionPublish, "chat:1", open, true},
		{reader, ActionPublish, "news", open, false},
		{all, ActionPublish, "chat:1", free, true},
		{all, ActionPublish, "chat:1", serverOnly, false},
		{server, ActionPublish, "chat:1", serverOnly, true},
		{all, ActionPresence, "chat:1", free, true},
		{all, ActionPresence, "chat:1", noPresence, false},
	} {
		err := test.grant.Authorise(test.action, test.name, &test.rule)
		if (err == nil) != test.ok {
			t.Errorf("%d: %s on %s: %v", i, test.action, test.name, err)
		}
		if shown, ok := errors.AsType[*Error](err); err != nil && (!ok || shown.Code != CodeForbidden) {
			t.Errorf("%d: %v is not forbidden", i, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for i, c := range Codes {
		if i > 0 && Codes[i-1].Code >= c.Code {
			t.Errorf("code %d is not after %d", c.Code, Codes[i-1].Code)
		}
		if c.Code.String() != c.Name || c.Meaning == "" {
			t.Errorf("code %d has no name or meaning", c.Code)
		}
	}
}

func TestCursorTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cursor := rapid.Custom(func(t *rapid.T) Cursor {
			c := Cursor{Position: Position{rapid.SampledFrom([]string{"", "e1", "e2"}).Draw(t, "epoch"), rapid.Uint64Max(MaxOffset).Draw(t, "offset")}}
			if c.Presence = rapid.Bool().Draw(t, "presence"); c.Presence {
				c.Version = rapid.Uint64Max(MaxOffset).Draw(t, "version")
			}
			return c
		})
		want := rapid.MapOf(rapid.String(), cursor).Draw(t, "cursors")
		var cursors Cursors
		for name, at := range want { // in any order
			cursors.Put(name, Cursor{})
			cursors.Put(name+"!", at)
			cursors.Put(name, at)
		}
		for name := range want {
			if _, there := want[name+"!"]; !there {
				cursors.Remove(name + "!")
			} else {
				cursors.Put(name+"!", want[name+"!"])
			}
		}
		if len(cursors) != len(want) {
			t.Fatalf("%d cursors, not %d", len(cursors), len(want))
		}
		for name, at := range want {
			if got := cursors.Of(name); got == nil || *got != at {
				t.Fatalf("the cursor of %q is %v, not %v", name, got, at)
			}
		}
		token, err := EncodeCursors(cursors)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeCursors(token)
		if err != nil || !slices.Equal(back, cursors) {
			t.Fatalf("%v became %v, %v", cursors, back, err)
		}
		if again, _ := EncodeCursors(back); again != token {
			t.Fatalf("the same cursors gave %q and %q", token, again)
		}
	})
	var many Cursors
	for i := range MaxTokenChannels + 1 {
		many.Put(fmt.Sprint(i), Cursor{})
	}
	if _, err := EncodeCursors(many); err == nil {
		t.Error("a token of too many channels was made")
	}
}

func FuzzDecodeCursors(f *testing.F) {
	for _, cursors := range []Cursors{
		{}, {{"a", Cursor{Position: Position{"e", 1}}}}, {{"", Cursor{}}, {"a", Cursor{Position: Position{"e", 1}, Presence: true, Version: 7}}, {"b", Cursor{Position: Position{"f", MaxOffset}}}},
	} {
		token, err := EncodeCursors(cursors)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
		f.Add(token[1:])
	}
	f.Fuzz(func(t *testing.T, token string) {
		cursors, err := DecodeCursors(token)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%v is not to be shown", err)
			}
			return
		}
		back, err := EncodeCursors(cursors)
		if err != nil {
			t.Fatalf("decoded but not encoded: %v", err)
		}
		if again, err := DecodeCursors(back); err != nil || !slices.Equal(again, cursors) {
			t.Fatalf("%v became %v, %v", cursors, again, err)
		}
	})
}
