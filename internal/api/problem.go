package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/problem"
)

// refusal is a malformed request that has a status of its own.
type refusal struct {
	shown  *hub.Error
	status int
}

// Error implements error.
func (r *refusal) Error() string { return r.shown.Text }

// Unwrap lets hub.Show find what to show.
func (r *refusal) Unwrap() error { return r.shown }

func refuse(status int, format string, args ...any) error {
	return &refusal{hub.Errorf(hub.CodeBadRequest, format, args...), status}
}

// fail answers with a problem (RFC 9457). results, if any, is a JSON array that says what became of each message.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error, results []byte) {
	shown := a.show(r, err)
	if results != nil {
		results = append([]byte(`,"results":`), results...)
	}
	if own, ok := errors.AsType[*refusal](err); ok {
		problem.WriteStatus(w, r, own.status, shown, results)
		return
	}
	problem.Write(w, r, shown, results)
}

// show returns what may be shown of an error, and logs the rest. It is the only place that logs one.
func (a *api) show(r *http.Request, err error) *hub.Error {
	shown, ok := hub.Show(err)
	if !ok && r.Context().Err() == nil { // whoever has gone has caused an error that is none
		a.log.Error("request", "method", r.Method, "path", r.URL.EscapedPath(), "error", err)
	}
	return shown
}

// clip makes a client's string fit for an error text.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
