package auth

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/snoserver/sno/internal/hub"
)

// Limits of a token.
const (
	// MaxTokenBytes is how long a token may be: it travels in one header line.
	MaxTokenBytes = 8 << 10
	// MaxPatterns is how many channel patterns a token may name.
	MaxPatterns = 100
	// MaxPatternBytes is how long a channel pattern may be.
	MaxPatternBytes = 1024
	// MaxClientBytes is how long a client id may be.
	MaxClientBytes = 256
	// Leeway is how far the clocks of the signer and of this server may be apart.
	Leeway = 5 * time.Second
	// DefaultGrace is how long a session outlives its token unless its app says otherwise.
	DefaultGrace = 10 * time.Second
)

// Claims is what a token says.
type Claims struct {
	// Client is the id of the app's user ("sub"): the publisher's client id and the member id. May be empty: the client has none.
	Client string
	// Allow says what the client may do ("channels"). Lines of the same pattern add up.
	Allow []hub.Allow
	// Expires is when the token ends ("exp"); needed. Full seconds count.
	Expires time.Time
}

// wireClaims are Claims as they stand in a token.
type wireClaims struct {
	jwt.RegisteredClaims
	Channels map[string][]string `json:"channels,omitempty"`
}

// Mint signs a token with an app key. The error says which claim a server would refuse.
func Mint(keyID, secret string, c Claims) (string, error) {
	if err := CheckID(keyID); err != nil {
		return "", hub.Errorf(hub.CodeBadRequest, "the key id %s", err)
	}
	if secret == "" {
		return "", hub.Errorf(hub.CodeBadRequest, "key %q needs its secret to sign with", keyID)
	}
	w := &wireClaims{Channels: map[string][]string{}}
	w.Subject = c.Client
	if !c.Expires.IsZero() {
		w.ExpiresAt = jwt.NewNumericDate(c.Expires)
	}
	for _, l := range c.Allow {
		w.Channels[l.Pattern] = append(w.Channels[l.Pattern], strings.Split(l.Actions.String(), ",")...)
	}
	if _, err := w.grant(""); err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, w)
	t.Header["kid"] = keyID
	signed, err := t.SignedString([]byte(secret))
	if err == nil && len(signed) > MaxTokenBytes {
		return "", hub.Errorf(hub.CodeUnauthorized, "a token has at most %d bytes, this one would have %d; name fewer channels, or use patterns", MaxTokenBytes, len(signed))
	}
	return signed, err
}

// Token returns the grant of a client's token.
func (a *Authenticator) Token(token string) (*hub.Grant, error) {
	if len(token) > MaxTokenBytes {
		return nil, hub.Errorf(hub.CodeUnauthorized, "a token has at most %d bytes, this one has %d; name fewer channels, or use patterns", MaxTokenBytes, len(token))
	}
	if !looksLikeToken(token) {
		return nil, hub.Errorf(hub.CodeUnauthorized, "this is not a token (a JWT of three parts joined by dots); sign one with an app key, or send the key itself as Basic")
	}
	var key ownedKey
	var c wireClaims
	// The claims are checked below, after everything else: only then is an expired token known to be good otherwise.
	p := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithoutClaimsValidation())
	_, err := p.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		var err error
		key, err = a.signer(t)
		return []byte(key.Secret), err
	})
	if err != nil {
		return nil, explain(err, key.ID)
	}
	g, err := c.grant(key.app)
	if err == nil {
		err = a.checkTimes(&c, g)
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

func looksLikeToken(s string) bool {
	return strings.HasPrefix(s, "ey") && strings.Count(s, ".") == 2
}

// signer finds the key that a token says it is signed with.
func (a *Authenticator) signer(t *jwt.Token) (ownedKey, error) {
	if _, critical := t.Header["crit"]; critical { // RFC 7515 §4.1.11: what is critical and unknown is refused
		return ownedKey{}, hub.Errorf(hub.CodeUnauthorized, "the token's header has crit, which this server knows no extension for; leave it out")
	}
	kid, ok := t.Header["kid"].(string)
	if !ok || kid == "" {
		return ownedKey{}, hub.Errorf(hub.CodeUnauthorized, "the token's header has no kid; set it to the id of the app key that signs it")
	}
	key, known := a.keys[kid]
	if !known {
		return ownedKey{}, hub.Errorf(hub.CodeUnauthorized, "the token's kid is %q; this server has no app key of that id", clip(kid))
	}
	return key, nil
}

// explain says in our words why the library refused a token.
func explain(err error, keyID string) error {
	if e, ours := errors.AsType[*hub.Error](err); ours {
		return e
	}
	switch {
	case errors.Is(err, jwt.ErrSignatureInvalid):
		return hub.Errorf(hub.CodeUnauthorized, "the token's signature is not that of app key %q; check the secret it was signed with", keyID)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return hub.Errorf(hub.CodeUnauthorized, "the token's alg is not HS256, the only one this server takes")
	}
	return hub.Errorf(hub.CodeUnauthorized, "the token is malformed; its header and claims must be base64url of JSON, with sub a string, "+
		"exp a number of seconds and channels an object of patterns to arrays of actions")
}

// grant checks the claims, but for the time.
func (c *wireClaims) grant(app string) (*hub.Grant, error) {
	if len(c.Subject) > MaxClientBytes || !utf8.ValidString(c.Subject) || strings.ContainsFunc(c.Subject, unicode.IsControl) {
		return nil, hub.Errorf(hub.CodeUnauthorized, "the token's sub %q is not allowed; a client id has at most %d bytes and no control characters", clip(c.Subject), MaxClientBytes)
	}
	if c.ExpiresAt == nil {
		return nil, hub.Errorf(hub.CodeUnauthorized, "the token has no exp; every token must end")
	}
	if s := c.ExpiresAt.Unix(); s < 0 || s > math.MaxUint32 {
		return nil, hub.Errorf(hub.CodeUnauthorized, "the token's exp is out of range; it is in seconds (not milliseconds) since 1970")
	}
	if len(c.Channels) > MaxPatterns {
		return nil, hub.Errorf(hub.CodeUnauthorized, "the token names %d channel patterns, at most %d are allowed; use '*'", len(c.Channels), MaxPatterns)
	}
	g := &hub.Grant{App: app, Client: c.Subject, Expires: c.ExpiresAt.Time, Grace: DefaultGrace}
	for _, pattern := range slices.Sorted(maps.Keys(c.Channels)) {
		actions, err := parseActions(pattern, c.Channels[pattern])
		if err != nil {
			return nil, err
		}
		g.Allow = append(g.Allow, hub.Allow{Pattern: pattern, Actions: actions})
	}
	return g, nil
}

func parseActions(pattern string, names []string) (hub.Action, error) {
	if pattern == "" || len(pattern) > MaxPatternBytes {
		return 0, hub.Errorf(hub.CodeUnauthorized, "a channel pattern in the token has %d bytes; 1 to %d are allowed", len(pattern), MaxPatternBytes)
	}
	var all hub.Action
	for _, name := range names {
		a, ok := hub.ParseAction(name)
		if !ok {
			return 0, hub.Errorf(hub.CodeUnauthorized, "the token allows %q on %q; the actions are %s", clip(name), clip(pattern), hub.AllActions)
		}
		all |= a
	}
	return all, nil
}

// checkTimes is asked last, see Token.
func (a *Authenticator) checkTimes(c *wireClaims, g *hub.Grant) error {
	now := a.now()
	if c.NotBefore != nil && now.Add(Leeway).Before(c.NotBefore.Time) {
		return hub.Errorf(hub.CodeUnauthorized, "the token is valid from %s (nbf), and it is %s here; check the clocks", stamp(c.NotBefore.Time), stamp(now))
	}
	if !now.Before(g.Expires.Add(Leeway)) {
		return hub.Errorf(hub.CodeTokenExpired, "the token expired at %s, and it is %s here; get a fresh one", stamp(c.ExpiresAt.Time), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
