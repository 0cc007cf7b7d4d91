package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/hub"
)

// conn is one connection.
type conn struct {
	ws    *websocket.Conn
	gone  chan struct{} // closed when reading has ended
	heard *heardConn

	mu     sync.Mutex
	reason error       // why it ended, if we or an error frame said so
	goaway *time.Timer // ends the connection when the server's delay has passed
}

// heardConn ends a read when nothing at all was heard for a time. Any byte counts: a large message on a slow line is a sign of life.
type heardConn struct {
	net.Conn
	silence atomic.Int64 // a time.Duration
}

func (h *heardConn) Read(b []byte) (int, error) {
	if err := h.SetReadDeadline(time.Now().Add(time.Duration(h.silence.Load()))); err != nil {
		return 0, err
	}
	return h.Conn.Read(b)
}

// fail ends the connection for a reason; the first one counts.
func (n *conn) fail(reason error) {
	n.because(reason)
	_ = n.ws.Close()
}

func (n *conn) because(reason error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.reason == nil {
		n.reason = reason
	}
}

// why returns the reason for the end of the connection, given the error of the read that ended it.
func (n *conn) why(err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.goaway != nil {
		n.goaway.Stop()
	}
	if n.reason != nil {
		return n.reason
	}
	if e, ok := errors.AsType[*websocket.CloseError](err); ok && e.Code >= 4000 && e.Code < 4300 {
		return &hub.Error{Code: hub.Code(e.Code), Text: e.Text}
	}
	return err
}

// leaveAt ends the connection when a goaway's delay has passed, unless the server does so before.
func (n *conn) leaveAt(delay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.goaway == nil {
		n.goaway = time.AfterFunc(delay, func() { n.fail(&hub.Error{Code: hub.CodeGoaway, Text: "the server is draining"}) })
	}
}

// goodbye closes the WebSocket, so that the server knows that we leave on purpose, and waits until reading has ended with the server's close.
// Closing the socket at once instead could throw away the close frame if there is unread input.
func (n *conn) goodbye() {
	message := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := n.ws.WriteControl(websocket.CloseMessage, message, time.Now().Add(closeTimeout)); err != nil {
		n.fail(err)
	}
	<-n.gone
}

// send writes frames as one WebSocket message.
func (n *conn) send(frames [][]byte) error {
	if len(frames) == 1 {
		return n.ws.WriteMessage(websocket.TextMessage, frames[0])
	}
	w, err := n.ws.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	separator := []byte{'['}
	for _, f := range frames {
		_, _ = w.Write(separator) // Close reports the error of any write
		_, _ = w.Write(f)
		separator[0] = ','
	}
	_, _ = w.Write([]byte{']'})
	return w.Close()
}

// connect makes a connection up to the server's welcome.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	hello, err := c.hello(ctx)
	if err != nil {
		return nil, err
	}
	n, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { n.fail(ctx.Err()) })
	defer stop()
	welcome, err := n.handshake(hello)
	if err != nil {
		n.fail(err)
		return nil, n.why(err)
	}
	c.welcomed(n, welcome)
	return n, nil
}

func (c *Client) hello(ctx context.Context) ([]byte, error) {
	r := request{Type: "connect", App: c.o.App}
	switch {
	case c.o.Key != "":
		r.Key = c.o.Key + ":" + c.o.Secret
	case c.o.Token != nil:
		token, err := c.o.Token(ctx)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		r.Token = token
	}
	return r.encode(nil), nil
}

func (c *Client) open(ctx context.Context) (*conn, error) {
	n := &conn{gone: make(chan struct{})}
	dialer := websocket.Dialer{
		Proxy: http.ProxyFromEnvironment, HandshakeTimeout: handshakeTimeout, Subprotocols: []string{"sno.v1"},
		ReadBufferSize: batchBytes, WriteBufferSize: batchBytes,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			n.heard = &heardConn{Conn: raw}
			n.heard.silence.Store(int64(handshakeTimeout))
			return n.heard, nil
		},
	}
	ws, response, err := dialer.DialContext(ctx, c.url, nil) //nolint:bodyclose // refusal reads it to its end; on success there is none
	if errors.Is(err, websocket.ErrBadHandshake) && response != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.url, refusal(response))
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.url, err)
	}
	n.ws = ws
	return n, nil
}

// refusal reads why an upgrade was refused: an HTTP problem with a code of the protocol, if it was Snö that answered.
func refusal(response *http.Response) error {
	var problem struct {
		Code   hub.Code `json:"code"`
		Detail string   `json:"detail"`
		Text   string   `json:"text"`
	}
	body, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err := json.Unmarshal(body, &problem); err != nil || problem.Code == 0 {
		return fmt.Errorf("the server answered %s; is this the address of a Snö server?", response.Status)
	}
	if problem.Text == "" {
		problem.Text = problem.Detail
	}
	return &hub.Error{Code: problem.Code, Text: problem.Text}
}

func (n *conn) handshake(hello []byte) (*frame, error) {
	if err := n.ws.WriteMessage(websocket.TextMessage, hello); err != nil {
		return nil, err
	}
	_, b, err := n.ws.ReadMessage()
	if err != nil {
		return nil, err
	}
	frames, err := decodeFrames(b)
	if err != nil || len(frames) == 0 {
		return nil, fmt.Errorf("the server's first frame could not be read: %q", clip(b))
	}
	switch f := &frames[0]; f.Type {
	case "welcome":
		return f, nil
	case "error":
		return nil, f.err()
	default:
		return nil, fmt.Errorf("the server's first frame is %q instead of welcome", f.Type)
	}
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }

// welcomed makes a connection the client's, with everything to be told the server first.
func (c *Client) welcomed(n *conn, w *frame) {
	heartbeat := time.Duration(w.Heartbeat) * time.Millisecond
	if heartbeat <= 0 {
		heartbeat = 25 * time.Second
	}
	n.heard.silence.Store(int64(heartbeat + c.o.heartbeatSlack))
	c.mu.Lock()
	c.conn, c.state, c.session = n, StateConnected, w.Session
	c.maxFrame = w.Limits.FrameBytes
	if w.Backoff.Min > 0 && w.Backoff.Max >= w.Backoff.Min {
		c.backoff = backoff{time.Duration(w.Backoff.Min) * time.Millisecond, time.Duration(w.Backoff.Max) * time.Millisecond}
	}
	c.urgent = nil
	for _, s := range c.subs {
		c.urgent = append(c.urgent, c.subscribeFrame(s))
	}
	for _, enter := range c.members {
		c.urgent = append(c.urgent, enter)
	}
	c.mu.Unlock()
	c.o.OnState(StateConnected, nil)
}

// reconnect connects again as the code of err says, until it succeeds, ctx ends, or a code says not to. lived is how long the lost connection lasted.
func (c *Client) reconnect(ctx context.Context, err error, lived time.Duration) (*conn, error) {
	c.mu.Lock()
	least := c.backoff.min
	c.mu.Unlock()
	if c.quick++; lived > least {
		c.quick = 0
	}
	for attempt := c.quick; ctx.Err() == nil; attempt++ {
		delay, ok := c.pause(err, attempt)
		if !ok {
			return nil, err
		}
		c.o.Logger.Warn("connection lost, connecting again", "url", c.url, "in", delay.Round(time.Millisecond), "err", err)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ErrClosed
		}
		var n *conn
		if n, err = c.connect(ctx); err == nil {
			c.o.Logger.Info("connected again", "url", c.url, "session", c.Session())
			return n, nil
		}
	}
	return nil, ErrClosed
}

// pause says how long to wait before connecting again, or not to.
func (c *Client) pause(err error, attempt int) (delay time.Duration, ok bool) {
	c.mu.Lock()
	b := c.backoff
	c.mu.Unlock()
	e, coded := errors.AsType[*hub.Error](err)
	switch {
	case coded && e.Code.Reconnect() == "no":
		return 0, false
	case coded && e.Code.Reconnect() == "now" && attempt == 0:
		return 0, true
	}
	return b.delay(attempt), true
}
