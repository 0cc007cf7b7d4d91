package auth

import (
	"errors"
	"strings"
	"time"

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
	// MaxTokenIDBytes is how long a token's id may be.
	MaxTokenIDBytes = 256
	// Leeway is how far the clocks of the signer and of this server may be apart.
	Leeway = 5 * time.Second
	// DefaultGrace is how long a session outlives its token unless its app says otherwise.
	DefaultGrace = 10 * time.Second
)

// keyAlg is the algorithm of app keys, and of nothing else.
const keyAlg = "HS256"

// Claims is what a token says.
type Claims struct {
	// Client is the id of the app's user ("sub"): the publisher's client id and the member id. May be empty: the client has none.
	Client string
	// Allow says what the client may do ("channels"). Lines of the same pattern add up. In a pattern UserPlaceholder is the client id.
	Allow []hub.Allow
	// Member is the client's data in presence ("member"), a JSON object; nil: the client brings its own.
	Member []byte
	// ID is the token's own ("jti"), by which it can be revoked. May be empty.
	ID string
	// Issued is when the token was made ("iat"); zero: the token does not say.
	Issued time.Time
	// Expires is when the token ends ("exp"); needed. Full seconds count.
	Expires time.Time
}

// Mint signs a token with an app key. The error says which claim a server would refuse.
func Mint(keyID, secret string, c Claims) (string, error) {
	if err := CheckID(keyID); err != nil {
		return "", hub.Errorf(hub.CodeBadRequest, "the key id %s", err)
	}
	if secret == "" {
		return "", hub.Errorf(hub.CodeBadRequest, "key %q needs its secret to sign with", keyID)
	}
	w := c.wire()
	if _, err := w.grant(nil); err != nil {
		return "", err
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, w)
	t.Header["kid"] = keyID
	signed, err := t.SignedString([]byte(secret))
	if err == nil && len(signed) > MaxTokenBytes {
		return "", tooLong(len(signed))
	}
	return signed, err
}

func tooLong(n int) error {
	return hub.Errorf(hub.CodeUnauthorized, "a token has at most %d bytes, not %d; name fewer channels, or use patterns", MaxTokenBytes, n)
}

// Token returns the grant of a client's token.
func (a *Authenticator) Token(token string) (*hub.Grant, error) {
	if len(token) > MaxTokenBytes {
		return nil, tooLong(len(token))
	}
	if !looksLikeToken(token) {
		return nil, hub.Errorf(hub.CodeUnauthorized, "this is not a token (a JWT of three parts joined by dots); sign one with an app key, or send the key itself as Basic")
	}
	var by signer
	var c wireClaims
	t := a.table.Load()
	// The claims are checked below, after everything else: only then is an expired token known to be good otherwise.
	p := jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithoutClaimsValidation())
	parsed, err := p.ParseWithClaims(token, &c, func(unverified *jwt.Token) (any, error) {
		var err error
		if by, err = t.signer(unverified, &c); err != nil {
			return nil, err
		}
		return by.keys(unverified)
	})
	if err != nil {
		return nil, explain(err, parsed, by)
	}
	if by.issuer != nil {
		if c.Subject, err = by.issuer.user(token, &c); err != nil {
			return nil, err
		}
	}
	g, err := c.grant(by.defaults())
	if err == nil {
		err = a.checkTimes(&c, g)
	}
	if err != nil {
		return nil, err
	}
	return a.client(t, by.app, g), nil
}

func looksLikeToken(s string) bool {
	return strings.HasPrefix(s, "ey") && strings.Count(s, ".") == 2
}

// signer is who signs a token: an app key or an issuer.
type signer struct {
	app    *App
	key    Key
	issuer *issuer // nil: the key
}

// signer finds who a token says it is signed by. Its alg decides where to look, so that no issuer's public key is ever taken for a secret.
func (t *table) signer(token *jwt.Token, c *wireClaims) (signer, error) {
	if _, critical := token.Header["crit"]; critical { // RFC 7515 §4.1.11: what is critical and unknown is refused
		return signer{}, hub.Errorf(hub.CodeUnauthorized, "the token's header has crit, which this server knows no extension for; leave it out")
	}
	if alg := token.Method.Alg(); alg != keyAlg {
		i, err := t.issuer(c)
		if err != nil {
			return signer{}, err
		}
		if alg != i.Alg {
			return signer{}, hub.Errorf(hub.CodeUnauthorized, "the token's alg is %s; this server takes only %s of issuer %q", alg, i.Alg, clip(i.Name))
		}
		return signer{app: i.app, issuer: i}, nil
	}
	kid, ok := token.Header["kid"].(string)
	if !ok || kid == "" {
		return signer{}, hub.Errorf(hub.CodeUnauthorized, "the token's header has no kid; set it to the id of the app key that signs it")
	}
	key, known := t.keys[kid]
	if !known {
		return signer{}, hub.Errorf(hub.CodeUnauthorized, "the token's kid is %q; this server has no app key of that id", clip(kid))
	}
	return signer{app: key.app, key: key.Key}, nil
}

// keys are those that the token may be signed with.
func (s signer) keys(t *jwt.Token) (any, error) {
	if s.issuer == nil {
		return s.key.verificationKeys(), nil
	}
	kid, _ := t.Header["kid"].(string)
	return s.issuer.verificationKeys(kid)
}

// defaults is what a token allows that says nothing of channels.
func (s signer) defaults() []hub.Allow {
	if s.issuer == nil {
		return nil
	}
	return s.issuer.Allow
}

// explain says in our words why the library refused a token.
func explain(err error, t *jwt.Token, by signer) error {
	if e, ours := errors.AsType[*hub.Error](err); ours {
		return e
	}
	switch {
	case !errors.Is(err, jwt.ErrTokenSignatureInvalid) && !errors.Is(err, jwt.ErrTokenUnverifiable):
		return hub.Errorf(hub.CodeUnauthorized, "the token is malformed; its header and claims must be base64url of JSON, with sub a string, "+
			"exp a number of seconds and channels an object of patterns to arrays of actions")
	case by.issuer != nil:
		return hub.Errorf(hub.CodeUnauthorized, "the token's signature is not that of issuer %q", clip(by.issuer.Name))
	case by.app != nil:
		return hub.Errorf(hub.CodeUnauthorized, "the token's signature is not that of app key %q; check the secret it was signed with", by.key.ID)
	}
	alg, _ := t.Header["alg"].(string)
	return hub.Errorf(hub.CodeUnauthorized, "the token's alg is %q; app keys sign with %s, issuers with one of %s", clip(alg), keyAlg, strings.Join(issuerAlgorithms, ", "))
}
