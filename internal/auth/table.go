package auth

import (
	"fmt"
	"slices"

	"github.com/snoserver/sno/internal/hub"
)

// table is what an Authenticator knows. It is replaced as a whole.
type table struct {
	apps    map[string]*App
	hooks   map[string]*hooks // by app
	keys    map[string]ownedKey
	issuers map[string][]*issuer // by the iss of their tokens
	sets    map[string]*keySet   // by URL
	// anonymous are the grants of clients that show nothing, by app: one for all of them, for there are many.
	anonymous map[string]*hub.Grant
}

type ownedKey struct {
	Key
	app         *App
	now, before *macs // of Secret and Previous
}

// newTable checks apps. Key sets of the table before are kept: a reload must not forget keys that cannot be fetched just now.
func (a *Authenticator) newTable(apps []App, before *table) (*table, error) {
	t := &table{apps: map[string]*App{}, hooks: map[string]*hooks{}, keys: map[string]ownedKey{}, issuers: map[string][]*issuer{}, sets: map[string]*keySet{}, anonymous: map[string]*hub.Grant{}}
	for _, app := range apps {
		if err := t.add(&app); err != nil {
			return nil, err
		}
		t.hooks[app.ID] = newHooks(app.Hooks, before.hooksOf(app.ID))
		t.anonymous[app.ID] = a.client(t, &app, &hub.Grant{Allow: app.Anonymous})
		for _, i := range app.Issuers {
			if err := t.addIssuer(&app, i, func(url string) *keySet { return a.keySet(t, before, url) }); err != nil {
				return nil, fmt.Errorf("app %q: %w", app.ID, err)
			}
		}
	}
	return t, nil
}

func (t *table) add(app *App) error {
	if err := app.check(); err != nil {
		return err
	}
	if t.apps[app.ID] != nil {
		return fmt.Errorf("app id %q is used twice", app.ID)
	}
	t.apps[app.ID] = app
	for _, key := range app.Keys {
		if err := key.check(); err != nil {
			return fmt.Errorf("app %q: %w", app.ID, err)
		}
		if first, twice := t.keys[key.ID]; twice {
			return fmt.Errorf("app %q: key id %q is used already, in app %q; key ids are unique over all apps", app.ID, key.ID, first.app.ID)
		}
		t.keys[key.ID] = ownedKey{key, app, newMACs(key.Secret), newMACs(key.Previous)}
	}
	return nil
}

func (t *table) addIssuer(app *App, i Issuer, fetched func(url string) *keySet) error {
	if err := i.Check(); err != nil {
		return err
	}
	// Which app a token is for must follow from what it says.
	for _, other := range t.issuers[i.Name] {
		if other.Audience == i.Audience || other.Audience == "" || i.Audience == "" {
			return fmt.Errorf("issuer %q is there already, in app %q; several need an audience each, and no two the same", i.Name, other.app.ID)
		}
	}
	made := &issuer{Issuer: i, app: app}
	if i.JWKS != "" {
		made.set = fetched(i.JWKS)
	} else {
		made.keys, _ = parsePEM(i.Alg, i.PublicKeys) // Check has seen them
	}
	t.issuers[i.Name] = append(t.issuers[i.Name], made)
	return nil
}

// keySet is the one of a URL: several issuers may share it.
func (a *Authenticator) keySet(t, before *table, url string) *keySet {
	set := t.sets[url]
	if set == nil && before != nil {
		set = before.sets[url]
	}
	if set == nil {
		set = &keySet{url: url, auth: a}
	}
	t.sets[url] = set
	return set
}

func (t *table) hooksOf(app string) *hooks {
	if t == nil {
		return nil
	}
	return t.hooks[app]
}

// app is the app of an id, or the only one.
func (t *table) app(id string) (*App, error) {
	if app, ok := t.apps[id]; ok {
		return app, nil
	}
	if id != "" {
		return nil, hub.Errorf(hub.CodeUnauthorized, "there is no app %q on this server", clip(id))
	}
	for _, only := range t.apps {
		if len(t.apps) == 1 {
			return only, nil
		}
	}
	return nil, hub.Errorf(hub.CodeUnauthorized, "send an app key (Basic) or a token (Bearer); an anonymous client has to name its app, as this server has %d", len(t.apps))
}

// issuer is the one that a token says it is from.
func (t *table) issuer(c *wireClaims) (*issuer, error) {
	from := t.issuers[c.Issuer]
	if len(from) == 0 {
		return nil, hub.Errorf(hub.CodeUnauthorized, "the token's iss is %q; this server has no issuer of that name", clip(c.Issuer))
	}
	for _, i := range from {
		if i.Audience == "" || slices.Contains(c.Audience, i.Audience) {
			return i, nil
		}
	}
	return nil, hub.Errorf(hub.CodeUnauthorized, "the token's aud is %q, which no app of this server has for this issuer", clip(fmt.Sprint([]string(c.Audience))))
}
