package pusher

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/snoserver/sno/internal/body"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/problem"
)

const (
	// minBodyLimit is what several messages together may have at least, whatever the limit of one.
	minBodyLimit = 32 << 20
	// maxBodies bounds the bodies of all requests that are under way.
	maxBodies = 512 << 20
	// publishTime is how long a publish waits for the store.
	publishTime = 30 * time.Second
	// retryAfter is after how many seconds it is worth trying again what is refused for the moment.
	retryAfter = "1"
)

// call is a request whose signature is right.
type call struct {
	*http.Request
	p    *Protocol
	app  *app
	body []byte
	sign *signature
}

// calls are the paths of the HTTP API.
var calls = map[string]func(*call) (any, error){
	"POST /apps/{app}/events":                             (*call).events,
	"POST /apps/{app}/batch_events":                       (*call).batchEvents,
	"POST /apps/{app}/channels/{channel}/events":          (*call).oldEvents,
	"GET /apps/{app}/channels":                            (*call).channels,
	"GET /apps/{app}/channels/{channel}":                  (*call).channel,
	"GET /apps/{app}/channels/{channel}/users":            (*call).users,
	"POST /apps/{app}/users/{user}/terminate_connections": (*call).terminate,
}

// API serves the HTTP API, everything under /apps/.
func (p *Protocol) API() http.Handler {
	mux := http.NewServeMux()
	bodies := body.NewBudget(maxBodies)
	for pattern, do := range calls {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			share := bodies.Share(http.MaxBytesReader(w, r.Body, p.bodyLimit()))
			defer share.GiveBack()
			answer, err := p.call(r, share, do)
			if err != nil {
				p.fail(w, r, err)
				return
			}
			writeAnswer(w, answer)
		})
	}
	return mux
}

func (p *Protocol) bodyLimit() int64 {
	return max(minBodyLimit, int64(p.Hub.Limits().MessageBytes)*2) + frameOverhead
}

func (p *Protocol) call(r *http.Request, body io.Reader, do func(*call) (any, error)) (any, error) {
	b, err := io.ReadAll(body)
	if err != nil {
		return nil, bodyError(err)
	}
	a, sign, err := p.verify(r, b)
	if err != nil {
		return nil, err
	}
	return do(&call{Request: r, p: p, app: a, body: b, sign: sign})
}

func bodyError(err error) error {
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return hub.Errorf(hub.CodeMessageTooLarge, "The body has more than %d bytes; nothing was published", large.Limit)
	}
	if _, ours := errors.AsType[*hub.Error](err); ours {
		return err
	}
	return hub.Errorf(hub.CodeBadRequest, "The body ended early; nothing was published")
}

// fail answers with a plain text, as Pusher does, and a real status: libraries take everything below 400 for success.
func (p *Protocol) fail(w http.ResponseWriter, r *http.Request, err error) {
	shown, ok := hub.Show(err)
	if !ok && r.Context().Err() == nil {
		p.Logger.Error("request", "method", r.Method, "route", r.Pattern, "error", err)
	}
	status := problem.Status(shown.Code)
	h := w.Header()
	if status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	fmt.Fprintln(w, shown.Text)
}
