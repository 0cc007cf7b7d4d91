package server

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

// originCheck decides which browser pages may connect: those of the server itself, of the configured origins (globs as hub.Match
// takes them), and, with loopback, of any page of this machine. A request without Origin is not a browser's.
func originCheck(origins []string, loopback bool) func(*http.Request) bool {
	return func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		if origin == "" {
			return true
		}
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" {
			return false
		}
		client := clientOf(r)
		// A page of plain HTTP may be anybody's on its way, so it is not the page of a server that is asked by HTTPS.
		own := strings.EqualFold(u.Host, client.Host) && (u.Scheme == "https" || client.Scheme == "http")
		if own || loopback && isLoopback(u.Hostname()) {
			return true
		}
		for _, allowed := range origins {
			if hub.Match(strings.ToLower(allowed), strings.ToLower(origin)) {
				return true
			}
		}
		return false
	}
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// loopbackHost refuses requests that came by another name than this machine's own: a page elsewhere could have its name resolve to
// loopback, and be same-origin with a server that trusts everybody here.
func loopbackHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if host != "" && !isLoopback(strings.Trim(host, "[]")) { // what sends no name, a health check say, is no browser
			http.Error(w, "this address answers to localhost only: it trusts everybody on this machine", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
