package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// ErrClosed is what calls get after Close.
var ErrClosed = errors.New("the client is closed")

// ErrDropped is why a connection has ended after Drop.
var ErrDropped = errors.New("dropped on purpose")

// Client is one connection to a server that is kept up. Its methods may be called from any goroutine but that of its handlers (see the package's doc).
type Client struct {
	o      Options
	server *server
	ctx    context.Context // ends when the client is to close
	cancel context.CancelFunc
	wake   chan struct{} // tells the writer that there may be something to send
	done   chan struct{} // closed when the client has ended
	quick  int           // connections in a row that were lost at once; of the reading goroutine

	mu       sync.Mutex
	state    State
	err      error
	closing  bool
	conn     *conn // nil while not connected
	backoff  backoff
	maxFrame int
	session  string
	// sessionKey lets the next connection go on with the session; transport is that of the newest connection.
	sessionKey string
	transport  Transport

	idPrefix string
	lastID   uint64
	lastRef  uint64

	outbox      outbox
	urgent      [][]byte // frames that go before the outbox: subscriptions, and on a new connection memberships
	subs        map[string]*Subscription
	subscribing map[uint64]*Subscription      // by the ref of the frame under way
	members     map[memberKey]json.RawMessage // with their data; entered again on every connection
	entering    map[uint64]memberKey          // by the ref of the frame under way
}

// Dial connects and returns when the server has said welcome. Without Options.Wait it tries once. ctx bounds only Dial.
// The error is a *hub.Error where the server gave a code.
func Dial(ctx context.Context, o Options) (*Client, error) {
	server, err := newServer(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Transport, err = ParseTransport(string(o.Transport)); err != nil {
		return nil, err
	}
	server.trace = o.Trace
	c := &Client{
		o: o.withDefaults(), server: server, wake: make(chan struct{}, 1), done: make(chan struct{}),
		state: StateConnecting, backoff: defaultBackoff, idPrefix: randomID(),
		outbox: outbox{byRef: map[uint64]*pending{}}, subs: map[string]*Subscription{},
		subscribing: map[uint64]*Subscription{}, members: map[memberKey]json.RawMessage{}, entering: map[uint64]memberKey{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	first, err := c.dialFirst(ctx)
	if err != nil {
		c.cancel()
		server.close()
		return nil, err
	}
	go c.keep(first)
	return c, nil
}

func (c *Client) dialFirst(ctx context.Context) (*conn, error) {
	n, err := c.connect(ctx)
	if err == nil || !c.o.Wait {
		return n, err
	}
	if ctx.Err() == nil {
		c.o.OnRetry(err)
	}
	last := err
	if n, err = c.reconnect(ctx, err, 0); err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w (last: %w)", ctx.Err(), last)
	}
	return n, err
}

func randomID() string {
	b := make([]byte, 9)
	_, _ = rand.Read(b) // crypto/rand does not fail
	return hex.EncodeToString(b)
}

// State returns what the connection is doing.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Transport returns that of the newest connection.
func (c *Client) Transport() Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.transport
}

// Session returns the id of the newest connection's session: the same as before where the server still knew it.
func (c *Client) Session() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// Done is closed when the client has ended: by Close, or because the server said not to connect again.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the client has ended; nil while it has not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Drop breaks the connection as a dead network would: the client connects again and goes on. For tests, `sno verify` and `sno bench`.
func (c *Client) Drop() {
	c.mu.Lock()
	n := c.conn
	c.mu.Unlock()
	if n != nil {
		n.fail(ErrDropped)
	}
}

// Close waits until every request is answered or ctx ends, takes leave of the server and releases everything. The error
// says how many requests were left without an answer.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	idle := c.outbox.waitIdle()
	c.mu.Unlock()
	var err error
	select {
	case <-idle:
	case <-c.done:
	case <-ctx.Done():
		c.mu.Lock()
		err = fmt.Errorf("close: %d requests were not answered: %w", len(c.outbox.byRef), ctx.Err())
		c.mu.Unlock()
	}
	c.cancel()
	<-c.done
	return err
}

// keep is the reading goroutine: it serves one connection after the other.
func (c *Client) keep(n *conn) {
	defer close(c.done)
	defer c.server.close()
	for {
		began := time.Now()
		err := c.serve(n)
		c.lost(err)
		n, err = c.reconnect(c.ctx, err, time.Since(began))
		if err != nil {
			c.end(err)
			return
		}
	}
}

// lost makes everything ready for the next connection.
func (c *Client) lost(err error) {
	c.mu.Lock()
	c.conn, c.urgent = nil, nil
	c.state = StateConnecting
	clear(c.subscribing)
	clear(c.entering)
	once := c.outbox.lostConnection()
	c.mu.Unlock()
	for _, p := range once {
		p.done(nil, fmt.Errorf("the connection was lost before the answer; it may have been delivered: %w", err))
	}
	if c.ctx.Err() == nil {
		c.o.OnState(StateConnecting, err)
	}
}

// end tells everybody who waits that nothing more will come.
func (c *Client) end(err error) {
	c.mu.Lock()
	c.state, c.err, c.closing = StateDisconnected, err, true
	all := c.outbox.drop()
	subs := make([]*Subscription, 0, len(c.subs))
	for _, s := range c.subs {
		subs = append(subs, s)
	}
	clear(c.subs)
	c.mu.Unlock()
	for _, p := range all {
		p.done(nil, err)
	}
	for _, s := range subs {
		s.end(err)
	}
	c.o.OnState(StateDisconnected, err)
}

func (c *Client) wakeWriter() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// enqueue puts a request into the outbox when there is room, in the order of the calls. encode is given the ref.
func (c *Client) enqueue(ctx context.Context, p *pending, r *request, data []byte) error {
	size := len(data) + 256
	for {
		c.mu.Lock()
		if c.closing {
			defer c.mu.Unlock()
			return c.closedError()
		}
		if !c.outbox.full(c.o.Window, c.o.WindowBytes, size) {
			break
		}
		room := c.outbox.waitRoom()
		c.mu.Unlock()
		select {
		case <-room:
		case <-c.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer c.mu.Unlock()
	if r.Type == "publish" && r.ID == "" && !r.Ephemeral {
		c.lastID++
		r.ID = c.idPrefix + "-" + strconv.FormatUint(c.lastID, 10)
	}
	c.lastRef++
	r.Ref = c.lastRef
	p.ref, p.frame = r.Ref, r.encode(data)
	if c.maxFrame > 0 && len(p.frame) > c.maxFrame {
		return tooLarge(len(p.frame), c.maxFrame)
	}
	c.outbox.add(p)
	c.wakeWriter()
	return nil
}

func (c *Client) closedError() error {
	if c.err != nil {
		return c.err
	}
	return ErrClosed
}

// call sends a request and waits for its answer.
func (c *Client) call(ctx context.Context, r request, data []byte) (*frame, error) {
	type answer struct {
		frame *frame
		err   error
	}
	got := make(chan answer, 1)
	p := &pending{retry: true, done: func(f *frame, err error) { got <- answer{f, err} }}
	if err := c.enqueue(ctx, p, &r, data); err != nil {
		return nil, err
	}
	select {
	case a := <-got:
		return a.frame, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
