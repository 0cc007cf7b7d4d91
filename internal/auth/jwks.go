package auth

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	// keySetAge is how old a key set gets before it is fetched again, beside the tokens that it goes on to verify.
	keySetAge = 10 * time.Minute
	// keySetPause is how long a set is left alone after a fetch, whatever keys tokens name.
	keySetPause = 10 * time.Second
	// keySetTime and keySetBytes bound a fetch.
	keySetTime  = 5 * time.Second
	keySetBytes = 1 << 20
)

// keySet is the keys at one URL. They are fetched when they are needed first, when they are old, and when a token names one that is not there, but at most
// once per keySetPause and by one at a time. What was fetched counts until something newer was.
type keySet struct {
	url  string
	auth *Authenticator

	mu      sync.Mutex
	keys    []namedKey
	fetched time.Time     // when keys were
	tried   time.Time     // when a fetch last began
	failed  error         // of the last fetch
	flight  chan struct{} // closed when the fetch under way is over; nil: there is none
}

type namedKey struct {
	id, alg string // as the set names them; may be empty
	key     crypto.PublicKey
}

// lookup returns the keys that a token of an algorithm and kid may be signed with, at least one.
func (s *keySet) lookup(alg, kid string) ([]crypto.PublicKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(alg, kid)
	if len(found) > 0 {
		if s.auth.now().Sub(s.fetched) > keySetAge {
			s.begin()
		}
		return found, nil
	}
	flight := s.begin()
	if flight == nil {
		// The key may be newer than the last fetch: this is no reason for the client to give up.
		return nil, hub.Errorf(hub.CodeOverloadedConnect, "the token's kid is %q, which its issuer did not have a moment ago; try again", clip(kid))
	}
	s.mu.Unlock()
	<-flight
	s.mu.Lock()
	switch found = s.find(alg, kid); {
	case len(found) > 0:
		return found, nil
	case s.failed != nil:
		return nil, hub.Errorf(hub.CodeOverloadedConnect, "the keys of the token's issuer cannot be fetched just now; try again")
	}
	return nil, hub.Errorf(hub.CodeUnauthorized, "the token's kid is %q; its issuer has no %s key of that id", clip(kid), alg)
}

// find returns the keys of a kid, and those without an id; all for a token without kid. Called with mu held.
func (s *keySet) find(alg, kid string) (found []crypto.PublicKey) {
	for _, k := range s.keys {
		if fits(alg, k.key) && (k.alg == "" || k.alg == alg) && (kid == "" || k.id == "" || k.id == kid) {
			found = append(found, k.key)
		}
	}
	return found
}

// begin starts a fetch, unless one is under way or it is too early for another; nil: too early. Called with mu held.
func (s *keySet) begin() (flight chan struct{}) {
	now := s.auth.now()
	if s.flight != nil || !s.tried.IsZero() && now.Sub(s.tried) < keySetPause {
		return s.flight
	}
	s.tried, s.flight = now, make(chan struct{})
	go s.fetch()
	return s.flight
}

func (s *keySet) fetch() {
	ctx, cancel := context.WithTimeout(context.Background(), keySetTime)
	defer cancel()
	keys, err := get(ctx, s.url)
	if err != nil {
		s.auth.warn("the key set of a token issuer could not be fetched; the keys before it go on to count", "url", s.url, "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = err; err == nil {
		s.keys, s.fetched = keys, s.auth.now()
	}
	close(s.flight)
	s.flight = nil
}

// fetcher goes where the configuration says and nowhere else. It keeps no connection: it is needed every ten minutes.
var fetcher = &http.Client{
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func get(ctx context.Context, url string) ([]namedKey, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := fetcher.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s (redirects are not followed)", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, keySetBytes+1))
	if err != nil {
		return nil, err
	}
	if len(body) > keySetBytes {
		return nil, fmt.Errorf("the answer has more than %d bytes", keySetBytes)
	}
	return parseKeySet(body)
}
