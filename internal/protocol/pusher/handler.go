package pusher

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/wire"
)

const (
	// activityTimeout is after how many seconds of silence a client asks whether the server is still there.
	activityTimeout = 30
	// authorizedWithin is how long a connection of an app with AuthorizedConnections has.
	authorizedWithin = 30 * time.Second
	// frameOverhead is what a frame may have besides the data of the largest message, which escapes can make six times as long.
	frameOverhead = 64 << 10
	// oldest and newest are the versions of the protocol that are spoken. A client that names none is an old one.
	oldest, newest = 4, 7
)

// Opening says what a connection begins with.
type Opening struct {
	Key string
	// Version is of the protocol, as the client has written it; may be empty.
	Version string
	// Transport and Address are as in hub.SessionOptions.
	Transport, Address string
}

// FrameBytes is the largest frame that is read.
func (p *Protocol) FrameBytes() int64 { return int64(p.Hub.Limits().MessageBytes)*2 + frameOverhead }

// Handler is one connection.
type Handler struct {
	*Protocol
	app      *app
	conn     wire.Conn
	socketID string
	session  atomic.Pointer[hub.Session] // nil: the connection was refused
	refused  *wire.Next

	// Receive's.
	events rate
	resume map[string]hub.Position // where channels go on that are not subscribed to yet

	pulling pulling // Pull's

	mu     sync.Mutex
	follow map[string]*follow
	user   *user
	unseen *time.Timer // ends a connection that shows no signature
	closed bool
}

// follow is a channel that the connection is subscribed to.
type follow struct {
	kind   kind
	member string     // of a presence channel
	grant  *hub.Grant // for client events
	placed bool       // the client was told where it begins, or that this is not where it was; Receive's
}

// Handler returns the handler of a new connection.
func (p *Protocol) Handler(conn wire.Conn, o Opening) *Handler {
	h := &Handler{Protocol: p, conn: conn, follow: map[string]*follow{}}
	a, code, text := p.admit(o)
	if a == nil {
		p.Logger.Info("refused a connection", "transport", o.Transport, "address", o.Address, "code", code, "reason", text)
		h.refused = &wire.Next{End: code, Reason: text}
		conn.Wake()
		return h
	}
	h.app = a
	h.begin(o)
	return h
}

// admit says which app a connection is for, or why it is refused.
func (p *Protocol) admit(o Opening) (a *app, code int, text string) {
	a = p.apps.Load().byKey[o.Key]
	version, err := strconv.Atoi(o.Version)
	switch {
	case a == nil:
		return nil, codeUnknownApp, fmt.Sprintf("App key %s is not known here: it is the id of a key of an app whose pusher.enabled is true", clip(o.Key))
	case o.Version == "":
		return a, 0, ""
	case err != nil:
		return nil, codeBadVersion, fmt.Sprintf("Invalid version string format: protocol is %q", clip(o.Version))
	case version < oldest || version > newest:
		return nil, codeUnsupported, fmt.Sprintf("Unsupported protocol version %d: versions %d to %d are spoken", version, oldest, newest)
	}
	return a, 0, ""
}

// begin makes the connection a session.
func (h *Handler) begin(o Opening) {
	so := hub.SessionOptions{Transport: o.Transport, Address: o.Address}
	if looped, ok := h.conn.(wire.Looped); ok {
		if l := looped.Loop(); l != nil {
			so.Lane = l
		}
	}
	s := h.Hub.NewSession(h.app.client, so, h.conn)
	h.session.Store(s)
	h.name()
	if h.app.AuthorizedConnections {
		h.unseen = time.AfterFunc(authorizedWithin, func() {
			s.End(hub.Errorf(hub.CodeRevoked, "Connection not authorized within timeout: sign in, or subscribe to a private channel, within %s", authorizedWithin))
		})
	}
	if s.Reserve(0) == nil {
		data := fmt.Sprintf(`{"socket_id":"%s","activity_timeout":%d}`, h.socketID, activityTimeout)
		frame := appendFrame(nil, "pusher:connection_established", "", data)
		s.Answer(0, answer{frames: [][]byte{frame}}, len(frame))
	}
	h.conn.Wake()
}

// name gives the connection an id that no other has.
func (h *Handler) name() {
	for {
		h.socketID = fmt.Sprintf("%d.%d", rand.Uint64N(1e10), rand.Uint64N(1e10))
		if _, taken := h.sockets.LoadOrStore(socket{h.app.ID, h.socketID}, h); !taken {
			return
		}
	}
}

// signedInAs is the id of the user who has signed in, or empty.
func (h *Handler) signedInAs() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.user == nil {
		return ""
	}
	return h.user.ID
}

// shown ends the wait for a signature.
func (h *Handler) shown() {
	if h.unseen != nil {
		h.unseen.Stop()
	}
}

// following is the subscription to a channel, or nil.
func (h *Handler) following(channel string) *follow {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.follow[channel]
}

// Receive implements wire.Handler.
func (h *Handler) Receive(msg []byte, binary bool) {
	s := h.session.Load()
	if s == nil || s.Reserve(len(msg)) != nil {
		return
	}
	r := &request{h: h, s: s, n: len(msg)}
	if binary {
		r.fail(hub.Errorf(hub.CodeBadRequest, "Invalid message: a binary WebSocket message; frames are text"))
		return
	}
	f, bad := decodeFrame(msg)
	if bad != nil {
		r.fail(bad)
		return
	}
	r.frame = f
	if err := r.carryOut(); err != nil {
		r.fail(err)
	}
}

// TooLarge implements wire.Handler.
func (h *Handler) TooLarge(size int64) {
	s := h.session.Load()
	if s == nil || s.Reserve(0) != nil {
		return
	}
	r := &request{h: h, s: s}
	r.fail(hub.Errorf(hub.CodeMessageTooLarge, "A frame of %d bytes; the limit is %d (twice limits.message_bytes)", size, h.FrameBytes()))
}

// Heartbeat implements wire.Handler. The transport's own sign of life is enough.
func (h *Handler) Heartbeat() {}

// Vetted implements wire.Vetter.
func (h *Handler) Vetted() bool { return h.session.Load() != nil }

// Closed implements wire.Handler.
func (h *Handler) Closed(lastHeard time.Time) {
	s := h.session.Load()
	if s == nil {
		return
	}
	h.shown()
	var last int64
	if !lastHeard.IsZero() {
		last = lastHeard.UnixMilli()
	}
	s.Close(last)
	h.sockets.CompareAndDelete(socket{h.app.ID, h.socketID}, h)
	h.mu.Lock()
	h.closed = true
	left := h.follow
	h.follow = nil
	h.mu.Unlock()
	for channel, f := range left {
		h.countChanged(h.app, channel, f.kind)
	}
}

// rate counts what may come so many times in a second.
type rate struct {
	second int64
	n      int
}

func (r *rate) allow(most int) bool {
	if now := time.Now().Unix(); r.second != now {
		r.second, r.n = now, 0
	}
	r.n++
	return r.n <= most
}

var _ interface {
	wire.Handler
	wire.Vetter
} = (*Handler)(nil)

// refuse is the end of a request with an error text as Pusher has it.
func refuse(code hub.Code, format string, args ...any) error {
	return hub.Errorf(code, format, args...)
}

// show is what a client is told of an error. What it is not told is logged.
func (h *Handler) show(what string, err error) *hub.Error {
	shown, ok := hub.Show(err)
	if !ok {
		h.Logger.Error("pusher", "request", what, slog.Any("error", err))
	}
	return shown
}
