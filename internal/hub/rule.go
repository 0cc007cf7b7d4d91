package hub

import (
	"strings"
	"time"
)

// Deliver says what a cursor that is behind gets.
type Deliver uint8

const (
	// DeliverAll is every message.
	DeliverAll Deliver = iota
	// DeliverLatest lets a cursor that is behind jump to the newest message. For tickers, where only the last value counts.
	DeliverLatest
)

// PublishBy says who may publish to a channel.
type PublishBy uint8

const (
	// PublishByGrant is whoever's grant allows it.
	PublishByGrant PublishBy = iota
	// PublishByServer is only app keys, whatever a client's grant says.
	PublishByServer
	// PublishBySubscriber is also clients that may subscribe.
	PublishBySubscriber
)

// Rule says how the channels that match a pattern behave. The first rule that matches a channel counts.
type Rule struct {
	// Pattern is a glob as Match takes it.
	Pattern string
	Keep    Retention
	Deliver Deliver
	// NoPresence turns presence off.
	NoPresence bool
	Publish    PublishBy
	// Public channels may be subscribed to and read without a grant.
	Public bool
}

// DefaultRule is for channels that no rule matches.
var DefaultRule = Rule{
	Pattern: "*",
	Keep:    Retention{Store: StoreDisk, Messages: 100_000, Age: 24 * time.Hour, Bytes: 64 << 20},
}

// Match reports whether a channel name matches a glob: '*' stands for any run of characters, also none, also across
// separators; every other character for itself.
func Match(pattern, name string) bool {
	prefix, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	if !strings.HasPrefix(name, prefix) {
		return false
	}
	name = name[len(prefix):]
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], after
	}
}

// App is a tenant: its rules and limits. Its keys belong to the auth room.
type App struct {
	ID    string
	Rules []Rule
}

// RuleFor returns the first rule that matches, or DefaultRule. It is shared: nobody may change it.
func (a *App) RuleFor(name string) *Rule {
	for i := range a.Rules {
		if r := &a.Rules[i]; Match(r.Pattern, name) {
			return r
		}
	}
	return &DefaultRule
}
