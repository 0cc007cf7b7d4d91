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
	// minKeyBytes and maxKeyBytes bound a session key: one that is shorter could be guessed.
	minKeyBytes = 26
	maxKeyBytes = 128
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

	streams sync.Map // session id → *Handler, of those that are sent to by Send
}

// MinBackoff is what clients begin with when they connect again after a failure.
func (p *Protocol) MinBackoff() time.Duration { return cmp.Or(p.Backoff, backoffMin) }

// Connection says what a handler is for.
type Connection struct {
	// Grant is what the connection request's own credential allows, or nil.
	Grant *hub.Grant
	// Anonymous is what a client gets whose connect frame shows nothing either. Default: Credentials.Anonymous.
	Anonymous func(app string) (*hub.Grant, error)
	// Transport and Address are as in hub.SessionOptions.
	Transport, Address string
	// Append puts one frame into the bytes of the transport; cursor is a token for what the client has with it, or empty. Default: the frames of
	// one Pull are one message, an array if they are several. Without EveryFrame and Poll, all connections that have one have the same.
	Append func(dst, frame []byte, cursor string) []byte
	// EveryFrame: a frame that moves a cursor is appended with a token.
	EveryFrame bool
	// Poll: the connection is one request that ends with a token.
	Poll bool
	// Beside: what the client has to say later comes by Send.
	Beside bool
	// Strict: a request among the first frames that fails ends the connection with its error.
	Strict bool
}

// FrameBytes is the largest frame that is read: the largest message, as base64.
func (p *Protocol) FrameBytes() int64 {
	return int64(p.Hub.Limits().MessageBytes)*4/3 + MessageOverhead
}

// Handler returns the handler of a new connection.
func (p *Protocol) Handler(conn wire.Conn, c Connection) *Handler {
	h := &Handler{Protocol: p, conn: conn, c: c, strict: c.Strict}
	if c.EveryFrame || c.Poll {
		h.cursors = &cursors{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hurry = time.AfterFunc(connectTimeout, func() {
		h.refuse(hub.Errorf(hub.CodeTimeout, "no connect frame within %s: send {\"type\":\"connect\"} first", connectTimeout), nil)
	})
	return h
}

// Handler is one connection.
type Handler struct {
	*Protocol
	c       Connection
	conn    wire.Conn
	session atomic.Pointer[hub.Session]
	heart   atomic.Bool  // a heartbeat is due
	posts   atomic.Int32 // requests beside the stream that wait for receiving, or have it
	greeted uint64       // the time that welcome told, in Unix milliseconds

	receiving sync.Mutex
	bad       int32
	strict    bool
	news      bool       // Pull's
	order     *hub.Order // of the client's ordered publishes
	cursors   *cursors   // Pull's; nil: the transport carries no tokens

	mu       sync.Mutex
	hurry    *time.Timer
	refused  *refused
	finished bool
}

// refused is how a connection ends that got no session.
type refused struct {
	frame []byte
	end   wire.Next
}

// Receive implements wire.Handler.
func (h *Handler) Receive(msg []byte, binary bool) {
	h.receiving.Lock()
	defer h.receiving.Unlock()
	if binary {
		h.reject(nil, hub.Errorf(hub.CodeBadRequest, "a binary WebSocket message: frames are text, binary data goes into base64"))
		return
	}
	split := splitFrames
	if h.c.Append != nil {
		split = splitBody
	}
	frames, err := split(msg)
	switch {
	case err != nil:
		h.reject(nil, err)
	case len(frames) == 0 && h.c.Append != nil:
		h.reject(nil, hub.Errorf(hub.CodeBadHandshake, "the body is empty: send {\"type\":\"connect\"} first"))
	}
	h.frames(frames)
	h.strict = false // only what opens the connection is
}

// frames carries out frames. Called with receiving held.
func (h *Handler) frames(frames []json.RawMessage) {
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
func (h *Handler) TooLarge(size int64) {
	h.reject(nil, hub.Errorf(hub.CodeMessageTooLarge, "a frame of %d bytes; the limit is %d (limits.message_bytes and what base64 adds); nothing was stored", size, h.FrameBytes()))
}

// reject answers a frame that could not be understood.
func (h *Handler) reject(ref json.RawMessage, err *hub.Error) {
	s := h.session.Load()
	if s == nil {
		h.refuse(hub.Errorf(hub.CodeBadHandshake, "%s", err.Text), ref)
		return
	}
	if h.bad++; h.bad > maxBadFrames {
		s.End(hub.Errorf(hub.CodeBadFrame, "%d frames could not be understood; the last: %s", h.bad, err.Text))
		return
	}
	if h.strict {
		s.End(err)
	} else if s.Reserve(0) == nil {
		h.answer(s, 0, newFrame("error", ref).error(err).end())
	}
}

func (h *Handler) answer(s *hub.Session, n int, frame []byte) {
	s.Answer(n, answer{frame: frame}, len(frame))
}

// refuse ends a connection that has no session.
func (h *Handler) refuse(err *hub.Error, ref json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.finished || h.session.Load() != nil {
		return
	}
	LogRefusal(h.Logger, slog.String("transport", h.c.Transport), h.c.Address, err)
	h.finished = true
	h.refused = &refused{newFrame("error", ref).error(err).end(), wire.Next{End: int(err.Code), Reason: err.Text}}
	h.conn.Wake()
}

// connect handles the first frame.
func (h *Handler) connect(f *frame) {
	if f.Type != "connect" {
		h.refuse(hub.Errorf(hub.CodeBadHandshake, "the first frame is %q: send {\"type\":\"connect\"} first", clip(f.Type)), f.Ref)
		return
	}
	h.inTime() // what the credential needs to be checked is not the client's delay
	grant, err := h.credential(f)
	h.c.Anonymous, h.c.Grant = nil, nil // they may hold the request
	if n := len(f.SessionKey); err == nil && n > 0 && (n < minKeyBytes || n > maxKeyBytes) {
		err = hub.Errorf(hub.CodeBadHandshake, "session_key has %d bytes; it is what an earlier welcome said", n)
	}
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
	o := hub.SessionOptions{Key: f.SessionKey, Transport: h.c.Transport, Address: h.c.Address, Subscriptions: h.maxChannels()}
	if looped, ok := h.conn.(wire.Looped); ok {
		if l := looped.Loop(); l != nil {
			o.Lane = l
		}
	}
	s := h.Hub.NewSession(grant, o, h.conn)
	if s.Reserve(0) == nil {
		frame := h.welcome(f.Ref, s)
		s.Answer(0, answer{frame: frame, quiet: true}, len(frame))
	}
	if h.c.Beside {
		h.streams.Store(s.ID(), h) // before Pull can give out welcome: whoever has read it may send
	}
	h.session.Store(s)
	h.conn.Wake()
}

// inTime ends the wait for the first frame.
func (h *Handler) inTime() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hurry != nil {
		h.hurry.Stop()
		h.hurry = nil
	}
}

// maxChannels is how many channels the transport's token can carry; 0: it carries none.
func (h *Handler) maxChannels() int {
	switch {
	case h.c.EveryFrame:
		return maxEventChannels
	case h.c.Poll:
		return hub.MaxTokenChannels
	}
	return 0
}

func (h *Handler) credential(f *frame) (*hub.Grant, error) {
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
	case h.c.Grant != nil:
		return h.c.Grant, nil
	case h.c.Anonymous != nil:
		return h.c.Anonymous(f.App)
	default:
		return h.Credentials.Anonymous(f.App)
	}
}

func (h *Handler) welcome(ref json.RawMessage, s *hub.Session) []byte {
	limits := h.Hub.Limits()
	w := newFrame("welcome", ref).str("session", s.ID()).str("session_key", s.Key())
	if client := s.Grant().Client; client != "" {
		w.str("client", client)
	}
	h.greeted = uint64(time.Now().UnixMilli())
	w.num("time", h.greeted).num("heartbeat", uint64(wire.Heartbeat.Milliseconds()))
	w.key("backoff")
	w.object(func(o *writer) {
		o.num("min", uint64(h.MinBackoff().Milliseconds())).num("max", uint64(backoffMax.Milliseconds()))
	})
	w.key("limits")
	w.object(func(o *writer) {
		o.num("message_bytes", uint64(limits.MessageBytes)).num("channel_bytes", uint64(limits.ChannelBytes))
		o.num("subscriptions", uint64(limits.Subscriptions)).num("frame_bytes", uint64(h.FrameBytes()))
	})
	return w.end()
}

// Vetted implements wire.Vetter.
func (h *Handler) Vetted() bool { return h.session.Load() != nil }

// Heartbeat implements wire.Handler.
func (h *Handler) Heartbeat() {
	if h.session.Load() != nil {
		h.heart.Store(true)
		h.conn.Wake()
	}
}

// Closed implements wire.Handler.
func (h *Handler) Closed(lastHeard time.Time) {
	h.inTime()
	h.mu.Lock()
	h.finished = true
	h.mu.Unlock()
	if s := h.session.Load(); s != nil {
		var last int64
		if !lastHeard.IsZero() {
			last = lastHeard.UnixMilli()
		}
		s.Close(last)
		h.streams.CompareAndDelete(s.ID(), h)
	}
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
