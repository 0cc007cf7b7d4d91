package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// Authenticator turns credentials into grants. Its errors are *hub.Error. Safe for concurrent use.
type Authenticator struct {
	// Log is told what goes wrong between this server and others. It may be set before the first use; nil: nobody is told.
	Log *slog.Logger
	// Peer says where a request comes from and how it reached this server, as trusted proxies in front say. It may be set before the first use; default: what
	// the connection itself shows.
	Peer func(*http.Request) Peer

	table atomic.Pointer[table]
	now   func() time.Time
}

// Peer is the other end of a request.
type Peer struct {
	Address      string
	Scheme, Host string // that the client has asked for
}

func (a *Authenticator) peer(r *http.Request) Peer {
	switch {
	case a.Peer != nil:
		return a.Peer(r)
	case r.TLS != nil:
		return Peer{r.RemoteAddr, "https", r.Host}
	}
	return Peer{r.RemoteAddr, "http", r.Host}
}

// New makes an Authenticator for apps. What SetApps would refuse is an error.
func New(apps []App) (*Authenticator, error) {
	a := &Authenticator{now: time.Now}
	return a, a.SetApps(apps)
}

// SetApps replaces all apps, or none if there is an error: an id that is used twice or malformed, an empty secret, an issuer without keys. Grants that were
// given before stay what they are until they end.
func (a *Authenticator) SetApps(apps []App) error {
	t, err := a.newTable(apps, a.table.Load())
	if err == nil {
		a.table.Store(t)
	}
	return err
}

// Key returns the grant of an app key: every action on every channel of its app, as a backend.
func (a *Authenticator) Key(id, secret string) (*hub.Grant, error) {
	key := a.table.Load().keys[id]
	// An unknown id takes as long as a wrong secret, and is answered by the same text.
	if !key.proves(secret) {
		return nil, hub.Errorf(hub.CodeUnauthorized, "%s", badKey(secret))
	}
	return key.grant(), nil
}

func (k ownedKey) grant() *hub.Grant {
	return &hub.Grant{App: k.app.ID, Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}
}

// badKey does not repeat the id: whoever has mixed the two up would find the secret in a log.
func badKey(secret string) string {
	if looksLikeToken(secret) {
		return "this is a client token where an app key's secret belongs; send it as Bearer"
	}
	return "there is no app key with this id and secret; check both"
}

// equal compares in a time that depends on neither the contents nor the lengths having anything in common.
func equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// Anonymous returns the grant of clients without a credential. An empty appID is the only app, when there is one.
func (a *Authenticator) Anonymous(appID string) (*hub.Grant, error) {
	t := a.table.Load()
	app, err := t.app(appID)
	if err != nil {
		return nil, err
	}
	return t.anonymousGrant(app)
}

func (t *table) anonymousGrant(app *App) (*hub.Grant, error) {
	if len(app.Anonymous) == 0 && !app.Public {
		return nil, hub.Errorf(hub.CodeUnauthorized, "app %q takes no anonymous clients; send an app key (Basic) or a token (Bearer)", app.ID)
	}
	return t.anonymous[app.ID], nil
}

// client makes a grant one of an app's clients.
func (a *Authenticator) client(t *table, app *App, g *hub.Grant) *hub.Grant {
	g.App, g.Grace = app.ID, app.grace()
	if h := t.hooks[app.ID]; h.subscribe != nil {
		g.Ask = a.asker(h, app.ID, g.Client)
	}
	return g
}

func (a *Authenticator) warn(text string, args ...any) {
	if a.Log != nil {
		a.Log.Warn(text, args...)
	}
}

// clip makes a client's string fit for an error text.
func clip(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	if !utf8.ValidString(s) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}
