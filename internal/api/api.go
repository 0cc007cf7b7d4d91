package api

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

// handler answers a request, or returns an error before it has written anything.
type handler func(http.ResponseWriter, *http.Request) error

type api struct {
	hub    *hub.Hub
	auth   *auth.Authenticator
	log    *slog.Logger
	mux    *http.ServeMux
	bodies budget
}

// New returns the handler of everything under /v1/, except the WebSocket.
func New(h *hub.Hub, a *auth.Authenticator, log *slog.Logger) http.Handler {
	x := &api{hub: h, auth: a, log: log, mux: http.NewServeMux(), bodies: budget{max: maxBodies}}
	x.route("/v1/channels/{channel}/messages", map[string]handler{"GET": x.history, "POST": x.publish})
	x.route("/v1/channels/{channel}/presence", map[string]handler{"GET": x.members})
	x.mux.HandleFunc("/", x.answer(notFound))
	return x.mux
}

// route registers the handlers of a path, and a refusal for its other methods.
func (a *api) route(path string, methods map[string]handler) {
	allowed := []string{}
	for method, h := range methods {
		a.mux.HandleFunc(method+" "+path, a.answer(h))
		if allowed = append(allowed, method); method == "GET" {
			allowed = append(allowed, "HEAD")
		}
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	a.mux.HandleFunc(path, a.answer(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", list)
		return refuse(http.StatusMethodNotAllowed, "%s is not allowed here; use %s", clip(r.Method), list)
	}))
}

func notFound(_ http.ResponseWriter, r *http.Request) error {
	return hub.Errorf(hub.CodeNotFound, "there is nothing at %q; the paths are /v1/channels/{channel}/messages and /v1/channels/{channel}/presence, "+
		"with a '/' in the channel's name written as %%2F", clip(r.URL.EscapedPath()))
}

// answer makes an http.HandlerFunc of h: what it returns becomes a problem.
func (a *api) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := h(w, r); err != nil {
			a.fail(w, r, err, nil)
		}
	}
}

// writeJSON ends with a line break, so that a terminal's prompt stands on a line of its own.
func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // whoever has gone needs no answer
}
