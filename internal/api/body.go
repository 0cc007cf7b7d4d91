package api

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

const (
	// minBodyLimit is what several messages together may have at least, whatever the limit of one.
	minBodyLimit = 32 << 20
	// bodyOverhead is for what stands around the data of a message that is as large as allowed.
	bodyOverhead = 1 << 20
	// maxBodies bounds the bodies of all requests that are under way.
	maxBodies = 512 << 20
	// bodyTime is how long a client has to send a body: one that never ends would hold its part of maxBodies.
	bodyTime = time.Minute
)

// bodyLimit is how many bytes a body may have: a message of the largest size in base64, or minBodyLimit.
func bodyLimit(l hub.Limits) int64 {
	return max(minBodyLimit, int64(l.MessageBytes)*4/3) + bodyOverhead
}

// withBody calls f with the request's body, which counts towards the budget until f returns.
func (a *api) withBody(w http.ResponseWriter, r *http.Request, f func([]byte) error) error {
	if err := checkContentType(r); err != nil {
		return err
	}
	limit := bodyLimit(a.hub.Limits())
	if r.ContentLength > limit {
		return bodyTooLarge(limit)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime)) // not every ResponseWriter can
	s := a.bodies.Share(http.MaxBytesReader(w, r.Body, limit))
	defer s.GiveBack()
	body, err := io.ReadAll(s)
	if err != nil {
		return bodyError(err, limit)
	}
	return f(body)
}

func bodyError(err error, limit int64) error {
	if _, ours := errors.AsType[*hub.Error](err); ours {
		return err
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return bodyTooLarge(limit)
	}
	return hub.Errorf(hub.CodeBadRequest, "the body ended early or took more than %v; nothing was stored", bodyTime)
}

func bodyTooLarge(limit int64) error {
	return hub.Errorf(hub.CodeMessageTooLarge, "the body has more than %d bytes; nothing was stored: send fewer messages at once", limit)
}

// checkContentType takes JSON in UTF-8. Without a type the body is taken for it too, unless the request comes from a browser page:
// the browser asks a server whether another site's page may send JSON, but not whether it may send what has no type.
func checkContentType(r *http.Request) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return refuse(http.StatusUnsupportedMediaType, "the body has the Content-Encoding %q; send it as it is", clip(e))
	}
	header := r.Header.Get("Content-Type")
	if header == "" && r.Header.Get("Origin") == "" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(header)
	if charset, set := params["charset"]; err != nil || kind != "application/json" || set && !strings.EqualFold(charset, "utf-8") {
		return refuse(http.StatusUnsupportedMediaType, "the body's Content-Type is %q; send application/json in UTF-8", clip(header))
	}
	return nil
}
