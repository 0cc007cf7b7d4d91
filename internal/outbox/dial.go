package outbox

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// dialPatience is how long connecting may take.
const dialPatience = 5 * time.Second

// special are networks of global unicast addresses that lead to nobody out there: this machine, a network of one's own, a test or a tunnel
// (the IANA registries of special-purpose addresses, RFC 6890).
var special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

var (
	globalV6 = netip.MustParsePrefix("2000::/3")     // all that has been given out
	nat64    = netip.MustParsePrefix("64:ff9b::/96") // an IPv4 address in its last four bytes (RFC 6052)
)

func prefixes(all ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(all))
	for i, s := range all {
		parsed[i] = netip.MustParsePrefix(s)
	}
	return parsed
}

// public says whether an address is one of the internet's, that anybody may connect to.
func public(a netip.Addr) bool {
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Is6() && !globalV6.Contains(a) {
		return false
	}
	return !contains(special, a)
}

func contains(all []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Contains(a) })
}

// refusedError is why an address was not connected to.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

// guard decides which addresses may be connected to. It is asked with the address of the very connection that is about to be made, so a name that resolves to
// something else the next time gains nothing.
type guard struct {
	allow []netip.Prefix
	plain bool // without TLS: to the allowed networks only
}

// control is net.Dialer.Control.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &refusedError{address + " is no address of the internet"}
	}
	a := at.Addr().Unmap().WithZone("")
	switch {
	case contains(g.allow, a):
		return nil
	case g.plain:
		return &refusedError{fmt.Sprintf("%s is not in allow_networks, and http goes nowhere else", a)}
	case !public(a):
		return &refusedError{fmt.Sprintf("%s is not a public address; if it is yours, name its network in allow_networks", a)}
	}
	return nil
}

// client makes requests by connections that the guard allows, directly: a proxy would connect where it likes. Redirects are not followed.
func (g *guard) client(resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: dialPatience, KeepAlive: 15 * time.Second, Control: g.control, Resolver: resolver}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: dialPatience,
			MaxConnsPerHost: concurrency + visitors, MaxIdleConnsPerHost: concurrency, IdleConnTimeout: 30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
