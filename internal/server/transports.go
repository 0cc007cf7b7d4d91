package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/admission"
	"github.com/snoserver/sno/internal/api"
	"github.com/snoserver/sno/internal/body"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/problem"
	"github.com/snoserver/sno/internal/protocol/native"
	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/poll"
	"github.com/snoserver/sno/internal/wire/stream"
	"github.com/snoserver/sno/internal/wire/websocket"
)

// maxWait is how long a poll may wait, and does unless it says otherwise: as long as a heartbeat of the other transports is away.
const maxWait = wire.Heartbeat

// maxBodies bounds the bodies that are being read. Anybody can send one, and take a minute for it.
const maxBodies = 256 << 20

// transports are the ways by which clients follow channels.
type transports struct {
	s         *Server
	protocol  *native.Protocol
	websocket atomic.Pointer[websocket.Endpoint]
	lines     *stream.Endpoint
	events    *stream.Endpoint
	poll      *poll.Endpoint
	bodies    *body.Budget
}

func (s *Server) newTransports() *transports {
	t := &transports{s: s, bodies: body.NewBudget(maxBodies), protocol: &native.Protocol{Hub: s.hub, Credentials: s.auth, Logger: s.log}}
	if s.cfg.Dev {
		t.protocol.Backoff = devBackoff
	}
	t.reload()
	t.lines = stream.New(stream.Options{Loops: s.loops, ContentType: "application/x-ndjson", Refuse: refuse})
	t.events = stream.New(stream.Options{Loops: s.loops, ContentType: "text/event-stream", Prelude: t.retry, Refuse: refuseEvents})
	t.poll = &poll.Endpoint{Refuse: func(w http.ResponseWriter, r *http.Request, code int, reason string) { refuse(w, r, code, reason) }}
	return t
}

// reload has connections from now on keep to the limits in force. Those that are there keep to what they were told.
func (t *transports) reload() {
	t.websocket.Store(websocket.New(websocket.Options{
		Loops: t.s.loops, Subprotocol: "sno.v1", MessageBytes: t.protocol.FrameBytes(), TooLargeCode: int(hub.CodeFrameTooLarge), TimeoutCode: int(hub.CodeTimeout),
		CompressFrom: int(t.s.now.Load().WebSocket.CompressFrom), AllowOrigin: t.s.allowed,
	}))
}

const sendPath = "/v1/send"

// routes adds the paths of the transports.
func (t *transports) routes(mux *http.ServeMux) {
	t.route(mux, "/v1/ws", t.s.beginning(admission.Patience, t.serveWebSocket), "GET")
	t.route(mux, "/v1/stream", t.s.beginning(admission.Patience, t.answer(t.serveStream)), "GET", "POST")
	t.route(mux, "/v1/sse", t.s.beginning(admission.Patience, t.answer(t.serveEvents)), "GET", "POST")
	t.route(mux, "/v1/poll", t.answer(t.servePoll), "GET", "POST")
	t.route(mux, sendPath, t.answer(t.serveSend), "POST")
}

// route adds a path, the answer to browsers that ask before a page of another origin uses it, and a refusal for its other methods.
func (t *transports) route(mux *http.ServeMux, path string, h http.HandlerFunc, methods ...string) {
	for _, method := range methods {
		mux.HandleFunc(method+" "+path, h)
	}
	mux.HandleFunc("OPTIONS "+path, t.answer(func(w http.ResponseWriter, r *http.Request) error {
		return api.Preflight(w, r, methods, true) // answer has refused the pages of other origins
	}))
	list := strings.Join(methods, ", ") + ", OPTIONS"
	mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		api.Share(w, r, t.s.allowed(r))
		w.Header().Set("Allow", list)
		problem.WriteStatus(w, r, http.StatusMethodNotAllowed, hub.Errorf(hub.CodeBadRequest, "%.20q is not allowed here; use %s", r.Method, list), nil)
	})
}

// lasting says of which routes the duration of a request tells nothing: it lasts as long as its client likes, or waits for a message.
func lasting(route string) bool {
	_, path, _ := strings.Cut(route, " ")
	return slices.Contains([]string{"/v1/ws", "/v1/stream", "/v1/sse", "/v1/poll", pusherSocket, pusherStreaming, pusherPolling}, path)
}

// answer makes an http.HandlerFunc of h, which returns an error before it has written anything. Pages of other origins are refused first.
func (t *transports) answer(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := error(hub.Errorf(hub.CodeBadOrigin, "this page's origin may not connect; add it to the server's origins"))
		allowed := t.s.allowed(r)
		api.Share(w, r, allowed)
		if allowed {
			err = h(w, r)
		}
		if err == nil || gaveUp(r) { // who has gone is not refused, and a body that was cut off is not worth a line of the log
			return
		}
		problem.Write(w, r, t.refused(r, err), nil)
	}
}

// refused counts and logs a request that began no connection, and returns what its client may be shown.
func (t *transports) refused(r *http.Request, err error) *hub.Error {
	shown, ok := hub.Show(err)
	if !ok {
		t.s.log.Error("request", "method", r.Method, "route", r.Pattern, "error", err)
	}
	if !strings.HasSuffix(r.URL.Path, "send") { // which begins none
		t.s.telemetry.RefusedConnection(shown.Code.String())
		native.LogRefusal(t.s.log, slog.String("route", r.Pattern), t.s.address(r), shown)
	}
	return shown
}

func refuse(w http.ResponseWriter, r *http.Request, code int, reason string) bool {
	problem.Write(w, r, hub.Errorf(hub.Code(code), "%s", reason), nil)
	return true
}

// refuseEvents answers only what is final with a status: a browser's EventSource gives up for ever at one, and would not come back to a server that is
// draining. The others are told by an event, behind the time after which to come back.
func refuseEvents(w http.ResponseWriter, r *http.Request, code int, reason string) bool {
	if again := hub.Code(code).Reconnect(); again == "backoff" || again == "now" && hub.Code(code) != hub.CodeTokenExpired {
		return false
	}
	return refuse(w, r, code, reason)
}

// retry tells an EventSource when to come back, each another time.
func (t *transports) retry() []byte {
	least := t.protocol.MinBackoff().Milliseconds()
	return fmt.Appendf(nil, "retry: %d\n\n", least+rand.Int64N(2*least))
}

func (t *transports) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	t.s.conns.Add(1)
	defer t.s.conns.Done()
	c, err := t.connection(r, "websocket")
	if err != nil {
		problem.Write(w, r, t.refused(r, err), nil)
		return
	}
	err = t.websocket.Load().Serve(w, r, func(conn wire.Conn) wire.Handler {
		return t.s.telemetry.Connection(c.Transport, t.protocol.Handler(conn, c))
	})
	if err != nil {
		t.s.telemetry.RefusedConnection("handshake")
		t.s.log.Debug("refused a WebSocket", "remote", r.RemoteAddr, "error", err)
	}
}

// connection is what the request itself says of the connection that it begins. It comes before the body is read, as a signature covers that.
func (t *transports) connection(r *http.Request, transport string) (native.Connection, error) {
	c := native.Connection{Transport: transport, Address: t.s.address(r), Beside: transport != "websocket", Strict: r.Method == http.MethodGet && transport != "websocket"}
	if r.Header.Get("Authorization") == "" && !r.URL.Query().Has("token") {
		if r.Header.Get("Cookie") != "" { // whose they are is asked only if the client shows nothing else
			c.Anonymous = func(app string) (*hub.Grant, error) { return t.s.auth.Visitor(r, app) }
		}
		return c, nil
	}
	grant, err := t.s.auth.Request(r)
	c.Grant = grant
	return c, err
}

func (t *transports) serveStream(w http.ResponseWriter, r *http.Request) error {
	return t.open(w, r, t.lines, "stream", stream.AppendLine)
}

func (t *transports) serveEvents(w http.ResponseWriter, r *http.Request) error {
	return t.open(w, r, t.events, "sse", stream.AppendEvent)
}

func (t *transports) open(w http.ResponseWriter, r *http.Request, e *stream.Endpoint, transport string, form func(dst, frame []byte, cursor string) []byte) error {
	c, err := t.connection(r, transport)
	if err != nil {
		return err
	}
	frames, err := t.frames(w, r)
	if err != nil {
		return err
	}
	if gaveUp(r) {
		return nil
	}
	c.Append, c.EveryFrame = form, transport == "sse"
	e.Serve(w, r, stream.Opening{Frames: frames, Whole: c.Strict}, func(conn wire.Conn) wire.Handler {
		return t.s.telemetry.Connection(transport, t.protocol.Handler(conn, c))
	})
	return nil
}

// gaveUp reports whether nobody waits for the answer any more. A client that has given up a request has made another, which goes on with its session: it would
// lose that to the one it gave up.
func gaveUp(r *http.Request) bool { return r.Context().Err() != nil }

func (t *transports) servePoll(w http.ResponseWriter, r *http.Request) error {
	wait, err := parseWait(r.URL.Query().Get("wait"))
	if err != nil {
		return err
	}
	c, err := t.connection(r, "poll")
	if err != nil {
		return err
	}
	frames, err := t.frames(w, r)
	if err != nil {
		return err
	}
	if gaveUp(r) {
		return nil
	}
	c.Append, c.Poll, c.Beside = poll.AppendFrame, true, false
	t.poll.Serve(w, r, frames, wait, func(conn wire.Conn) poll.Handler { return t.s.telemetry.Poll(t.protocol.Handler(conn, c)) })
	return nil
}

func parseWait(s string) (time.Duration, error) {
	if s == "" {
		return maxWait, nil
	}
	seconds, err := strconv.ParseFloat(s, 64)
	if err != nil || !(seconds >= 0 && seconds <= maxWait.Seconds()) {
		return 0, hub.Errorf(hub.CodeBadRequest, "wait is %.20q; it must be a number of seconds from 0 to %g", s, maxWait.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

func (t *transports) serveSend(w http.ResponseWriter, r *http.Request) error {
	body, err := t.body(w, r, t.protocol.FrameBytes())
	if err != nil {
		return err
	}
	if err := t.protocol.Send(body); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// frames are what the client begins with: a POST brings them, for a GET they follow from the URL.
func (t *transports) frames(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method == http.MethodPost {
		return t.body(w, r, t.protocol.FrameBytes())
	}
	frames, err := native.Opening(r.URL.RawQuery, r.Header.Get("Last-Event-ID"))
	if err != nil {
		return nil, err
	}
	return frames, nil
}

func (t *transports) body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	share := t.bodies.Share(http.MaxBytesReader(w, r.Body, limit))
	defer share.GiveBack()
	body, err := io.ReadAll(share)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, hub.Errorf(hub.CodeMessageTooLarge, "the body has more than %d bytes; send the frames in several requests", limit)
	}
	if _, ours := errors.AsType[*hub.Error](err); ours {
		return nil, err
	}
	if err != nil {
		return nil, hub.Errorf(hub.CodeBadRequest, "the body could not be read: %s", err)
	}
	return body, nil
}
