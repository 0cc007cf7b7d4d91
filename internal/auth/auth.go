package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// MaxIDBytes is how long the id of an app or key may be.
const MaxIDBytes = 64

// App is what an Authenticator knows of an app.
type App struct {
	// ID is 1 to MaxIDBytes letters, digits, '_', '-' and '.'.
	ID   string
	Keys []Key
	// Anonymous is what clients without a credential may do; empty: nothing.
	Anonymous []hub.Allow
	// Public says that a rule of the app makes channels public: then clients without a credential get a grant, with Anonymous as all it allows.
	Public bool
}

// Key is an app key. Printing one shows its id only.
type Key struct {
	// ID is of the same form as an app's, and no other key of any app has it: the app follows from it.
	ID     string
	Secret string
}

// Format implements fmt.Formatter, so that no verb prints the secret.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "key %s", k.ID) }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue("key " + k.ID) }

// Authenticator turns credentials into grants. Its errors are *hub.Error. It does not change, so it is safe for concurrent use.
type Authenticator struct {
	apps map[string]App
	keys map[string]ownedKey
	now  func() time.Time
}

type ownedKey struct {
	Key
	app string
}

// New makes an Authenticator for apps. An id that is used twice or malformed and an empty secret are errors.
func New(apps []App) (*Authenticator, error) {
	a := &Authenticator{apps: map[string]App{}, keys: map[string]ownedKey{}, now: time.Now}
	for _, app := range apps {
		if err := a.add(app); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *Authenticator) add(app App) error {
	if err := CheckID(app.ID); err != nil {
		return fmt.Errorf("app id %w", err)
	}
	if _, twice := a.apps[app.ID]; twice {
		return fmt.Errorf("app id %q is used twice", app.ID)
	}
	a.apps[app.ID] = app
	for _, key := range app.Keys {
		if err := CheckID(key.ID); err != nil {
			return fmt.Errorf("app %q: key id %w", app.ID, err)
		}
		if first, twice := a.keys[key.ID]; twice {
			return fmt.Errorf("app %q: key id %q is used already, in app %q; key ids are unique over all apps", app.ID, key.ID, first.app)
		}
		if key.Secret == "" {
			return fmt.Errorf("app %q: key %q has no secret", app.ID, key.ID)
		}
		a.keys[key.ID] = ownedKey{key, app.ID}
	}
	return nil
}

// CheckID says what is wrong with the id of an app or key. Ids stand in URLs, Basic credentials ("id:secret") and file names, so they are plain.
func CheckID(id string) error {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r)
	}
	if id == "" || len(id) > MaxIDBytes || strings.ContainsFunc(id, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("%q is not allowed: use 1 to %d letters, digits, '_', '-' and '.'", clip(id), MaxIDBytes)
	}
	return nil
}

// Key returns the grant of an app key: every action on every channel of its app, as a backend.
func (a *Authenticator) Key(id, secret string) (*hub.Grant, error) {
	key, known := a.keys[id]
	// An unknown id takes as long as a wrong secret, and is answered by the same text.
	if !equal(key.Secret, secret) || !known {
		return nil, hub.Errorf(hub.CodeUnauthorized, "%s", badKey(secret))
	}
	return &hub.Grant{App: key.app, Server: true, Allow: []hub.Allow{{Pattern: "*", Actions: hub.AllActions}}}, nil
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
	app, err := a.app(appID)
	if err != nil {
		return nil, err
	}
	if len(app.Anonymous) == 0 && !app.Public {
		return nil, hub.Errorf(hub.CodeUnauthorized, "app %q takes no anonymous clients; send an app key (Basic) or a token (Bearer)", app.ID)
	}
	return &hub.Grant{App: app.ID, Allow: app.Anonymous}, nil
}

func (a *Authenticator) app(id string) (App, error) {
	if app, ok := a.apps[id]; ok {
		return app, nil
	}
	if id != "" {
		return App{}, hub.Errorf(hub.CodeUnauthorized, "there is no app %q on this server", clip(id))
	}
	if len(a.apps) != 1 {
		return App{}, hub.Errorf(hub.CodeUnauthorized, "send an app key (Basic) or a token (Bearer); an anonymous client has to name its app, as this server has %d", len(a.apps))
	}
	for _, only := range a.apps {
		return only, nil
	}
	panic("unreachable")
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
