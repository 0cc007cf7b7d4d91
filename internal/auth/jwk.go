package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
)

// maxKeys bounds a key set: a token without kid is tried with each.
const maxKeys = 64

// jsonWebKey is what this server understands of a JSON Web Key (RFC 7517, 7518 §6, 8037 §2).
type jsonWebKey struct {
	Kty, Use, Alg, Kid, Crv string
	N, E, X, Y              segment
}

// segment is bytes as base64url without padding.
type segment []byte

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *segment) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.DecodeString(string(text))
	*s = b
	return err
}

// parseKeySet reads a JSON Web Key Set. What is not for signatures or of another kind is left out (RFC 7517 §5); without any key left it is an error.
func parseKeySet(text []byte) ([]namedKey, error) {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("the answer is not a key set: %w", err)
	}
	var keys []namedKey
	for _, raw := range set.Keys {
		var k jsonWebKey
		if json.Unmarshal(raw, &k) != nil || k.Use != "" && k.Use != "sig" {
			continue
		}
		if key, err := k.public(); err == nil {
			keys = append(keys, namedKey{k.Kid, k.Alg, key})
		}
	}
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("the key set has %d keys that can be used; it must have 1 to %d", len(keys), maxKeys)
	}
	return keys, nil
}

var errKey = errors.New("this key cannot be used")

func (k *jsonWebKey) public() (crypto.PublicKey, error) {
	switch {
	case k.Kty == "RSA":
		e := new(big.Int).SetBytes(k.E)
		if !e.IsInt64() || e.Int64() < 3 || e.Int64() > math.MaxInt32 || e.Bit(0) == 0 {
			return nil, errKey
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(k.N), E: int(e.Int64())}, nil
	case k.Kty == "EC" && k.Crv == "P-256" && len(k.X) == 32 && len(k.Y) == 32:
		return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, k.X...), k.Y...))
	case k.Kty == "OKP" && k.Crv == "Ed25519" && len(k.X) == ed25519.PublicKeySize:
		return ed25519.PublicKey(k.X), nil
	}
	return nil, errKey
}
