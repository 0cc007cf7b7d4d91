package auth

import (
	"net/http"
	"slices"
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

// streams are the paths to which a token may come in the URL: a browser's EventSource and WebSocket can set no header. Everywhere else
// it would stand in logs and histories for nothing.
var streams = []string{"/v1/ws", "/v1/stream", "/v1/sse", "/v1/poll"}

// Request returns the grant of an HTTP request: of an app key in "Authorization: Basic" (RFC 7617), of a token in "Authorization: Bearer" (RFC 6750 §2.1)
// or, for a GET of a stream, in the query parameter "token" (§2.3), of a signature (SignedScheme), or, without any of them, what Visitor says of
// the app in the query parameter "app". It may replace r.Body: whoever acts on a body reads it to its end first.
func (a *Authenticator) Request(r *http.Request) (*hub.Grant, error) {
	headers, query := r.Header.Values("Authorization"), r.URL.Query()
	tokens := query["token"]
	switch {
	case len(headers)+len(tokens) == 0:
		return a.Visitor(r, query.Get("app"))
	case len(headers)+len(tokens) > 1:
		return nil, hub.Errorf(hub.CodeUnauthorized, "the request has %d Authorization headers and %d tokens in its URL; send one of either", len(headers), len(tokens))
	case len(tokens) > 0 && (r.Method != http.MethodGet || !slices.Contains(streams, r.URL.Path)):
		return nil, hub.Errorf(hub.CodeUnauthorized, "a token in the URL counts only for a GET of %s; send it as Authorization: Bearer", strings.Join(streams, ", "))
	case len(tokens) > 0:
		return a.Token(tokens[0])
	}
	scheme, credential, _ := strings.Cut(headers[0], " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return a.Token(strings.Trim(credential, " "))
	case strings.EqualFold(scheme, SignedScheme):
		return a.signed(r, credential)
	case strings.EqualFold(scheme, "Basic"):
		if id, secret, ok := r.BasicAuth(); ok {
			return a.Key(id, secret)
		}
		return nil, hub.Errorf(hub.CodeUnauthorized, "the Basic credential is not base64 of \"id:secret\" of an app key")
	}
	return nil, hub.Errorf(hub.CodeUnauthorized, "the Authorization header has the scheme %q; use Basic with an app key, Bearer with a token, or %s", clip(scheme), SignedScheme)
}
