package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/snoserver/sno/internal/hub"
)

// issuerAlgorithms are those by which issuers may sign: with a private key that this server does not have.
var issuerAlgorithms = []string{"RS256", "ES256", "EdDSA"}

var algorithms = append([]string{keyAlg}, issuerAlgorithms...)

// minRSABits is what RFC 7518 §3.3 asks of RS256; more than maxRSABits only costs time.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Issuer is somebody else who signs tokens for an app's clients, such as an identity provider.
type Issuer struct {
	// Name is the iss of its tokens.
	Name string
	// Audience must be among the aud of its tokens; empty: they may have any, or none.
	Audience string
	// Alg is the only algorithm that counts: RS256, ES256 or EdDSA.
	Alg string
	// PublicKeys are one or more, in PEM; or JWKS is the URL of a JSON Web Key Set (RFC 7517). One of the two.
	PublicKeys string
	JWKS       string
	// UserClaim names the claim that is the client's id. Default "sub".
	UserClaim string
	// Allow is what a token allows that has no channels.
	Allow []hub.Allow
}

// Check says what is wrong with an issuer.
func (i *Issuer) Check() error {
	switch {
	case i.Name == "":
		return errors.New("an issuer has no name; it is the iss of its tokens")
	case !slices.Contains(issuerAlgorithms, i.Alg):
		return fmt.Errorf("issuer %q has the alg %q; it must be one of %s", clip(i.Name), clip(i.Alg), strings.Join(issuerAlgorithms, ", "))
	case (i.PublicKeys == "") == (i.JWKS == ""):
		return fmt.Errorf("issuer %q needs either a public key or the URL of a key set", clip(i.Name))
	case len(i.Allow) > MaxPatterns:
		return fmt.Errorf("issuer %q has %d channel patterns; at most %d are allowed", clip(i.Name), len(i.Allow), MaxPatterns)
	}
	err := checkKeySetURL(i.JWKS)
	if i.JWKS == "" {
		_, err = parsePEM(i.Alg, i.PublicKeys)
	}
	if err != nil {
		return fmt.Errorf("issuer %q: %w", clip(i.Name), err)
	}
	return nil
}

// checkKeySetURL takes https only: who can change the keys on their way here can sign as anybody.
func checkKeySetURL(s string) error {
	u, err := url.Parse(s)
	if s == "" || err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) {
		return nil
	}
	return fmt.Errorf("the key set is at %q; it must be an https URL (http for this machine only)", clip(s))
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parsePEM reads the public keys of a text.
func parsePEM(alg, text string) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("the PEM block is a %q; it must be a \"PUBLIC KEY\", such as from: openssl pkey -pubout", clip(block.Type))
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the public key cannot be read: %w", err)
		}
		if !fits(alg, key) {
			return nil, fmt.Errorf("the public key (%T) is none for %s: RS256 needs RSA of %d to %d bits, ES256 the curve P-256, EdDSA Ed25519", key, alg, minRSABits, maxRSABits)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no public key in the text; it must be PEM, \"-----BEGIN PUBLIC KEY-----\" and so on")
	}
	return keys, nil
}

// fits says whether a key is one of an algorithm's. The JWT library compares neither the curve nor the size.
func fits(alg string, key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return alg == "RS256" && key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// issuer is an Issuer with its keys.
type issuer struct {
	Issuer
	app  *App
	keys []crypto.PublicKey // of PublicKeys
	set  *keySet            // of JWKS
}

func (i *issuer) verificationKeys(kid string) (jwt.VerificationKeySet, error) {
	keys := i.keys
	if i.set != nil {
		var err error
		if keys, err = i.set.lookup(i.Alg, kid); err != nil {
			return jwt.VerificationKeySet{}, err
		}
	}
	var set jwt.VerificationKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k)
	}
	return set, nil
}

// user is the client's id as the token has it, in a claim that may be another than sub. A number counts as its digits.
func (i *issuer) user(token string, c *wireClaims) (string, error) {
	if i.UserClaim == "" || i.UserClaim == "sub" {
		return c.Subject, nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		return "", err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(payload, &all); err != nil {
		return "", err
	}
	value := all[i.UserClaim]
	var id string
	var number json.Number
	switch {
	case bytes.HasPrefix(value, []byte(`"`)) && json.Unmarshal(value, &id) == nil:
		return id, nil
	case json.Unmarshal(value, &number) == nil && number != "":
		return number.String(), nil
	}
	return "", hub.Errorf(hub.CodeUnauthorized, "the token's claim %q, which is the user id, must be a string or a number", clip(i.UserClaim))
}
