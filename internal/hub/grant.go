package hub

import (
	"strings"
	"time"
)

// Action is something a grant can allow on a channel.
type Action uint8

// The actions there are.
const (
	ActionSubscribe Action = 1 << iota
	ActionPublish
	ActionPresence
	ActionHistory
	ActionAdmin
)

// AllActions is every action.
const AllActions = ActionSubscribe | ActionPublish | ActionPresence | ActionHistory | ActionAdmin

var actionNames = []struct {
	action Action
	name   string
}{{ActionSubscribe, "subscribe"}, {ActionPublish, "publish"}, {ActionPresence, "presence"}, {ActionHistory, "history"}, {ActionAdmin, "admin"}}

// ParseAction returns the action of that name.
func ParseAction(name string) (Action, bool) {
	for _, a := range actionNames {
		if a.name == name {
			return a.action, true
		}
	}
	return 0, false
}

// String lists the names of the actions in a, joined by commas.
func (a Action) String() string {
	var names []string
	for _, n := range actionNames {
		if a&n.action != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// Allow is one line of a grant: actions on the channels that match a pattern (as Match takes it).
type Allow struct {
	Pattern string
	Actions Action
}

// Grant is what a credential allows. It does not change once made; a session is given another instead.
type Grant struct {
	App string
	// Client is the id of the app's user; it is the publisher's client id and the member id. Empty for anonymous clients and backends.
	Client string
	// Server marks an app key: a backend, which may name other clients as members and publish where only servers may.
	Server bool
	Allow  []Allow
	// Member is the client's data in presence, one JSON object that its app's backend vouches for: it enters channels with this and no other. Nil: with its own.
	Member []byte
	// TokenID and Issued are the id of the token behind the grant and when it was made, by which it can be revoked; empty where the token does not say.
	TokenID string
	Issued  time.Time
	// Expires is when the grant ends; zero: never. A session goes on for the Grace, so that its client can bring a fresh token.
	Expires time.Time
	Grace   time.Duration
	// Ask, if set, is asked what the client may do on a channel that the grant does not let it subscribe to, when a session wants to.
	Ask Asker

	answers *answers // to Ask, of one session
}

// ends is when a session with the grant has to end; zero: never.
func (g *Grant) ends() time.Time {
	if g.Expires.IsZero() {
		return g.Expires
	}
	return g.Expires.Add(g.Grace)
}

// Authorise is asked before every action of every surface, and for each message path again when a grant or rule changes.
// The error is a *Error that names the action and the channel.
func (g *Grant) Authorise(a Action, name string, rule *Rule) error {
	if !g.allows(a, name, rule) {
		return Errorf(CodeForbidden, "%s on channel %q is not allowed by this grant; ask for a token that allows it", a, clip(name))
	}
	if a == ActionPresence && rule.NoPresence {
		return Errorf(CodeForbidden, "presence is off for channel %q by the rule %q", clip(name), rule.Pattern)
	}
	return nil
}

func (g *Grant) allows(a Action, name string, rule *Rule) bool {
	if a == ActionPublish && rule.Publish == PublishByServer && !g.Server {
		return false
	}
	if rule.Public && (a == ActionSubscribe || a == ActionHistory) {
		return true
	}
	for _, l := range g.Allow {
		if l.Actions&a != 0 && Match(l.Pattern, name) {
			return true
		}
	}
	if got, _ := g.answers.get(name); got.actions&a != 0 {
		return true
	}
	return a == ActionPublish && rule.Publish == PublishBySubscriber && g.allows(ActionSubscribe, name, rule)
}

// AuthoriseAll is Authorise for all channels that begin with prefix; the empty one is the whole app. Only a pattern of the form "…*" allows that.
func (g *Grant) AuthoriseAll(a Action, prefix string) error {
	for _, l := range g.Allow {
		begin, rest, star := strings.Cut(l.Pattern, "*")
		if star && rest == "" && l.Actions&a != 0 && strings.HasPrefix(prefix, begin) {
			return nil
		}
	}
	return Errorf(CodeForbidden, "%s on all channels that begin with %q is not allowed by this grant; use an app key, or a token that allows it", a, clip(prefix))
}

// clip shortens a client's string for an error text.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
