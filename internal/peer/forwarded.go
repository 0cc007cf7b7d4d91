package peer

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Header is which headers a proxy sets. A proxy that sets the ones lets the client's own others pass, so only the ones may be believed.
type Header bool

// The headers there are.
const (
	XForwarded Header = false // X-Forwarded-For, -Proto and -Host
	Forwarded  Header = true  // Forwarded (RFC 7239)
)

// Client is what is known of a request's sender.
type Client struct {
	Address netip.Addr // the zero Addr: unknown
	Scheme  string     // that the client uses: "http" or "https"
	Host    string     // that the client asks for
}

// hop is what one proxy says of what came to it.
type hop struct {
	address     netip.Addr
	proto, host string
}

// Of returns who sent a request.
func (n Networks) Of(r *http.Request, h Header) Client {
	c := Client{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		c.Scheme = "https"
	}
	if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.Address = at.Addr().Unmap()
	}
	if len(n) == 0 || !n.Contain(c.Address) {
		return c
	}
	for _, hop := range slices.Backward(hops(r.Header, h)) {
		if !hop.address.IsValid() {
			break // what stands before something that cannot be read cannot be trusted
		}
		c.Address = hop.address
		if hop.proto == "http" || hop.proto == "https" {
			c.Scheme = hop.proto
		}
		if hop.host != "" {
			c.Host = hop.host
		}
		if !n.Contain(hop.address) {
			break
		}
	}
	return c
}

// hops are what the proxies say, the one next to the server last.
func hops(header http.Header, h Header) []hop {
	if h == Forwarded {
		return parseForwarded(header.Values("Forwarded"))
	}
	var all []hop
	for _, value := range header.Values("X-Forwarded-For") {
		for one := range strings.SplitSeq(value, ",") {
			all = append(all, hop{address: parseNode(strings.TrimSpace(one))})
		}
	}
	if len(all) > 0 { // these two are set anew by each proxy, or handed on
		all[len(all)-1].proto = last(header.Values("X-Forwarded-Proto"))
		all[len(all)-1].host = last(header.Values("X-Forwarded-Host"))
	}
	return all
}

// last is the last element of a list in a header.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	value := values[len(values)-1]
	return strings.TrimSpace(value[strings.LastIndexByte(value, ',')+1:])
}

// parseNode reads "192.0.2.7", "192.0.2.7:80", "2001:db8::7" and "[2001:db8::7]:80"; the zero Addr is anything else, such as "unknown".
func parseNode(s string) netip.Addr {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().Unmap().WithZone("")
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		s, ok = strings.CutSuffix(inner, "]")
		if !ok {
			return netip.Addr{}
		}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// parseForwarded reads the elements of Forwarded headers (RFC 7239 §4), each header by itself: a quote that a client has left open ends with its header.
func parseForwarded(values []string) (all []hop) {
	for _, value := range values {
		for _, element := range splitQuoted(value, ',') {
			all = append(all, parseElement(element))
		}
	}
	return all
}

// parseElement reads what one proxy says. If that is malformed it has no address.
func parseElement(s string) (h hop) {
	for _, pair := range splitQuoted(s, ';') {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		value, fine := unquote(value)
		if !ok || !fine {
			return hop{}
		}
		switch strings.ToLower(name) {
		case "for":
			h.address = parseNode(value)
		case "proto":
			h.proto = strings.ToLower(value)
		case "host":
			h.host = value
		}
	}
	return h
}

// splitQuoted cuts s at a separator that is not within quotes.
func splitQuoted(s string, separator byte) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	return append(parts, s[from:])
}

// unquote returns a token as it is, and what is in a quoted string (RFC 9110 §5.6.4).
func unquote(s string) (string, bool) {
	inner, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		return s, !strings.ContainsAny(s, `"\`)
	}
	inner, closed := strings.CutSuffix(inner, `"`)
	return strings.ReplaceAll(inner, `\`, ""), closed && !strings.Contains(inner, `"`)
}
