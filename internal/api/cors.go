package api

import (
	"net/http"
	"strings"

	"github.com/snoserver/sno/internal/hub"
)

// What pages of other origins may send and read, beside what browsers allow anyway.
const (
	allowHeaders  = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID"
	exposeHeaders = "ETag, Retry-After"
	// preflightAge is how many seconds a browser may remember what a preflight said; two hours is the most that Chromium does.
	preflightAge = "7200"
)

// cors stands before everything else, so that errors can be read too.
func (a *api) cors(w http.ResponseWriter, r *http.Request) { Share(w, r, a.allowOrigin(r)) }

// Share says whether the page that a request comes from may read the answer (the CORS protocol of the Fetch standard).
func Share(w http.ResponseWriter, r *http.Request, allowed bool) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && allowed {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", exposeHeaders)
	}
}

// preflight answers OPTIONS at a path of the API.
func preflight(methods []string) handler {
	return func(a *api, w http.ResponseWriter, r *http.Request) error {
		return Preflight(w, r, methods, a.allowOrigin(r))
	}
}

// Preflight answers OPTIONS: whether a page of another origin may use these methods, with a credential of its own in a header. Share comes before it.
func Preflight(w http.ResponseWriter, r *http.Request, methods []string, allowed bool) error {
	h, list := w.Header(), strings.Join(methods, ", ")
	h.Set("Allow", list+", OPTIONS")
	if r.Header.Get("Access-Control-Request-Method") != "" {
		if !allowed {
			return hub.Errorf(hub.CodeBadOrigin, "pages of %q may not use this server; add it to the server's origins", clip(r.Header.Get("Origin")))
		}
		h.Set("Access-Control-Allow-Methods", list)
		h.Set("Access-Control-Allow-Headers", allowHeaders)
		h.Set("Access-Control-Max-Age", preflightAge)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
