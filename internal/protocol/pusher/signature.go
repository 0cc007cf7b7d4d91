package pusher

import (
	"crypto/md5" //nolint:gosec // the protocol has it, beneath an HMAC-SHA256
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// window is how many seconds the time of a signature may be from now.
const window = 600

// maxParameters is how many parameters a request may have.
const maxParameters = 32

// signature is what the query of a request says.
type signature struct {
	params []parameter // but for mac, by name
	mac    string
	time   int64
}

type parameter struct{ name, value string }

// get returns a parameter, or "".
func (s *signature) get(name string) string {
	for _, p := range s.params {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

var signedTexts = sync.Pool{New: func() any { return new([]byte) }}

// verify checks who has signed a request, and when, and what (https://pusher.com/docs/channels/library_auth_reference/rest-api/#authentication).
func (p *Protocol) verify(r *http.Request, body []byte) (*app, *signature, error) {
	s, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, nil, err
	}
	key := s.get("auth_key")
	a := p.apps.Load().byKey[key]
	if a == nil || a.ID != r.PathValue("app") {
		return nil, nil, hub.Errorf(hub.CodeUnauthorized, "Unknown auth_key %q for app %q", clip(key), clip(r.PathValue("app")))
	}
	text := signedTexts.Get().(*[]byte)
	defer signedTexts.Put(text)
	*text = s.appendText((*text)[:0], r.Method, r.URL.Path)
	if !p.Signatures.Signed(key, *text, s.mac) {
		shown := strings.ReplaceAll(clip(string(*text)), "\n", `\n`)
		*text = s.appendText((*text)[:0], r.Method, r.URL.EscapedPath()) // some libraries sign what they send
		if !p.Signatures.Signed(key, *text, s.mac) {
			return nil, nil, hub.Errorf(hub.CodeUnauthorized, "Invalid signature: you should have sent HmacSHA256Hex(\"%s\", your_secret_key), but you sent %q", shown, clip(s.mac))
		}
	}
	return a, s, s.check(body)
}

// check is asked after the signature: only who has signed is told what else is wrong.
func (s *signature) check(body []byte) error {
	now := time.Now().Unix()
	n, err := strconv.ParseInt(s.get("auth_timestamp"), 10, 64)
	switch {
	case s.get("auth_version") != "1.0":
		return hub.Errorf(hub.CodeUnauthorized, "Invalid auth_version %q: it must be 1.0", clip(s.get("auth_version")))
	case err != nil || n < now-window || n > now+window:
		return hub.Errorf(hub.CodeUnauthorized, "Timestamp expired: Given timestamp (%s) not within %ds of server time (%d)", clip(s.get("auth_timestamp")), window, now)
	}
	s.time = n
	if len(body) == 0 && s.get("body_md5") == "" {
		return nil
	}
	sum := md5.Sum(body) //nolint:gosec // see the import
	var digest [2 * md5.Size]byte
	hex.Encode(digest[:], sum[:])
	if s.get("body_md5") != string(digest[:]) {
		return hub.Errorf(hub.CodeUnauthorized, "Invalid body_md5 %q: the MD5 of the body is %s", clip(s.get("body_md5")), digest[:])
	}
	return nil
}

// appendText appends what is signed.
func (s *signature) appendText(dst []byte, method, path string) []byte {
	dst = append(append(append(append(dst, method...), '\n'), path...), '\n')
	for i, p := range s.params {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(append(append(dst, p.name...), '='), p.value...)
	}
	return dst
}

// parseQuery reads a query string: names in lower case, in order, values as they are behind the escapes, those of one name joined.
func parseQuery(raw string) (*signature, error) {
	s := &signature{params: make([]parameter, 0, 8)}
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(pair, "=")
		n, err := unescape(name)
		v, bad := unescape(value)
		if err != nil || bad != nil || len(s.params) > maxParameters {
			return nil, hub.Errorf(hub.CodeBadRequest, "The query string is malformed, or has more than %d parameters", maxParameters)
		}
		s.add(strings.ToLower(n), v)
	}
	slices.SortStableFunc(s.params, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	return s, nil
}

func unescape(s string) (string, error) {
	if strings.ContainsAny(s, "%+") {
		return url.QueryUnescape(s)
	}
	return s, nil
}

func (s *signature) add(name, value string) {
	if name == "auth_signature" {
		s.mac = value
		return
	}
	for i := range s.params {
		if s.params[i].name == name {
			s.params[i].value += "," + value
			return
		}
	}
	s.params = append(s.params, parameter{name, value})
}

// replays remembers signatures of what was published, so that a request that somebody else has seen and sends again does nothing. A library that sends the same twice
// within a second signs the same, and means it: so only what comes later counts. What is remembered is bounded: when it is full, the oldest go, and with them the right to use a time as old.
type replays struct {
	mu      sync.Mutex
	seconds map[int64]map[mark]int64 // by the time that was signed: when a signature was used, Unix seconds
	n       int
	floor   int64 // signed times before it are not taken any more
}

// mark is half a signature, which is as good as all of it.
type mark [16]byte

func markOf(s *signature) (m mark) {
	_, _ = hex.Decode(m[:], []byte(s.mac[:2*len(m)])) // it is right, so it has this form
	return m
}

const (
	maxReplays = 1 << 20
	// soon is how many seconds after its first use the same signature is still meant.
	soon = 5
)

// used says whether a signature was used before, longer ago than soon.
func (r *replays) used(s *signature) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.time < r.floor {
		return false, hub.Errorf(hub.CodeUnauthorized, "Timestamp expired: Given timestamp (%d) is before those that can still be told from repeated ones; check the clock", s.time)
	}
	at, known := r.seconds[s.time][markOf(s)]
	return known && time.Now().Unix()-at > soon, nil
}

// remember notes that a signature has published something.
func (r *replays) remember(s *signature) {
	now := time.Now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seconds == nil {
		r.seconds = map[int64]map[mark]int64{}
	}
	of := r.seconds[s.time]
	if of == nil {
		r.forget(now - window)
		of = map[mark]int64{}
		r.seconds[s.time] = of
	}
	m := markOf(s)
	if _, known := of[m]; !known {
		of[m] = now
		r.n++
	}
	for r.n > maxReplays {
		r.forgetOldest()
	}
}

// forget takes out what is too old to be used again anyway.
func (r *replays) forget(before int64) {
	for second, of := range r.seconds {
		if second < before {
			r.n -= len(of)
			delete(r.seconds, second)
		}
	}
}

func (r *replays) forgetOldest() {
	oldest := int64(0)
	for second := range r.seconds {
		if oldest == 0 || second < oldest {
			oldest = second
		}
	}
	r.n -= len(r.seconds[oldest])
	delete(r.seconds, oldest)
	r.floor = max(r.floor, oldest+1)
}
