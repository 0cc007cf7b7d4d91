package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// status is a code's HTTP status, and after how many seconds it is worth trying again; 0: not without a change.
type status struct {
	code  int
	retry int
}

// statuses is the one table from codes to HTTP.
var statuses = map[hub.Code]status{
	hub.CodeBadHandshake:      {http.StatusBadRequest, 0},
	hub.CodeUnauthorized:      {http.StatusUnauthorized, 0},
	hub.CodeBadOrigin:         {http.StatusForbidden, 0},
	hub.CodeRevoked:           {http.StatusForbidden, 0},
	hub.CodeFrameTooLarge:     {http.StatusRequestEntityTooLarge, 0},
	hub.CodeBadFrame:          {http.StatusBadRequest, 0},
	hub.CodeOverloadedConnect: {http.StatusServiceUnavailable, 1},
	hub.CodeTimeout:           {http.StatusRequestTimeout, 0},
	hub.CodeInternal:          {http.StatusInternalServerError, 0},
	hub.CodeGoaway:            {http.StatusServiceUnavailable, 1},
	hub.CodeTokenExpired:      {http.StatusUnauthorized, 0},
	hub.CodeBadRequest:        {http.StatusBadRequest, 0},
	hub.CodeForbidden:         {http.StatusForbidden, 0},
	hub.CodeMessageTooLarge:   {http.StatusRequestEntityTooLarge, 0},
	hub.CodeConflict:          {http.StatusConflict, 0},
	hub.CodeOverloaded:        {http.StatusServiceUnavailable, 1},
	hub.CodeUnavailable:       {http.StatusServiceUnavailable, 2},
	hub.CodeDiskFull:          {http.StatusInsufficientStorage, 0},
	hub.CodeCorrupt:           {http.StatusInternalServerError, 0},
	hub.CodeLimit:             {http.StatusBadRequest, 0},
	hub.CodeNotFound:          {http.StatusNotFound, 0},
	hub.CodeNotSubscribed:     {http.StatusNotFound, 0},
	hub.CodeOutOfOrder:        {http.StatusServiceUnavailable, 1},
}

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
	s := statuses[shown.Code]
	if own, ok := errors.AsType[*refusal](err); ok {
		s = status{code: own.status}
	}
	if s.code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge(r, shown.Code))
	}
	if s.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(s.retry))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(s.code)
	_, _ = w.Write(appendProblem(nil, shown, s.code, results)) // whoever has gone needs no answer
}

// show returns what may be shown of an error, and logs the rest. It is the only place that logs one.
func (a *api) show(r *http.Request, err error) *hub.Error {
	shown, ok := hub.Show(err)
	if !ok && r.Context().Err() == nil { // whoever has gone has caused an error that is none
		a.log.Error("request", "method", r.Method, "path", r.URL.EscapedPath(), "error", err)
	}
	return shown
}

// challenge names the scheme that the client has tried, or Bearer: browsers ask their user for a password when they read Basic.
func challenge(r *http.Request, code hub.Code) string {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		return `Basic realm="sno", charset="UTF-8"`
	case code == hub.CodeTokenExpired:
		return `Bearer realm="sno", error="invalid_token", error_description="expired"`
	}
	return `Bearer realm="sno"`
}

func appendProblem(b []byte, e *hub.Error, status int, results []byte) []byte {
	name := e.Code.String()
	b = messagejson.AppendString(append(b, `{"type":`...), "urn:sno:problem:"+name)
	b = messagejson.AppendString(append(b, `,"title":`...), meaning(e.Code))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(status), 10)
	b = messagejson.AppendString(append(b, `,"detail":`...), e.Text)
	b = strconv.AppendUint(append(b, `,"code":`...), uint64(e.Code), 10)
	b = messagejson.AppendString(append(b, `,"name":`...), name)
	if results != nil {
		b = append(append(b, `,"results":`...), results...)
	}
	return append(b, "}\n"...)
}

func meaning(c hub.Code) string {
	for _, i := range hub.Codes {
		if i.Code == c {
			return i.Meaning
		}
	}
	return c.String()
}

// clip makes a client's string fit for an error text.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
