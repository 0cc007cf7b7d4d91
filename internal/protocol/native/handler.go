package native

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/wire"
)

const (
	// connectTimeout is how long a client has for its first frame.
	connectTimeout = 5 * time.Second
	// pullBytes is about how much goes into one WebSocket message.
	pullBytes = 64 << 10
	// maxBadFrames is how many frames that cannot be understood a connection may send.
	maxBadFrames = 100
	// historyBytes bounds a history page.
	historyBytes = 1 << 20
	// MessageOverhead is what a frame may have besides its message's bytes.
	MessageOverhead = 64 << 10

	defaultHistory = 100
	maxHistory     = 1000
	backoffMin     = 500 * time.Millisecond
	backoffMax     = 30 * time.Second
)

// Credentials turns what a client shows into a grant. Errors are *hub.Error.
type Credentials interface {
	Token(jwt string) (*hub.Grant, error)
	Key(id, secret string) (*hub.Grant, error)
	// Anonymous is for clients that show nothing; app may be empty where there is one app only.
	Anonymous(app string) (*hub.Grant, error)
}

// Protocol makes handlers for connections.
type Protocol struct {
	Hub         *hub.Hub
	Credentials Credentials
	Logger      *slog.Logger
	// Backoff is what clients begin with when they connect again after a failure. Default 500 ms.
	Backoff time.Duration
}

// FrameBytes is the largest frame that is read: the largest message, as base64.
func (p *Protocol) FrameBytes() int64 {
	return int64(p.Hub.Limits().MessageBytes)*4/3 + MessageOverhead
}

// Handler returns the handler of a new connection. grant is what the connection request's own credential allows, or nil.
func (p *Protocol) Handler(conn wire.Conn, grant *hub.Grant) wire.Handler {
	h := &handler{Protocol: p, conn: conn, grant: grant, order: new(hub.Order)}
	h.hurry = time.AfterFunc(connectTimeout, func() {
		h.refuse(hub.Errorf(hub.CodeTimeout, "no connect frame within %s: send {\"type\":\"connect\"} first", connectTimeout), nil)
	})
	return h
}

// handler is one connection.
type handler struct {
	*Protocol
	conn     wire.Conn
	grant    *hub.Grant // of the connection request
	hurry    *time.Timer
	bad      int
	order    *hub.Order // of the client's ordered publishes
	session  atomic.Pointer[hub.Session]
	heart    atomic.Bool // a heartbeat is due
	mu       sync.Mutex
	refusal  []byte // the last frame of a connection that got no session
	end      wire.Next
	finished bool

	events []hub.Event // Pull's
}

// Receive implements wire.Handler.
func (h *handler) Receive(msg []byte, binary bool) {
	if binary {
		h.reject(nil, hub.Errorf(hub.CodeBadRequest, "a binary WebSocket message: frames are text, binary data goes into base64"))
		return
	}
	frames, err := splitFrames(msg)
	if err != nil {
		h.reject(nil, err)
		return
	}
	for _, b := range frames {
		f, err := decodeFrame(b)
		if err != nil {
			h.reject(f.Ref, err)
			continue
		}
		h.handle(f, len(b))
	}
}

// TooLarge implements wire.Handler.
func (h *handler) TooLarge(size int64) {
	h.reject(nil, hub.Errorf(hub.CodeMessageTooLarge, "a frame of %d bytes; the limit is %d (limits.message_bytes and what base64 adds); nothing was stored", size, h.FrameBytes()))
}

// reject answers a frame that could not be understood.
func (h *handler) reject(ref json.RawMessage, err *hub.Error) {
	s := h.session.Load()
	if s == nil {
		h.refuse(hub.Errorf(hub.CodeBadHandshake, "%s", err.Text), ref)
		return
	}
	if h.bad++; h.bad > maxBadFrames {
		s.End(hub.Errorf(hub.CodeBadFrame, "%d frames could not be understood; the last: %s", h.bad, err.Text))
		return
	}
	if s.Reserve(0) == nil {
		h.answer(s, 0, newFrame("error", ref).error(err).end())
	}
}

func (h *handler) answer(s *hub.Session, n int, frame []byte) {
	s.Answer(n, answer(frame), len(frame))
}

// refuse ends a connection that has no session.
func (h *handler) refuse(err *hub.Error, ref json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.finished || h.session.Load() != nil {
		return
	}
	h.finished = true
	h.refusal = newFrame("error", ref).error(err).end()
	h.end = wire.Next{End: int(err.Code), Reason: err.Text}
	h.conn.Wake()
}

// connect handles the first frame.
func (h *handler) connect(f *frame) {
	if f.Type != "connect" {
		h.refuse(hub.Errorf(hub.CodeBadHandshake, "the first frame is %q: send {\"type\":\"connect\"} first", clip(f.Type)), f.Ref)
		return
	}
	grant, err := h.credential(f)
	if err != nil {
		shown, ok := hub.Show(err)
		if !ok {
			h.Logger.Error("connect", "error", err)
		}
		h.refuse(shown, f.Ref)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.finished {
		return
	}
	h.hurry.Stop()
	s := h.Hub.NewSession(grant, hub.SessionOptions{}, h.conn.Wake)
	if s.Reserve(0) == nil {
		h.answer(s, 0, h.welcome(f.Ref, s))
	}
	h.session.Store(s)
	h.conn.Wake()
}

func (h *handler) credential(f *frame) (*hub.Grant, error) {
	switch {
	case f.Token != "" && f.Key != "":
		return nil, hub.Errorf(hub.CodeBadHandshake, "token and key exclude each other: give one")
	case f.Token != "":
		return h.Credentials.Token(f.Token)
	case f.Key != "":
		id, secret, ok := strings.Cut(f.Key, ":")
		if !ok {
			return nil, hub.Errorf(hub.CodeUnauthorized, "key: the form is \"id:secret\"")
		}
		return h.Credentials.Key(id, secret)
	case h.grant != nil:
		return h.grant, nil
	default:
		return h.Credentials.Anonymous(f.App)
	}
}

func (h *handler) welcome(ref json.RawMessage, s *hub.Session) []byte {
	limits := h.Hub.Limits()
	w := newFrame("welcome", ref).str("session", s.ID())
	if client := s.Grant().Client; client != "" {
		w.str("client", client)
	}
	w.num("time", uint64(time.Now().UnixMilli())).num("heartbeat", uint64(wire.Heartbeat.Milliseconds()))
	w.key("backoff")
	w.object(func(o *writer) {
		o.num("min", uint64(cmp.Or(h.Backoff, backoffMin).Milliseconds())).num("max", uint64(backoffMax.Milliseconds()))
	})
	w.key("limits")
	w.object(func(o *writer) {
		o.num("message_bytes", uint64(limits.MessageBytes)).num("channel_bytes", uint64(limits.ChannelBytes))
		o.num("subscriptions", uint64(limits.Subscriptions)).num("frame_bytes", uint64(h.FrameBytes()))
	})
	return w.end()
}

// Pull implements wire.Handler.
func (h *handler) Pull(dst []byte) ([]byte, wire.Next) {
	s := h.session.Load()
	if s == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		return append(dst, h.refusal...), h.end
	}
	events, more := s.Pull(h.events[:0], pullBytes)
	dst, next := h.encode(dst, events)
	next.More = more
	clear(events)
	if cap(events) <= 64 {
		h.events = events[:0]
	} else {
		h.events = nil
	}
	return dst, next
}

// encode joins the frames of events, and a heartbeat if one is due, into one message: a frame, or an array of several.
func (h *handler) encode(dst []byte, events []hub.Event) ([]byte, wire.Next) {
	var next wire.Next
	start, frames := len(dst), 0
	dst = append(dst, '[')
	for i := range events {
		if frames++; frames > 1 {
			dst = append(dst, ',')
		}
		dst = appendEvent(dst, &events[i])
		if events[i].Kind == hub.EventEnd {
			err := events[i].Detail.Err
			next = wire.Next{End: int(err.Code), Reason: err.Text}
			break
		}
	}
	if h.heart.Swap(false) {
		if frames++; frames > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, encodePong("ping", nil, time.Now())...)
	}
	switch frames {
	case 0:
		return dst[:start], next
	case 1:
		return append(dst[:start], dst[start+1:]...), next
	}
	return append(dst, ']'), next
}

// Heartbeat implements wire.Handler.
func (h *handler) Heartbeat() {
	if h.session.Load() != nil {
		h.heart.Store(true)
		h.conn.Wake()
	}
}

// Closed implements wire.Handler.
func (h *handler) Closed(lastHeard time.Time) {
	h.hurry.Stop()
	h.mu.Lock()
	h.finished = true
	h.mu.Unlock()
	if s := h.session.Load(); s != nil {
		var last int64
		if !lastHeard.IsZero() {
			last = lastHeard.UnixMilli()
		}
		s.Close(last)
	}
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
