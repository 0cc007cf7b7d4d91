package outbox

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Format is how a request looks.
type Format uint8

// The formats there are.
const (
	// Native is signed as Standard Webhooks say (https://www.standardwebhooks.com).
	Native Format = iota
	// Pusher is as Pusher sends webhooks, for the libraries that check those.
	Pusher
)

// Bounds of an endpoint.
const (
	DefaultTimeout = 10 * time.Second
	MaxBatch       = 100
	maxBatchBytes  = 1 << 20
)

// Endpoint is where a backend wants to be told of events. Its name is its identity: what is at the same name later goes on where this has ended.
type Endpoint struct {
	Name string
	URL  string
	// Events are the types that it gets, and Channels the patterns (as hub.Match takes them) of the channels; empty: all.
	Events, Channels []string
	Format           Format
	// Key is the id of the app key in the header of Format Pusher.
	Key string
	// Secrets sign. Of Native all of them sign each request, the new one first; of Pusher the first does.
	Secrets [][]byte
	// Batch is up to how many events one request has. 0 is one, and then the body is that event, not a list.
	Batch   int
	Timeout time.Duration // of a request; 0: DefaultTimeout
	// Allow are the networks that are not public and may be connected to nevertheless. Only there http without TLS is allowed.
	Allow []netip.Prefix
}

// CheckURL says why requests cannot go to a URL, or nil. plain allows http.
func CheckURL(s string, plain bool) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return errors.New("must be an https URL without a password or fragment, such as \"https://example.com/webhooks\"")
	case u.Scheme == "https" || u.Scheme == "http" && plain:
		return nil
	case u.Scheme == "http":
		return errors.New("must be an https URL; http is for the networks of allow_networks, which is empty")
	}
	return errors.New("must be an https URL")
}

// secretPrefix marks a secret of Standard Webhooks.
const secretPrefix = "whsec_"

// ParseSecret reads a secret of Standard Webhooks: "whsec_" and 24 to 64 bytes in base64.
func ParseSecret(s string) ([]byte, error) {
	encoded, marked := strings.CutPrefix(s, secretPrefix)
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if !marked || err != nil || len(secret) < 24 || len(secret) > 64 {
		return nil, errors.New("must be \"whsec_\" and 24 to 64 bytes in base64, for example from: echo whsec_$(openssl rand -base64 32)")
	}
	return secret, nil
}

func (e *Endpoint) batch() int { return max(e.Batch, 1) }

// wants says whether a record is for the endpoint.
func (e *Endpoint) wants(r *record) bool {
	if r.To != "" {
		return r.To == e.Name
	}
	return e.wantsType(r.Type) && e.wantsChannel(r.Channel)
}

func (e *Endpoint) wantsType(kind string) bool {
	return len(e.Events) == 0 || slices.Contains(e.Events, kind)
}

func (e *Endpoint) wantsChannel(name string) bool {
	return len(e.Channels) == 0 || slices.ContainsFunc(e.Channels, func(p string) bool { return hub.Match(p, name) })
}

func (e *Endpoint) equal(o *Endpoint) bool {
	return e.Name == o.Name && e.URL == o.URL && slices.Equal(e.Events, o.Events) && slices.Equal(e.Channels, o.Channels) && e.Format == o.Format &&
		e.Key == o.Key && slices.EqualFunc(e.Secrets, o.Secrets, bytes.Equal) && e.Batch == o.Batch && e.Timeout == o.Timeout && slices.Equal(e.Allow, o.Allow)
}

// Address is the URL without its query, which may have a secret in it.
func (e *Endpoint) Address() string {
	address, _, _ := strings.Cut(e.URL, "?")
	return address
}
