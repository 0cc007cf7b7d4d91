package auth

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// SignedScheme is the scheme of an Authorization header whose credential is a signature of the request by an app key: the secret itself never travels.
const SignedScheme = "Sno-HMAC-SHA256"

// SignatureWindow is how far a signed request's time may be from now. Within it a request can be repeated by whoever has seen it: what
// that can do is bounded by message ids, which the signature covers.
const SignatureWindow = 5 * time.Minute

// signature is what the header of a signed request says.
type signature struct {
	key, time, body, mac string
}

// parseSignature reads the parameters of the header: key="…", time="…", body="…", signature="…", in any order, with or without quotes (RFC 9110 §11.2).
func parseSignature(params string) (signature, error) {
	var s signature
	fields := map[string]*string{"key": &s.key, "time": &s.time, "body": &s.body, "signature": &s.mac}
	for param := range strings.SplitSeq(params, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		field, known := fields[strings.ToLower(name)]
		if !known || *field != "" {
			return s, hub.Errorf(hub.CodeUnauthorized, "the parameters of %s are key, time, body and signature, each once; %q is none, or there twice", SignedScheme, clip(name))
		}
		if quoted := strings.TrimPrefix(value, `"`); len(quoted) < len(value) {
			value = strings.TrimSuffix(quoted, `"`)
		}
		*field = value
	}
	if s.key == "" || s.time == "" || s.mac == "" {
		return s, hub.Errorf(hub.CodeUnauthorized, "%s needs key, time and signature, and body where there is one", SignedScheme)
	}
	return s, nil
}

// signedText is what is signed: every line ends what the one before began, as none of them can hold a line break.
func signedText(r *http.Request, time, body string) []byte {
	target := r.RequestURI
	if !strings.HasPrefix(target, "/") {
		target = r.URL.RequestURI()
	}
	lines := []string{SignedScheme, time, r.Method, target, strings.Join(r.Header.Values("Idempotency-Key"), ","), body}
	return []byte(strings.Join(lines, "\n"))
}

// signed returns the grant of a signed request. Its body fails to be read to the end if it is not the one that was signed.
func (a *Authenticator) signed(r *http.Request, params string) (*hub.Grant, error) {
	s, err := parseSignature(params)
	if err != nil {
		return nil, err
	}
	if s.body == "" {
		s.body = hex.EncodeToString(sha256.New().Sum(nil)) // of nothing
	}
	digest, err := hex.DecodeString(s.body)
	if err != nil || len(digest) != sha256.Size {
		return nil, hub.Errorf(hub.CodeUnauthorized, "body is %q; it must be the SHA-256 of the request's body in hex", clip(s.body))
	}
	mac, err := hex.DecodeString(s.mac)
	if err != nil || len(mac) != sha256.Size {
		return nil, hub.Errorf(hub.CodeUnauthorized, "signature is %q; it must be an HMAC-SHA256 in hex", clip(s.mac))
	}
	key := a.table.Load().keys[s.key]
	if !key.signs(signedText(r, s.time, s.body), mac) {
		return nil, hub.Errorf(hub.CodeUnauthorized, "there is no app key of this id that gives this signature; it must be over six lines: %s, time, %s, path and query as sent, Idempotency-Key, body", SignedScheme, clip(r.Method))
	}
	if err := a.recent(s.time); err != nil {
		return nil, err
	}
	r.Body = &signedBody{ReadCloser: r.Body, hash: sha256.New(), want: digest}
	return key.grant(), nil
}

// signs says whether a signature is one by the key's secrets. It takes as long for a key that does not exist.
func (k ownedKey) signs(text, mac []byte) bool {
	now := cmp.Or(k.now, noSecret).equal(text, mac) && k.Secret != ""
	before := cmp.Or(k.before, noSecret).equal(text, mac) && k.Previous != ""
	return now || before
}

// macs makes HMAC-SHA256 with one secret. What of it depends on the secret alone is computed once, and not for each text.
type macs struct{ idle sync.Pool }

// hasher is a hash, and room for its sum.
type hasher struct {
	hash.Hash
	sum []byte
}

func newMACs(secret string) *macs {
	return &macs{sync.Pool{New: func() any { return &hasher{Hash: hmac.New(sha256.New, []byte(secret))} }}}
}

var noSecret = newMACs("")

// equal says whether mac is the one of text, in constant time.
func (m *macs) equal(text, mac []byte) bool {
	h := m.idle.Get().(*hasher)
	defer m.idle.Put(h)
	h.Reset()
	h.Write(text)
	h.sum = h.Sum(h.sum[:0])
	return hmac.Equal(h.sum, mac)
}

// Signed says whether mac is an HMAC-SHA256 of text, in hex, by a secret of the app key of that id: for protocols that sign more than requests. What a right one
// allows is the caller's to say.
func (a *Authenticator) Signed(key string, text []byte, mac string) bool {
	raw, err := hex.DecodeString(mac)
	return a.table.Load().keys[key].signs(text, raw) && err == nil
}

// recent is asked after the signature, so that only who has signed is told what is wrong with the time.
func (a *Authenticator) recent(seconds string) error {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || n < 0 {
		return hub.Errorf(hub.CodeUnauthorized, "time is %q; it must be in whole seconds since 1970", clip(seconds))
	}
	now := a.now().Unix()
	if window := int64(SignatureWindow / time.Second); n < now-window || n > now+window {
		return hub.Errorf(hub.CodeUnauthorized, "the request was signed for %d (time), and it is %d here; they may be %s apart: sign each request anew, and check the clocks", n, now, SignatureWindow)
	}
	return nil
}

// signedBody is a body whose end is an error if it was not the signed one. Who reads to the end before acting, acts on nothing else.
type signedBody struct {
	io.ReadCloser
	hash hash.Hash
	want []byte
}

// Read implements io.Reader.
func (b *signedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	if errors.Is(err, io.EOF) && !bytes.Equal(b.hash.Sum(nil), b.want) {
		return n, hub.Errorf(hub.CodeUnauthorized, "the body is not the one that was signed: its SHA-256 is %x", b.hash.Sum(nil))
	}
	return n, err
}
