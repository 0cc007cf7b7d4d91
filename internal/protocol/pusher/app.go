package pusher

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/snoserver/sno/internal/hub"
)

// DefaultClientEventRate is how many client events a connection may send in a second unless its app says otherwise: as many as with Pusher.
const DefaultClientEventRate = 10

// App is an app whose clients and backends may use this protocol.
type App struct {
	ID string
	// Keys are the ids of its keys.
	Keys []string
	// ClientEvents lets clients send events to each other.
	ClientEvents bool
	// ClientEventRate is how many of them a connection may send in a second. 0: DefaultClientEventRate.
	ClientEventRate int
	// SubscriptionCount tells clients how many follow their channels.
	SubscriptionCount bool
	// AuthorizedConnections ends connections that neither sign in nor subscribe to what needs a signature, in time.
	AuthorizedConnections bool
	// StrictLimits are Pusher's own, instead of the hub's.
	StrictLimits bool
}

// Signatures knows the secrets of the apps' keys.
type Signatures interface {
	// Signed says whether mac is an HMAC-SHA256 of text, in hex, by a secret of a key.
	Signed(key string, text []byte, mac string) bool
}

// Backends are told of what only this package knows. Nothing waits for them.
type Backends interface {
	// ClientEvent tells of an event that a client has sent to the others of a channel: data is a JSON value, member who it is in the channel, or empty.
	ClientEvent(ch hub.Channel, name string, data []byte, socket, member string)
	// CacheMiss tells that a client follows a cache channel that has nothing for it.
	CacheMiss(ch hub.Channel)
	// SubscriptionCount tells how many follow a channel, when that has changed.
	SubscriptionCount(ch hub.Channel, count int)
}

// Protocol makes handlers for connections, and serves the HTTP API. Safe for concurrent use.
type Protocol struct {
	Hub        *hub.Hub
	Signatures Signatures
	Backends   Backends
	Logger     *slog.Logger

	apps    atomic.Pointer[apps]
	sockets sync.Map // socket → *Handler, of those that are connected
	counts  counts
	replays replays
}

// socket names a connection.
type socket struct{ app, id string }

type apps struct{ byKey, byID map[string]*app }

// app is an App in force. It is replaced as a whole; connections keep the one that they began with.
type app struct {
	App
	// client is what a connection may do once this package has agreed, server what a backend may.
	client, server *hub.Grant
}

// SetApps replaces the apps that may use the protocol.
func (p *Protocol) SetApps(list []App) {
	t := &apps{byKey: map[string]*app{}, byID: map[string]*app{}}
	for _, one := range list {
		if one.ClientEventRate == 0 {
			one.ClientEventRate = DefaultClientEventRate
		}
		a := &app{
			App:    one,
			client: &hub.Grant{App: one.ID, Allow: []hub.Allow{{Pattern: "*", Actions: hub.ActionSubscribe | hub.ActionPresence}}},
			server: &hub.Grant{App: one.ID, Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}},
		}
		t.byID[one.ID] = a
		for _, key := range one.Keys {
			t.byKey[key] = a
		}
	}
	p.apps.Store(t)
}

// signed says whether a signature of the form "key:mac" is of one of the app's keys.
func (p *Protocol) signed(a *app, auth string, text []byte) bool {
	key, mac, ok := cutLast(auth, ':')
	return ok && slices.Contains(a.Keys, key) && p.Signatures.Signed(key, text, mac)
}

// publisher is the grant of a client that sends events as a member, or as nobody.
func (a *app) publisher(member string) *hub.Grant {
	return &hub.Grant{App: a.ID, Client: member, Allow: []hub.Allow{{Pattern: "*", Actions: hub.ActionPublish}}}
}

// terminate ends the connections that are signed in as a user. They are told not to come back.
func (p *Protocol) terminate(a *app, user string) {
	why := hub.Errorf(hub.CodeRevoked, "the app has ended the connections of this user")
	p.sockets.Range(func(at, v any) bool {
		if h := v.(*Handler); at.(socket).app == a.ID && h.signedInAs() == user {
			h.session.Load().End(why)
		}
		return true
	})
}

// sessionOf is the id of the session of a socket, or empty.
func (p *Protocol) sessionOf(a *app, id string) string {
	if v, ok := p.sockets.Load(socket{a.ID, id}); ok {
		return v.(*Handler).session.Load().ID()
	}
	return ""
}
