package auth

import (
	"bytes"
	"encoding/json"
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

// UserPlaceholder in a channel pattern is the client's id.
const UserPlaceholder = "{user}"

// wireClaims are Claims as they stand in a token.
type wireClaims struct {
	jwt.RegisteredClaims
	Channels map[string][]string `json:"channels,omitempty"`
	Member   json.RawMessage     `json:"member,omitempty"`
}

func (c *Claims) wire() *wireClaims {
	w := &wireClaims{Channels: map[string][]string{}, Member: c.Member}
	w.Subject, w.ID = c.Client, c.ID
	if !c.Expires.IsZero() {
		w.ExpiresAt = jwt.NewNumericDate(c.Expires)
	}
	if !c.Issued.IsZero() {
		w.IssuedAt = jwt.NewNumericDate(c.Issued)
	}
	for _, l := range c.Allow {
		w.Channels[l.Pattern] = append(w.Channels[l.Pattern], strings.Split(l.Actions.String(), ",")...)
	}
	return w
}

// grant checks the claims, but for the time. defaults is what a token allows that has no channels.
func (c *wireClaims) grant(defaults []hub.Allow) (*hub.Grant, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	allow := defaults
	if c.Channels != nil {
		var err error
		if allow, err = parseChannels(c.Channels); err != nil {
			return nil, err
		}
	}
	allow, err := expand(allow, c.Subject)
	if err != nil {
		return nil, err
	}
	g := &hub.Grant{Client: c.Subject, Allow: allow, TokenID: c.ID, Expires: c.ExpiresAt.Time}
	if c.Member != nil {
		g.Member = bytes.Clone(c.Member)
	}
	if c.IssuedAt != nil {
		g.Issued = c.IssuedAt.Time
	}
	return g, nil
}

func (c *wireClaims) check() error {
	if err := checkClient(c.Subject); err != nil {
		return err
	}
	if c.ExpiresAt == nil {
		return hub.Errorf(hub.CodeUnauthorized, "the token has no exp; every token must end")
	}
	for name, t := range map[string]*jwt.NumericDate{"exp": c.ExpiresAt, "iat": c.IssuedAt} {
		if t != nil && (t.Unix() < 0 || t.Unix() > math.MaxUint32) {
			return hub.Errorf(hub.CodeUnauthorized, "the token's %s is out of range; it is in seconds (not milliseconds) since 1970", name)
		}
	}
	if len(c.ID) > MaxTokenIDBytes {
		return hub.Errorf(hub.CodeUnauthorized, "the token's jti has %d bytes; at most %d are allowed", len(c.ID), MaxTokenIDBytes)
	}
	return checkMember(c.Member)
}

func checkClient(id string) error {
	if len(id) > MaxClientBytes || !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl) {
		return hub.Errorf(hub.CodeUnauthorized, "the user id %q (sub) is not allowed; a client id has at most %d bytes and no control characters", clip(id), MaxClientBytes)
	}
	return nil
}

func checkMember(data json.RawMessage) error {
	if data != nil && (!json.Valid(data) || data[0] != '{') {
		return hub.Errorf(hub.CodeUnauthorized, "member, which others see of the client in presence, must be a JSON object")
	}
	return nil
}

func parseChannels(channels map[string][]string) ([]hub.Allow, error) {
	if len(channels) > MaxPatterns {
		return nil, hub.Errorf(hub.CodeUnauthorized, "%d channel patterns, at most %d are allowed; use '*'", len(channels), MaxPatterns)
	}
	var allow []hub.Allow
	for _, pattern := range slices.Sorted(maps.Keys(channels)) {
		actions, err := parseActions(pattern, channels[pattern])
		if err != nil {
			return nil, err
		}
		allow = append(allow, hub.Allow{Pattern: pattern, Actions: actions})
	}
	return allow, nil
}

func parseActions(pattern string, names []string) (hub.Action, error) {
	if pattern == "" || len(pattern) > MaxPatternBytes {
		return 0, badPattern(len(pattern))
	}
	var all hub.Action
	for _, name := range names {
		a, ok := hub.ParseAction(name)
		if !ok {
			return 0, hub.Errorf(hub.CodeUnauthorized, "%q on %q cannot be allowed; the actions are %s", clip(name), clip(pattern), hub.AllActions)
		}
		all |= a
	}
	return all, nil
}

func badPattern(n int) error {
	return hub.Errorf(hub.CodeUnauthorized, "a channel pattern has %d bytes; 1 to %d are allowed", n, MaxPatternBytes)
}

// expand puts the client's id in the place of UserPlaceholder. An id can say nothing but itself there: one that would match more, or nothing in
// particular, is refused.
func expand(allow []hub.Allow, client string) ([]hub.Allow, error) {
	expanded := slices.Clone(allow)
	for i, l := range expanded {
		if !strings.Contains(l.Pattern, UserPlaceholder) {
			continue
		}
		if client == "" || strings.Contains(client, "*") {
			return nil, hub.Errorf(hub.CodeUnauthorized, "the pattern %q cannot be used by the user id %q; %s needs an id (sub) that is not empty and has no '*'", clip(l.Pattern), clip(client), UserPlaceholder)
		}
		pattern := strings.ReplaceAll(l.Pattern, UserPlaceholder, client)
		if len(pattern) > MaxPatternBytes {
			return nil, badPattern(len(pattern))
		}
		expanded[i].Pattern = pattern
	}
	return expanded, nil
}

// checkTimes is asked last, see Token.
func (a *Authenticator) checkTimes(c *wireClaims, g *hub.Grant) error {
	now := a.now()
	if c.NotBefore != nil && now.Add(Leeway).Before(c.NotBefore.Time) {
		return hub.Errorf(hub.CodeUnauthorized, "the token is valid from %s (nbf), and it is %s here; check the clocks", stamp(c.NotBefore.Time), stamp(now))
	}
	if !now.Before(g.Expires.Add(Leeway)) {
		return hub.Errorf(hub.CodeTokenExpired, "the token expired at %s, and it is %s here; get a fresh one", stamp(g.Expires), stamp(now))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
