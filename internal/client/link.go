package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// Transport is a way to move frames. A client may change it at any time: it goes on where it was.
type Transport string

// The transports there are. Auto takes the first of the others that gets through to the server, in this order, and remembers it.
const (
	Auto      Transport = "auto"
	WebSocket Transport = "websocket"
	Stream    Transport = "stream"
	SSE       Transport = "sse"
	Poll      Transport = "poll"
)

// Transports returns the transports without Auto, in the order in which Auto tries them.
func Transports() []Transport { return []Transport{WebSocket, Stream, SSE, Poll} }

// ParseTransport reads the name of a transport; "" is Auto.
func ParseTransport(name string) (Transport, error) {
	t := cmp.Or(Transport(name), Auto)
	if t != Auto && !slices.Contains(Transports(), t) {
		return "", fmt.Errorf("transport %q: there are auto, websocket, stream, sse and poll", name)
	}
	return t, nil
}

// ErrNoWelcome says that a connection was made, or not, and nobody has said anything on it.
var ErrNoWelcome = errors.New("no welcome")

// link is one connection by one transport. One goroutine reads, another one sends and leaves; close may be called from any.
type link interface {
	// read waits for frames from the server. The frames of one call have been handled when it is called again. A link that the server has
	// ended with a code gives a *hub.Error.
	read() ([]frame, error)
	// send returns when more may be sent. What it was given may be lost with the connection.
	send(frames [][]byte) error
	// greeted tells the link what the server's welcome says, and after how long a silence the connection counts as lost.
	greeted(w *frame, silence time.Duration)
	// leave tells the server that the client does not mean to come back, upon which the server ends the connection.
	leave() error
	// close ends the connection without a word.
	close()
}

// bodyHeadroom is what a request's body may have besides the frames that it is for: who sends them, where it was, and its members.
const bodyHeadroom = 32 << 10

// headroom is how much smaller than the server's limit a frame has to be to fit.
func (t Transport) headroom() int {
	if t == WebSocket {
		return 0
	}
	return bodyHeadroom
}

// open makes a link; the server's answer to hello is what it reads first.
func (c *Client) open(ctx context.Context, t Transport, hello request) (link, error) {
	switch t {
	case WebSocket:
		return openWebSocket(ctx, c.server, c.o.BufferBytes, hello.encode(nil))
	case Poll:
		return newPollLink(c.server, hello, c.memberships), nil
	default:
		return openStream(ctx, c.server, t, c.o.BufferBytes, hello.encode(nil))
	}
}

// candidates are the transports to try, the one that worked last first.
func (c *Client) candidates() []Transport {
	if c.o.Transport != Auto {
		return []Transport{c.o.Transport}
	}
	all := Transports()
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(all, c.transport); i > 0 {
		all = slices.Insert(slices.Delete(all, i, i+1), 0, c.transport)
	}
	return all
}

// connect makes a connection up to the server's welcome, by the first transport that gets through.
func (c *Client) connect(ctx context.Context) (*conn, error) {
	if err := c.o.Before(ctx); err != nil {
		return nil, err
	}
	hello, err := c.hello(ctx)
	if err != nil {
		return nil, err
	}
	var failed []string
	candidates := c.candidates()
	for i, t := range candidates {
		patience := c.o.patience
		if i < len(candidates)-1 {
			patience /= 2 // a proxy that holds everything back answers nothing: there is another way to try
		}
		n, err := c.connectBy(ctx, t, hello, patience)
		if err == nil {
			return n, nil
		}
		if ctx.Err() != nil || len(candidates) == 1 || !blocked(err) {
			return nil, fmt.Errorf("connect to %s: %w", c.server.base, err)
		}
		c.o.Logger.Debug("a transport does not get through", "transport", t, "err", err)
		failed = append(failed, fmt.Sprintf("%s: %v", t, err))
	}
	return nil, fmt.Errorf("connect to %s: no transport gets through; %s", c.server.base, strings.Join(failed, "; "))
}

// blocked says whether another transport may succeed where one has failed so: it reached somebody, but that was not the server, or it had no answer. What
// the server itself refuses it refuses on every transport, and a host that is not there has none.
func blocked(err error) bool {
	if _, coded := errors.AsType[*hub.Error](err); coded {
		return false
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return false
	}
	e, ok := errors.AsType[*net.OpError](err)
	return !ok || e.Op != "dial"
}

// connectBy makes a connection by one transport. hello may be sent, and have had an effect, also when it fails.
func (c *Client) connectBy(ctx context.Context, t Transport, hello request, patience time.Duration) (*conn, error) {
	silent := fmt.Errorf("%w within %v", ErrNoWelcome, patience)
	ctx, cancel := context.WithTimeoutCause(ctx, patience, silent)
	defer cancel()
	l, err := c.open(ctx, t, hello)
	if err != nil {
		return nil, whyEnded(ctx, err)
	}
	n := &conn{link: l, transport: t, gone: make(chan struct{})}
	stop := context.AfterFunc(ctx, l.close)
	welcome, err := n.welcome()
	if !stop() && err == nil { // closed a moment after the welcome came
		err = ctx.Err()
	}
	if err != nil {
		l.close()
		return nil, whyEnded(ctx, err)
	}
	c.welcomed(n, welcome)
	return n, nil
}

// whyEnded returns the reason for which ctx ended, if it has, instead of what that has led to.
func whyEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
