package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// errSilence is why a connection ends from which nothing was heard.
var errSilence = errors.New("nothing was heard from the server for too long")

// server is where to connect, and makes the requests of the transports that are made of requests.
type server struct {
	base string // its URL, without a slash at the end
	http *http.Client
	// trace is Options.Trace.
	trace *httptrace.ClientTrace
}

// traced has what is done with ctx seen by the trace, if there is one.
func (s *server) traced(ctx context.Context) context.Context {
	if s.trace == nil {
		return ctx
	}
	return httptrace.WithClientTrace(ctx, s.trace)
}

// newServer takes http, https, ws and wss for the scheme, and the address of the WebSocket for that of its server.
func newServer(address string) (*server, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("server URL %q: %w", address, err)
	}
	schemes := map[string]string{"http": "http", "https": "https", "ws": "http", "wss": "https"}
	scheme, ok := schemes[u.Scheme]
	if !ok || u.Host == "" {
		return nil, fmt.Errorf("server URL %q: need one such as http://127.0.0.1:7878 or https://example.com", address)
	}
	u.Scheme, u.User, u.RawQuery, u.Fragment = scheme, nil, "", ""
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/v1/ws"), "/")
	return &server{base: u.String(), http: &http.Client{Transport: &http.Transport{
		Proxy:              http.ProxyFromEnvironment,
		ForceAttemptHTTP2:  true,
		DisableCompression: true, // what compresses a stream holds it back
		IdleConnTimeout:    time.Minute,
	}}}, nil
}

func (s *server) close() { s.http.CloseIdleConnections() }

// post makes a request that is answered by 200 or 204; anything else is an error.
func (s *server) post(ctx context.Context, path string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(s.traced(ctx), http.MethodPost, s.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := s.http.Do(r)
	if err != nil {
		return nil, whyEnded(ctx, err)
	}
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusNoContent {
		defer response.Body.Close()
		return nil, refusal(response)
	}
	return response, nil
}

// refusal reads why a request was refused: an HTTP problem with a code of the protocol, if it was Snö that answered.
func refusal(response *http.Response) error {
	var problem struct {
		Code   hub.Code `json:"code"`
		Detail string   `json:"detail"`
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err := json.Unmarshal(body, &problem); err != nil || problem.Code == 0 {
		return fmt.Errorf("the server answered %s; is this the address of a Snö server?", response.Status)
	}
	return &hub.Error{Code: problem.Code, Text: problem.Detail}
}

// watch ends a request when nothing of its answer was heard for a time.
type watch struct {
	timer   *time.Timer
	silence atomic.Int64 // a time.Duration
}

func newWatch(silence time.Duration, end context.CancelCauseFunc) *watch {
	w := &watch{timer: time.AfterFunc(silence, func() { end(errSilence) })}
	w.silence.Store(int64(silence))
	return w
}

// allow changes the time.
func (w *watch) allow(silence time.Duration) {
	w.silence.Store(int64(silence))
	w.heard()
}

func (w *watch) heard() { w.timer.Reset(time.Duration(w.silence.Load())) }

// over reports every read of r as a sign of life.
func (w *watch) over(r io.Reader) io.Reader { return &watched{r, w} }

func (w *watch) stop() { w.timer.Stop() }

type watched struct {
	io.Reader
	watch *watch
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.watch.heard()
	return n, err
}
