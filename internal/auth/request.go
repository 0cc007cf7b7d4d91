package auth

import (
	"net/http"
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

// Request returns the grant of an HTTP request: of an app key in "Authorization: Basic" (RFC 7617), of a token in
// "Authorization: Bearer" (RFC 6750 §2.1), or, without the header, of an anonymous client of the app in the query parameter "app".
func (a *Authenticator) Request(r *http.Request) (*hub.Grant, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return a.Anonymous(r.URL.Query().Get("app"))
	}
	if len(headers) > 1 {
		return nil, hub.Errorf(hub.CodeUnauthorized, "the request has %d Authorization headers; send one", len(headers))
	}
	scheme, credential, _ := strings.Cut(headers[0], " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return a.Token(strings.Trim(credential, " "))
	case strings.EqualFold(scheme, "Basic"):
		if id, secret, ok := r.BasicAuth(); ok {
			return a.Key(id, secret)
		}
		return nil, hub.Errorf(hub.CodeUnauthorized, "the Basic credential is not base64 of \"id:secret\" of an app key")
	}
	return nil, hub.Errorf(hub.CodeUnauthorized, "the Authorization header has the scheme %q; use Basic with an app key or Bearer with a token", clip(scheme))
}
