package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// conn is one connection.
type conn struct {
	link      link
	transport Transport
	early     []frame       // came with the welcome
	gone      chan struct{} // closed when reading has ended

	mu     sync.Mutex
	reason error       // why it ended, if we or an error frame said so
	goaway *time.Timer // ends the connection when the server's delay has passed
}

// fail ends the connection for a reason; the first one counts.
func (n *conn) fail(reason error) {
	n.because(reason)
	n.link.close()
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

// goodbye takes leave of the server, and waits until reading has ended.
func (n *conn) goodbye() {
	if err := n.link.leave(); err != nil {
		n.fail(err)
	}
	<-n.gone
}

// hello says who connects, and as which session if there was one.
func (c *Client) hello(ctx context.Context) (request, error) {
	c.mu.Lock()
	r := request{Type: "connect", App: c.o.App, SessionKey: c.sessionKey}
	c.mu.Unlock()
	switch {
	case c.o.Key != "":
		r.Key = c.o.Key + ":" + c.o.Secret
	case c.o.Token != nil:
		token, err := c.o.Token(ctx)
		if err != nil {
			return r, fmt.Errorf("token: %w", err)
		}
		r.Token = token
	}
	return r, nil
}

// welcome reads the server's answer to the connect frame.
func (n *conn) welcome() (*frame, error) {
	frames, err := n.link.read()
	if err != nil {
		return nil, err
	}
	if len(frames) == 0 {
		return nil, errors.New("the server's first message has no frame")
	}
	n.early = frames[1:]
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
	n.link.greeted(w, heartbeat+c.o.heartbeatSlack)
	c.mu.Lock()
	c.conn, c.state, c.transport, c.session, c.sessionKey = n, StateConnected, n.transport, w.Session, w.SessionKey
	if c.maxFrame = 0; w.Limits.FrameBytes > 0 {
		c.maxFrame = max(w.Limits.FrameBytes-n.transport.headroom(), 1)
	}
	if w.Backoff.Min > 0 && w.Backoff.Max >= w.Backoff.Min {
		c.backoff = backoff{time.Duration(w.Backoff.Min) * time.Millisecond, time.Duration(w.Backoff.Max) * time.Millisecond}
	}
	c.urgent = nil
	for _, s := range c.subs {
		c.urgent = append(c.urgent, c.subscribeFrame(s))
	}
	for key, m := range c.members {
		c.urgent = append(c.urgent, c.enterFrame(key, m))
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
		c.o.Logger.Warn("connection lost, connecting again", "url", c.server.base, "in", delay.Round(time.Millisecond), "err", err)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ErrClosed
		}
		var n *conn
		if n, err = c.connect(ctx); err == nil {
			c.o.Logger.Info("connected again", "url", c.server.base, "transport", c.Transport(), "session", c.Session())
			return n, nil
		}
		if ctx.Err() == nil {
			c.o.OnRetry(err)
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
	case coded && e.Code == hub.CodeReplaced && attempt == 0:
		// By a connection of our own that we had given up and that came late, and is gone: nobody else knows the session's key. That says nothing about the server, so it is no
		// reason to wait longer each time either.
		return 0, true
	case coded && e.Code == hub.CodeReplaced:
		return b.delay(0), true
	case coded && e.Code.Reconnect() == "no":
		return 0, false
	case coded && e.Code.Reconnect() == "now" && attempt == 0:
		return 0, true
	}
	return b.delay(attempt), true
}
