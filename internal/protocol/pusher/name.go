package pusher

import (
	"regexp"
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

const (
	// serverToUser is the prefix of the channels that are followed by one user's own connections.
	serverToUser = "#server-to-user-"
	// online is the prefix of the channels whose only member is a user who has signed in. They carry no messages.
	online = "#online-"
)

// Pusher's own limits.
const (
	strictNameBytes   = 164
	strictEventBytes  = 200
	strictDataBytes   = 10 << 10
	strictBatch       = 10
	strictMembers     = 100
	strictMemberBytes = 1 << 10
	strictUserIDBytes = 128
)

// kind is what a channel's name says of it.
type kind struct {
	signed    bool // following it needs a signature
	presence  bool
	encrypted bool
	cache     bool
	user      bool // one user's
}

var prefixes = []struct {
	prefix string
	kind   kind
}{ // the longer before those that they begin with
	{"private-encrypted-cache-", kind{signed: true, encrypted: true, cache: true}},
	{"private-encrypted-", kind{signed: true, encrypted: true}},
	{"private-cache-", kind{signed: true, cache: true}},
	{"private-", kind{signed: true}},
	{"presence-cache-", kind{signed: true, presence: true, cache: true}},
	{"presence-", kind{signed: true, presence: true}},
	{"cache-", kind{cache: true}},
	{serverToUser, kind{user: true}},
}

func kindOf(name string) kind {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p.prefix) {
			return p.kind
		}
	}
	return kind{}
}

var strictName = regexp.MustCompile(`^(#server-to-user-)?[A-Za-z0-9_\-=@,.;]+$`)

// checkName says what is wrong with a channel's name. Those that begin with '#' are the server's, but for serverToUser. The rest is the hub's to say.
func (a *app) checkName(name string) *hub.Error {
	switch {
	case strings.HasPrefix(name, "#") && !strings.HasPrefix(name, serverToUser),
		a.StrictLimits && (len(name) > strictNameBytes || !strictName.MatchString(name)):
		return hub.Errorf(hub.CodeBadRequest, "Invalid channel name %q", clip(name))
	}
	return nil
}

// reserved says of an event's name that it means something to clients of this protocol, so that nobody may publish it.
func reserved(event string) bool {
	return strings.HasPrefix(event, "pusher:") || strings.HasPrefix(event, "pusher_internal:")
}

// socketID is the form of a connection's id, which libraries check.
var socketID = regexp.MustCompile(`\A\d+\.\d+\z`)

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// shownBytes is how much of a client's string an error text repeats.
const shownBytes = 200

// clip makes a client's string fit for an error text.
func clip(s string) string {
	if len(s) > shownBytes {
		s = s[:shownBytes] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
