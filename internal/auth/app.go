package auth

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/snoserver/sno/internal/hub"
)

// MaxIDBytes is how long the id of an app or key may be.
const MaxIDBytes = 64

// App is what an Authenticator knows of an app.
type App struct {
	// ID is 1 to MaxIDBytes letters, digits, '_', '-' and '.'.
	ID   string
	Keys []Key
	// Issuers sign tokens for the app's clients by keys of their own.
	Issuers []Issuer
	// Anonymous is what clients without a credential may do; empty: nothing.
	Anonymous []hub.Allow
	// Public says that a rule of the app makes channels public: then clients without a credential get a grant, with Anonymous as all it allows.
	Public bool
	// Hooks are URLs of the app's backend that are asked what no token says.
	Hooks Hooks
	// Origins are the pages besides the server's own whose cookies count: globs as hub.Match takes them. "*" counts for nothing here.
	Origins []string
	// Grace is how long a session outlives its token; never less than Leeway. 0: DefaultGrace.
	Grace time.Duration
}

// Key is an app key. Printing one shows its id only.
type Key struct {
	// ID is of the same form as an app's, and no other key of any app has it: the app follows from it.
	ID     string
	Secret string
	// Previous is the secret before, which counts as well while backends change over; empty: there is none.
	Previous string
}

// Format implements fmt.Formatter, so that no verb prints the secrets.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "key %s", k.ID) }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue("key " + k.ID) }

// secrets are those that count, at least one.
func (k Key) secrets() []string {
	if k.Previous == "" {
		return []string{k.Secret}
	}
	return []string{k.Secret, k.Previous}
}

// proves says whether a secret is one of the key's. It takes as long whatever the secret, and for a key that does not exist.
func (k Key) proves(secret string) bool {
	proven := false
	for _, s := range []string{k.Secret, k.Previous} {
		proven = equal(s, secret) && s != "" || proven
	}
	return proven
}

func (k Key) verificationKeys() jwt.VerificationKeySet {
	var set jwt.VerificationKeySet
	for _, s := range k.secrets() {
		set.Keys = append(set.Keys, []byte(s))
	}
	return set
}

func (k Key) check() error {
	switch {
	case CheckID(k.ID) != nil:
		return fmt.Errorf("key id %w", CheckID(k.ID))
	case k.Secret == "":
		return fmt.Errorf("key %q has no secret", k.ID)
	case k.Secret == k.Previous:
		return fmt.Errorf("key %q has the same secret twice", k.ID)
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

func (a *App) check() error {
	if err := CheckID(a.ID); err != nil {
		return fmt.Errorf("app id %w", err)
	}
	if slices.ContainsFunc(a.Anonymous, func(l hub.Allow) bool { return strings.Contains(l.Pattern, UserPlaceholder) }) {
		return fmt.Errorf("app %q: a pattern of anonymous clients has %s, and they have no user id", a.ID, UserPlaceholder)
	}
	return a.Hooks.check(a.ID)
}

func (a *App) grace() time.Duration {
	if a.Grace == 0 {
		return DefaultGrace
	}
	// A token that is taken must not end its session at once: its client would connect for ever.
	return max(a.Grace, Leeway)
}
