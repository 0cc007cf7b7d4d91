package client

import (
	"context"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// serve reads one connection until it ends and says why it did.
func (c *Client) serve(n *conn) error {
	// A server that does not read, or does not answer the close frame, must not keep Close.
	stop := context.AfterFunc(c.ctx, func() {
		select {
		case <-n.gone:
		case <-time.After(closeTimeout):
			n.fail(ErrClosed)
		}
	})
	defer stop()
	writer := make(chan struct{})
	go func() {
		defer close(writer)
		c.write(n)
	}()
	err := n.why(c.read(n))
	n.link.close()
	close(n.gone)
	<-writer
	return err
}

func (c *Client) read(n *conn) error {
	for i := range n.early {
		c.handle(n, &n.early[i])
	}
	n.early = nil
	for {
		frames, err := n.link.read()
		if err != nil {
			return err
		}
		if c.ctx.Err() != nil {
			continue // closing: only the end counts
		}
		for i := range frames {
			c.handle(n, &frames[i])
		}
	}
}

// write sends what there is to be sent, as many frames at a time as have gathered.
func (c *Client) write(n *conn) {
	for c.ctx.Err() == nil {
		frames, wait := c.takeFrames()
		if len(frames) > 0 {
			if err := n.link.send(frames); err != nil {
				n.fail(err)
				return
			}
			continue
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = time.After(wait)
		}
		select {
		case <-c.wake:
		case <-timer:
		case <-n.gone:
			return
		case <-c.ctx.Done():
		}
	}
	n.goodbye()
}

func (c *Client) takeFrames() (frames [][]byte, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := newBatch(c.maxFrame)
	for len(c.urgent) > 0 && b.add(c.urgent[0]) {
		c.urgent = c.urgent[1:]
	}
	if len(c.urgent) == 0 {
		wait = c.outbox.take(time.Now(), c.backoff, b)
	}
	return b.frames, wait
}

func (c *Client) handle(n *conn, f *frame) {
	switch f.Type {
	case "message", "skip", "reset":
		c.follow(f)
	case "subscribed":
		c.subscribed(f)
	case "goaway":
		n.leaveAt(time.Duration(f.Delay) * time.Millisecond)
	case "ping":
	case "error":
		c.failed(n, f)
	case "unsubscribed", "presence":
		if f.Ref == 0 {
			c.follow(f)
			return
		}
		c.answered(f, nil)
	default:
		if f.Ref != 0 {
			c.answered(f, nil)
		}
	}
}

// failed handles an error frame: of a subscribe, of another request, or of the connection.
func (c *Client) failed(n *conn, f *frame) {
	switch {
	case f.Ref != 0 && c.subscribeFailed(f):
	case f.Ref != 0 && c.enterFailed(f):
	case f.Ref != 0:
		c.answered(f, f.err())
	case f.Code.Reconnect() != "stay":
		n.because(f.err())
	default:
		c.o.Logger.Warn("the server reported an error", "code", f.Code.String(), "channel", f.Channel, "text", f.Text)
	}
}

// answered finishes a request, or keeps it to be sent again.
func (c *Client) answered(f *frame, err error) {
	c.mu.Lock()
	p := c.outbox.answer(f.Ref)
	if p == nil {
		c.mu.Unlock()
		return
	}
	if p.retry && worthRetry(err) {
		first := !c.outbox.held // what was sent behind it is refused too
		c.outbox.refuse(p)
		c.mu.Unlock()
		c.o.OnRetry(err)
		if first {
			c.o.Logger.Warn("refused, trying again", "code", f.Code.String(), "text", f.Text)
		}
		c.wakeWriter()
		return
	}
	c.outbox.finish(p)
	if err == nil {
		c.outbox.refusals = 0
	}
	held := c.outbox.held
	c.mu.Unlock()
	if held {
		c.wakeWriter()
	}
	p.done(f, err)
}

func tooLarge(size, limit int) *hub.Error {
	return hub.Errorf(hub.CodeMessageTooLarge, "the frame has %d bytes, more than the server's limit of %d; nothing was sent", size, limit)
}
