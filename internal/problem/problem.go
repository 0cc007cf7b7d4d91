// Package problem says over HTTP what went wrong: a problem (RFC 9457) with a code of spec/PROTOCOL.md, a real status, and when it is worth trying again.
// Every surface that answers HTTP uses it, so that one error looks the same everywhere.
package problem

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// answer is a code's HTTP status, and after how many seconds it is worth trying again; 0: not without a change.
type answer struct {
	status int
	retry  int
}

// answers is the one table from codes to HTTP.
var answers = map[hub.Code]answer{
	hub.CodeBadHandshake:      {http.StatusBadRequest, 0},
	hub.CodeUnauthorized:      {http.StatusUnauthorized, 0},
	hub.CodeBadOrigin:         {http.StatusForbidden, 0},
	hub.CodeRevoked:           {http.StatusForbidden, 0},
	hub.CodeFrameTooLarge:     {http.StatusRequestEntityTooLarge, 0},
	hub.CodeBadFrame:          {http.StatusBadRequest, 0},
	hub.CodeReplaced:          {http.StatusConflict, 0},
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
	hub.CodeRateLimited:       {http.StatusTooManyRequests, 1},
}

// Status is the HTTP status of a code.
func Status(c hub.Code) int {
	if a, ok := answers[c]; ok {
		return a.status
	}
	return http.StatusInternalServerError
}

// Write answers a request with e. Members, if any, are JSON members to add to the problem, such as `,"results":[]`.
func Write(w http.ResponseWriter, r *http.Request, e *hub.Error, members []byte) {
	a := answers[e.Code]
	if a.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(a.retry))
	}
	WriteStatus(w, r, Status(e.Code), e, members)
}

// WriteStatus is Write for an error that has a status of its own.
func WriteStatus(w http.ResponseWriter, r *http.Request, status int, e *hub.Error, members []byte) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge(r, e.Code))
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(e, status, members)) // whoever has gone needs no answer
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

func encode(e *hub.Error, status int, members []byte) []byte {
	name := e.Code.String()
	b := messagejson.AppendString([]byte(`{"type":`), "urn:sno:problem:"+name)
	b = messagejson.AppendString(append(b, `,"title":`...), meaning(e.Code))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(status), 10)
	b = messagejson.AppendString(append(b, `,"detail":`...), e.Text)
	b = strconv.AppendUint(append(b, `,"code":`...), uint64(e.Code), 10)
	b = messagejson.AppendString(append(b, `,"name":`...), name)
	return append(append(b, members...), "}\n"...)
}

func meaning(c hub.Code) string {
	for _, i := range hub.Codes {
		if i.Code == c {
			return i.Meaning
		}
	}
	return c.String()
}
