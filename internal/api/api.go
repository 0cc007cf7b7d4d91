package api

import (
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/body"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/outbox"
)

// handler answers a request, or returns an error before it has written anything.
type handler func(*api, http.ResponseWriter, *http.Request) error

// routes is every path, and by which methods. spec/openapi.yaml has the same, and a test compares them.
var routes = map[string]map[string]handler{
	"/v1/messages":                    {"GET": (*api).history, "POST": (*api).publish},
	"/v1/presence":                    {"GET": (*api).members},
	"/v1/channels":                    {"GET": (*api).channels},
	"/v1/sessions":                    {"GET": (*api).sessions, "DELETE": (*api).endSessions},
	"/v1/sessions/{session}":          {"GET": (*api).session, "DELETE": (*api).endSession},
	"/v1/tokens":                      {"POST": (*api).mint},
	"/v1/tokens/revoke":               {"POST": (*api).revoke},
	"/v1/webhooks":                    {"GET": (*api).webhooks},
	"/v1/webhooks/{webhook}/dead":     {"GET": (*api).deadLetters, "DELETE": (*api).discard},
	"/v1/webhooks/{webhook}/resend":   {"POST": (*api).resend},
	"/v1/webhooks/{webhook}/test":     {"POST": (*api).tryWebhook},
	"/v1/channels/{channel}":          {"GET": (*api).channelInfo},
	"/v1/channels/{channel}/messages": {"GET": (*api).history, "POST": (*api).publish},
	"/v1/channels/{channel}/presence": {"GET": (*api).members},
}

// Options of the API. Hub, Auth and Log are needed.
type Options struct {
	Hub  *hub.Hub
	Auth *auth.Authenticator
	Log  *slog.Logger
	// Outbox has the webhooks. Default: one without any.
	Outbox *outbox.Outbox
	// AllowOrigin says whether the page that a request comes from may read the answers. Default: no page of another origin may.
	AllowOrigin func(*http.Request) bool
}

type api struct {
	hub         *hub.Hub
	auth        *auth.Authenticator
	log         *slog.Logger
	outbox      *outbox.Outbox
	allowOrigin func(*http.Request) bool
	mux         *http.ServeMux
	bodies      *body.Budget
	waiting     atomic.Int64 // requests that wait for a message
}

// New returns the handler of everything under /v1/, except the transports.
func New(o Options) http.Handler {
	x := &api{hub: o.Hub, auth: o.Auth, log: o.Log, outbox: o.Outbox, allowOrigin: o.AllowOrigin, mux: http.NewServeMux(), bodies: body.NewBudget(maxBodies)}
	if x.allowOrigin == nil {
		x.allowOrigin = func(*http.Request) bool { return false }
	}
	if x.outbox == nil {
		x.outbox = outbox.New()
	}
	for path, methods := range routes {
		x.route(path, methods)
	}
	x.mux.HandleFunc("/", x.answer(notFound))
	return x
}

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// route registers the handlers of a path, the answer to those who ask which there are, and a refusal for its other methods.
func (a *api) route(path string, methods map[string]handler) {
	allowed := []string{}
	for method, h := range methods {
		a.mux.HandleFunc(method+" "+path, a.answer(h))
		if allowed = append(allowed, method); method == "GET" {
			allowed = append(allowed, "HEAD")
		}
	}
	slices.Sort(allowed)
	a.mux.HandleFunc("OPTIONS "+path, a.answer(preflight(allowed)))
	list := strings.Join(allowed, ", ") + ", OPTIONS"
	a.mux.HandleFunc(path, a.answer(func(_ *api, w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", list)
		return refuse(http.StatusMethodNotAllowed, "%s is not allowed here; use %s", clip(r.Method), list)
	}))
}

func notFound(_ *api, _ http.ResponseWriter, r *http.Request) error {
	return hub.Errorf(hub.CodeNotFound, "there is nothing at %q; the paths are %s, with a '/' in a channel's name written as %%2F",
		clip(r.URL.EscapedPath()), strings.Join(slices.Sorted(maps.Keys(routes)), ", "))
}

// answer makes an http.HandlerFunc of h: what it returns becomes a problem.
func (a *api) answer(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		a.cors(w, r)
		if err := h(a, w, r); err != nil {
			a.fail(w, r, err, nil)
		}
	}
}

// writeJSON ends with a line break, so that a terminal's prompt stands on a line of its own.
func writeJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // whoever has gone needs no answer
}
