//go:build linux

package crowd

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what a crowd is.
type Options struct {
	Address     string // host:port, IPv4
	TLS         bool   // the server's certificate is not checked
	Dialect     Dialect
	Subscribers int
	Channels    int           // channels of each subscriber; 0: all share the one channel "bench"; below 0: none
	Opening     int           // connections that are opened at the same time; 128 if 0
	Patience    time.Duration // how long all connections may take to open; 5 min if 0
}

// Shared is the channel that all subscribers have, unless they have channels of their own.
const Shared = "bench"

// Crowd is a number of subscribers and a publisher.
type Crowd struct {
	Latency       Histogram // from a payload's making to the delivery
	opt           Options
	dialect       Dialect
	address       unix.SockaddrInet4
	loopback      bool
	epoll         int
	events        []unix.EpollEvent
	conns         []Conn // the last is the publisher
	names         []string
	buf, scratch  []byte
	payload       []byte
	spare         [][]byte // for what is carried
	readAt        int64    // when what is being read was read
	opened        int      // begun
	welcome       int      // let in
	settled       int      // with all their subscriptions
	dead          int
	subscriptions int
	delivered     uint64
	published     uint64
	failure       error // why the first connection died
	handshakes    chan handshake
}

// New makes a crowd without a connection.
func New(opt Options) (*Crowd, error) {
	if opt.Opening == 0 {
		opt.Opening = 128
	}
	if opt.Patience == 0 {
		opt.Patience = 5 * time.Minute
	}
	a, err := net.ResolveTCPAddr("tcp4", opt.Address)
	if err != nil {
		return nil, err
	}
	c := &Crowd{
		opt: opt, dialect: opt.Dialect, loopback: a.IP.IsLoopback(),
		address: unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())},
		events:  make([]unix.EpollEvent, 512),
		conns:   make([]Conn, opt.Subscribers+1),
		buf:     make([]byte, 1<<18), scratch: make([]byte, 1<<16),
		handshakes: make(chan handshake, opt.Opening+1),
	}
	for i := range opt.Subscribers * max(0, opt.Channels) {
		c.names = append(c.names, fmt.Sprintf("%s-%d", Shared, i))
	}
	for i := range c.conns {
		k := &c.conns[i]
		k.crowd, k.index, k.fd = c, int32(i), -1
		k.Publisher = i == opt.Subscribers
		if !k.Publisher {
			k.first, k.wanted = int32(i*max(0, opt.Channels)), int32(max(opt.Channels, 0))
			if opt.Channels == 0 {
				k.wanted = 1
			}
		}
	}
	c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return c, err
}

// Close closes all connections, without a word.
func (c *Crowd) Close() error {
	var errs []error
	for i := range c.conns {
		if k := &c.conns[i]; k.fd >= 0 {
			errs = append(errs, unix.Close(int(k.fd)))
			k.fd, k.state = -1, dead
		}
	}
	return errors.Join(append(errs, unix.Close(c.epoll))...)
}

// Connect opens all connections and waits until all are subscribed.
func (c *Crowd) Connect() error {
	deadline := time.Now().Add(c.opt.Patience)
	for c.done() < c.opt.Subscribers {
		for c.opened < c.opt.Subscribers && c.opened-c.done() < c.opt.Opening {
			if err := c.dial(&c.conns[c.opened]); err != nil {
				return err
			}
			c.opened++
		}
		if err := c.step(deadline, "subscribers"); err != nil {
			return err
		}
	}
	p := c.publisher()
	if err := c.dial(p); err != nil {
		return err
	}
	for p.state != ready {
		if err := c.step(deadline, "the publisher"); err != nil {
			return err
		}
	}
	return nil
}

// done is how many subscribers have got as far as they are to get while others open.
func (c *Crowd) done() int {
	if c.opt.Channels < 0 {
		return c.welcome
	}
	return c.settled
}

// step is one turn of waiting for connections.
func (c *Crowd) step(deadline time.Time, who string) error {
	if err := c.Pump(20 * time.Millisecond); err != nil {
		return err
	}
	if c.dead > 0 {
		return fmt.Errorf("%d of %d connections: %w", c.dead, c.opened, c.failure)
	}
	if time.Now().After(deadline) {
		return fmt.Errorf("%s: %d let in and %d subscribed of %d after %v", who, c.welcome, c.settled, c.opt.Subscribers, c.opt.Patience)
	}
	return nil
}

func (c *Crowd) publisher() *Conn { return &c.conns[len(c.conns)-1] }

// welcomed asks for the channels of a connection that has been let in.
func (c *Crowd) welcomed(k *Conn) {
	if k.Publisher {
		return
	}
	c.welcome++
	if c.opt.Channels >= 0 {
		c.subscribe(k)
	}
}

func (c *Crowd) subscribe(k *Conn) {
	if k.wanted == 1 && len(c.names) == 0 {
		c.dialect.Subscribe(k, Shared)
		return
	}
	for _, name := range c.names[k.first : k.first+k.wanted] {
		c.dialect.Subscribe(k, name)
	}
}

// Pump handles what has happened on the sockets, and waits so long for something to happen. A subscriber's death is no error of it: see [Crowd.Err].
func (c *Crowd) Pump(wait time.Duration) error {
	n, err := c.wait(wait)
	if err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	for i := range c.events[:n] {
		k := &c.conns[c.events[i].Fd]
		if k.state == dead {
			continue
		}
		if err := c.handle(k, c.events[i].Events); err != nil {
			c.bury(k, err)
		}
	}
	return c.adopt()
}

func (c *Crowd) handle(k *Conn, events uint32) error {
	if k.state == connecting {
		if err := connected(k.fd); err != nil {
			return err
		}
		return c.begin(k)
	}
	if events&unix.EPOLLOUT != 0 {
		if err := k.flush(); err != nil {
			return err
		}
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		return k.read()
	}
	return nil
}

// begin says the first words on an open socket.
func (c *Crowd) begin(k *Conn) error {
	k.state = opening
	k.blocked = true // it was waiting for the connection
	k.borrow()
	c.dialect.Open(k)
	return k.flush()
}

func (c *Crowd) bury(k *Conn, err error) {
	if c.failure == nil {
		who := "a subscriber"
		if k.Publisher {
			who = "the publisher"
		}
		c.failure = fmt.Errorf("%s: %w", who, err)
	}
	c.dead++
	k.state = dead
	_ = unix.Close(int(k.fd))
	k.fd, k.carry, k.Out, k.tls = -1, nil, nil, nil
}

// Err tells how many connections have died, and why the first did.
func (c *Crowd) Err() error {
	if c.dead == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d connections have died: %w", c.dead, len(c.conns), c.failure)
}

// keep keeps the beginning of a message that is not whole yet.
func (c *Crowd) keep(k *Conn, rest []byte) {
	if len(rest) == 0 {
		if cap(k.carry) > 0 {
			c.spare = append(c.spare, k.carry[:0])
			k.carry = nil
		}
		return
	}
	if k.carry == nil && len(c.spare) > 0 {
		k.carry = c.spare[len(c.spare)-1]
		c.spare = c.spare[:len(c.spare)-1]
	}
	k.carry = append(k.carry[:0], rest...)
}

// Publish publishes one message to the shared channel, or to the channel of that number where subscribers have channels of their own.
func (c *Crowd) Publish(channel, size int) error {
	p := c.publisher()
	if p.state != ready {
		return errors.Join(errors.New("the publisher is not connected"), c.failure)
	}
	name := Shared
	if len(c.names) > 0 {
		name = c.names[channel]
	}
	c.payload = AppendPayload(c.payload[:0], size)
	p.borrow()
	c.dialect.Publish(p, name, c.payload)
	c.published++
	return p.flush()
}

// Delivered is how many deliveries there were since the beginning.
func (c *Crowd) Delivered() uint64 { return c.delivered }

// Published is how many messages were published since the beginning.
func (c *Crowd) Published() uint64 { return c.published }

// Subscribers is how many subscribers there are.
func (c *Crowd) Subscribers() int { return c.opt.Subscribers }

// Got is how many deliveries one subscriber has had.
func (c *Crowd) Got(subscriber int) uint64 { return c.conns[subscriber].Got }

// Subscriptions is how many subscriptions have been confirmed.
func (c *Crowd) Subscriptions() int { return c.subscriptions }

// Names is how many channels the subscribers have of their own.
func (c *Crowd) Names() int { return len(c.names) }

// Ask has a subscriber that has no subscription yet ask for channels of the given names, and expects an answer to each.
func (c *Crowd) Ask(subscriber int, names []string) error {
	k := &c.conns[subscriber]
	k.wanted += int32(len(names))
	k.borrow()
	for _, name := range names {
		c.dialect.Subscribe(k, name)
	}
	return k.flush()
}
