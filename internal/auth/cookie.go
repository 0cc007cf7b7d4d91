package auth

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

// cookiesCount says why the cookies of a request must not count, or nil. A browser sends them along with requests that any page on the Internet makes it send;
// so they count only where the browser says that the page is the server's own or a configured one:
//
//   - A request with an Origin counts if that is the server's own or among origins. "*" among those is no answer: it would be all of them.
//   - A GET without an Origin counts if the browser says "Sec-Fetch-Site: same-origin".
//   - All else does not, as a request of no browser at all: that has no reason to use cookies.
func cookiesCount(r *http.Request, peer Peer, origins []string) error {
	origin, site := r.Header.Values("Origin"), r.Header.Get("Sec-Fetch-Site")
	switch {
	case len(origin) == 1 && ownOrigin(peer, origin[0], site), len(origin) == 1 && configured(origin[0], origins):
		return nil
	case len(origin) == 0 && (r.Method == http.MethodGet || r.Method == http.MethodHead) && site == "same-origin":
		return nil
	case len(origin) > 0:
		return hub.Errorf(hub.CodeBadOrigin, "the cookies do not count for a page of %q; add it to the server's origins, or use a token", clip(strings.Join(origin, ", ")))
	}
	return hub.Errorf(hub.CodeUnauthorized, "the cookies do not count, as the browser does not say which page sends them (Origin, Sec-Fetch-Site); use a token")
}

// ownOrigin says whether a page is the server's own. A page of plain HTTP may be anybody's on its way, so it is not the page of a server that is asked by HTTPS.
func ownOrigin(peer Peer, origin, site string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, peer.Host) && (u.Scheme == "https" || peer.Scheme == "http") &&
		(site == "" || site == "same-origin")
}

func configured(origin string, origins []string) bool {
	for _, o := range origins {
		if o != "*" && origin != "null" && hub.Match(strings.ToLower(o), strings.ToLower(origin)) {
			return true
		}
	}
	return false
}
