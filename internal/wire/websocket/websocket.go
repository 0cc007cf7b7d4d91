package websocket

import (
	"bufio"
	"compress/flate"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
)

// Options of an Endpoint.
type Options struct {
	// Subprotocol is offered; a client that asks only for others is refused.
	Subprotocol string
	// MessageBytes is the largest message that is handed over.
	MessageBytes int64
	// TooLargeCode closes a connection whose message is more than twice that, TimeoutCode one whose message takes too long.
	TooLargeCode, TimeoutCode int
	// CompressFrom is from how many bytes on what is sent is compressed, for a peer that has agreed to (RFC 7692). 0: nothing is.
	CompressFrom int
	// AllowOrigin decides about browsers' pages, by the Origin header.
	AllowOrigin func(*http.Request) bool
}

// Endpoint accepts WebSocket connections.
type Endpoint struct {
	o        Options
	upgrader websocket.Upgrader
}

// strangerBytes is what a compressed message of a peer that has not shown who it is may inflate to. Browsers compress their very first message.
const strangerBytes = 64 << 10

// closePatience is how long a connection that is being closed waits for the peer.
const closePatience = 2 * time.Second

var writeBuffers = &sync.Pool{}

// New makes an Endpoint.
func New(o Options) *Endpoint {
	return &Endpoint{o: o, upgrader: websocket.Upgrader{
		ReadBufferSize: 4096, WriteBufferSize: 4096, WriteBufferPool: writeBuffers,
		Subprotocols: []string{o.Subprotocol}, CheckOrigin: o.AllowOrigin, HandshakeTimeout: 10 * time.Second,
		Error: refuse,
	}}
}

func refuse(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	w.Header().Set("Sec-Websocket-Version", "13")
	text := reason.Error()
	if status == http.StatusForbidden {
		text = "this page's origin may not connect; add it to the server's origins"
	}
	http.Error(w, text, status)
}

// Serve upgrades a request and moves messages until the connection ends. An error means that the request was refused and answered.
func (e *Endpoint) Serve(w http.ResponseWriter, r *http.Request, handler func(wire.Conn) wire.Handler) error {
	asked := websocket.Subprotocols(r)
	if len(asked) > 0 && !slices.Contains(asked, e.o.Subprotocol) {
		err := errors.New("none of the subprotocols asked for is spoken here; ask for " + e.o.Subprotocol)
		refuse(w, r, http.StatusBadRequest, err)
		return err
	}
	in := &incoming{o: &e.o, deflate: offersDeflate(r)}
	upgrader := e.upgrader
	upgrader.EnableCompression = in.deflate
	ws, err := upgrader.Upgrade(hijacker{w, in}, r, nil)
	if err != nil {
		return err
	}
	ws.EnableWriteCompression(false)
	c := &conn{ws: ws, in: in, o: &e.o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	c.heard()
	c.handler = handler(c)
	c.run()
	return nil
}

// hijacker gives the connection of a request as an incoming.
type hijacker struct {
	http.ResponseWriter
	in *incoming
}

// Hijack implements http.Hijacker.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.in.Conn = nc
	return h.in, rw, err
}

// conn is one connection. The reader is the goroutine of Serve.
type conn struct {
	ws        *websocket.Conn
	in        *incoming
	o         *Options
	handler   wire.Handler
	wake      chan struct{}
	done      chan struct{} // closed when the reader has ended
	lastHeard atomic.Int64  // Unix nanoseconds
	goodbye   bool          // the peer closed in order; the reader's
	closed    sync.Once     // handler.Closed was called

	// What the writer is to send besides. Only the newest ping is answered (RFC 6455 §5.5.3), so a flood of them costs nothing.
	pong atomic.Pointer[string]
	ping atomic.Bool
}

func (c *conn) heard() { c.lastHeard.Store(time.Now().UnixNano()) }

// Wake implements wire.Conn.
func (c *conn) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close implements wire.Conn. The closing handshake is begun and not waited for: the peer may be gone.
func (c *conn) Close(code int, reason string) {
	go func() {
		c.sayClose(code, reason)
		c.ws.Close()
	}()
}

func (c *conn) sayClose(code int, reason string) {
	_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, clip(reason)), time.Now().Add(time.Second))
}

// clip cuts a close reason to what a control frame can hold (RFC 6455 §5.5: 125 bytes with the code).
func clip(reason string) string {
	const most = 123
	if len(reason) <= most {
		return reason
	}
	n := most
	for n > 0 && !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

func (c *conn) run() {
	c.ws.SetPongHandler(func(string) error { c.heard(); return nil })
	c.ws.SetPingHandler(func(s string) error {
		c.heard()
		c.pong.Store(&s)
		c.Wake()
		return nil
	})
	watch := wire.NewWatch(c.beat, c.check)
	defer watch.Stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write()
	}()
	c.read()
	close(c.done)
	c.ws.Close()
	<-written
	c.over(c.goodbye)
}

// over tells the handler that the connection has ended.
func (c *conn) over(goodbye bool) {
	c.closed.Do(func() {
		var last time.Time
		if !goodbye {
			last = time.Unix(0, c.lastHeard.Load())
		}
		c.handler.Closed(last)
	})
}

var readBuffers = sync.Pool{New: func() any { return new([]byte) }}

// keptBuffer is the largest buffer that goes back to a pool: one huge message must not pin its memory.
const keptBuffer = 256 << 10

func (c *conn) read() {
	for {
		kind, r, err := c.ws.NextReader()
		if err == nil {
			err = c.receive(kind == websocket.BinaryMessage, r)
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// fail ends a connection of which no more is read, and says why to a peer that is still there.
func (c *conn) fail(err error) {
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		c.goodbye = closed.Code == websocket.CloseNormalClosure || closed.Code == websocket.CloseGoingAway
		return
	}
	if refused, ok := errors.AsType[*refusal](err); ok {
		c.sayClose(refused.code, refused.text)
	} else if _, ok := errors.AsType[flate.CorruptInputError](err); ok {
		c.sayClose(websocket.CloseInvalidFramePayloadData, "the compressed message is damaged")
	}
	c.discard()
}

// receive reads one message and hands it over. Of a compressed one no more is inflated than is held or told of.
func (c *conn) receive(binary bool, r io.Reader) error {
	limit, more := c.o.MessageBytes, c.o.MessageBytes
	if c.in.compressed() && !c.vetted() {
		limit, more = min(limit, strangerBytes), 0
	}
	buf := readBuffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keptBuffer {
			readBuffers.Put(buf)
		}
	}()
	msg, err := c.readUpTo((*buf)[:0], r, int(limit)+1)
	*buf = msg
	if err != nil {
		return err
	}
	if int64(len(msg)) <= limit {
		c.handler.Receive(msg, binary)
		return nil
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(r, more))
	if err == nil && rest == more {
		err = &refusal{c.o.TooLargeCode, "the message is far too large; see the limits in welcome"}
	}
	if err == nil {
		c.handler.TooLarge(int64(len(msg)) + rest)
	}
	return err
}

// vetted reports whether the peer has shown who it is, as far as the protocol asks for that.
func (c *conn) vetted() bool {
	v, asks := c.handler.(wire.Vetter)
	return !asks || v.Vetted()
}

// discard says that nothing more comes, and reads for a moment what the peer is still sending: closing with bytes unread resets the connection, and the peer
// would not see why.
func (c *conn) discard() {
	if half, ok := c.in.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the peer may be gone
	}
	_ = c.in.SetReadDeadline(time.Now().Add(closePatience))
	_, _ = io.Copy(io.Discard, c.in.Conn)
}

// readUpTo reads until the end of the message or most bytes. Each piece is a sign of life.
func (c *conn) readUpTo(buf []byte, r io.Reader, most int) ([]byte, error) {
	for len(buf) < most {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), most)])
		buf = buf[:len(buf)+n]
		c.heard()
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

var outBuffers = sync.Pool{New: func() any { return new([]byte) }}

func (c *conn) write() {
	for {
		select {
		case <-c.wake:
			if !c.flush() {
				return
			}
		case <-c.done:
			return
		}
	}
}

// flush writes what can be pulled until nothing is left. A buffer is borrowed for that time only.
func (c *conn) flush() bool {
	buf := outBuffers.Get().(*[]byte)
	defer func() {
		if cap(*buf) <= keptBuffer {
			outBuffers.Put(buf)
		}
	}()
	for {
		out, next := c.handler.Pull((*buf)[:0])
		*buf = out
		if err := c.send(out); err != nil {
			c.ws.Close()
			c.over(false) // the reader may be in a Receive that waits for answers to leave
			return false
		}
		if next.End != 0 {
			c.sayClose(next.End, next.Reason)
			c.linger()
			return false
		}
		if !next.More {
			return true
		}
	}
}

// send writes a message, if it is one, behind the control frames that are due. However long the peer takes, the write waits.
func (c *conn) send(msg []byte) error {
	var err error
	if pong := c.pong.Swap(nil); pong != nil {
		err = c.ws.WriteControl(websocket.PongMessage, []byte(*pong), time.Time{})
	}
	if err == nil && c.ping.Swap(false) {
		err = c.ws.WriteControl(websocket.PingMessage, nil, time.Time{})
	}
	if err != nil || len(msg) == 0 {
		return err
	}
	if !c.in.deflate || c.o.CompressFrom == 0 || len(msg) < c.o.CompressFrom || !c.vetted() {
		return c.ws.WriteMessage(websocket.TextMessage, msg)
	}
	// Prepared, so that the compressor, which is large, has gone back to its pool before the peer takes its time.
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, msg)
	if err != nil {
		return err
	}
	c.ws.EnableWriteCompression(true)
	defer c.ws.EnableWriteCompression(false)
	return c.ws.WritePreparedMessage(prepared)
}

// linger gives the peer a moment to answer the closing handshake, so that it reads everything before the connection is reset.
func (c *conn) linger() {
	t := time.NewTimer(closePatience)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
		c.over(false)
	}
	c.ws.Close()
}

// beat gives a sign of life and asks for one.
func (c *conn) beat() {
	c.handler.Heartbeat()
	c.ping.Store(true)
	c.Wake()
}

// check ends the connection if neither the peer nor its network has given a sign since it was asked.
func (c *conn) check(asked time.Time) bool {
	if c.lastHeard.Load() < asked.UnixNano() && !liveness.Draining(c.ws.NetConn()) {
		c.ws.Close()
		return false
	}
	return true
}
