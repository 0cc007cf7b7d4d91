package loop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/snoserver/sno/internal/wire"
)

// maxWaiting is how many connections write at once what has to be waited for.
const maxWaiting = 64

// Group is the loops of a process.
type Group struct {
	loops   []*Loop
	turn    atomic.Uint32
	running sync.WaitGroup

	mu      sync.Mutex
	open    int           // connections
	closed  bool          // there will be no more
	none    chan struct{} // closed when open is 0; nil: nobody waits for that
	slow    []*Conn       // wait for a goroutine that may wait
	workers int           // there are just now
}

// Options of a Group.
type Options struct {
	// Loops is how many there are.
	Loops int
	// NoRing: io_uring is not used, also where the kernel has it.
	NoRing bool
}

// NewGroup starts loops.
func NewGroup(o Options) (*Group, error) {
	g := &Group{}
	for range o.Loops {
		l, err := g.newLoop(o)
		if err != nil {
			g.Close()
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	return g, nil
}

// Rings reports whether sends to many go together, by io_uring.
func (g *Group) Rings() bool { return len(g.loops) > 0 && g.loops[0].sends != nil }

// Seat is a loop for a connection that will be attached.
func (g *Group) Seat() *Loop { return g.loops[int(g.turn.Add(1))%len(g.loops)] }

// enter counts a connection, unless the group is closed.
func (g *Group) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.open++
	}
	return !g.closed
}

func (g *Group) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// leave is called when a connection's socket is closed.
func (g *Group) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open--; g.open == 0 && g.none != nil {
		close(g.none)
		g.none = nil
	}
}

// Wait waits until there is no connection, or ctx ends.
func (g *Group) Wait(ctx context.Context) error {
	g.mu.Lock()
	if g.open == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.none == nil {
		g.none = make(chan struct{})
	}
	none := g.none
	g.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends all connections, and the loops.
func (g *Group) Close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	for _, l := range g.loops {
		l.killAll()
	}
	_ = g.Wait(context.Background()) // it ends by itself
	for _, l := range g.loops {
		l.stop()
	}
	g.running.Wait()
}

// drainSlowly has a goroutine that may wait write what c has.
func (g *Group) drainSlowly(c *Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.slow = append(g.slow, c)
	if g.workers < maxWaiting {
		g.workers++
		go g.work()
	}
}

func (g *Group) work() {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	for {
		g.mu.Lock()
		if len(g.slow) == 0 {
			g.workers--
			g.slow = nil
			g.mu.Unlock()
			return
		}
		c := g.slow[0]
		g.slow[0] = nil
		g.slow = g.slow[1:]
		g.mu.Unlock()
		c.drainSlowly(buf)
	}
}

// Loop drives connections: one goroutine waits for the kernel and reads, another writes.
type Loop struct {
	group *Group
	sys   sockets
	epoll *os.File

	scratch []byte // the writer's
	sends   sender // nil: each send is a system call
	gathers bool   // sends are put together just now, until what is called has returned

	mu          sync.Mutex
	calls       []func()
	first, last *Conn // woken
	dues        map[*Conn]time.Time
	slots       [beatSeconds][]*Conn // by the second of their beat; nil: free
	free        [beatSeconds][]uint32
	gens        uint32
	ticks       *time.Timer
	second      uint32 // ticks
	asked       [beatSeconds]time.Time
	signal      chan struct{}
	closed      bool
}

// beatSeconds is over how many seconds the beats of connections are spread.
const beatSeconds = uint32(wire.Heartbeat / time.Second)

var _ wire.Loop = (*Loop)(nil)

func (g *Group) newLoop(o Options) (*Loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that the runtime waits for it as for any file, without a thread
		return nil, errors.Join(err, unix.Close(fd))
	}
	l := &Loop{group: g, sys: kernel{}, epoll: os.NewFile(uintptr(fd), "epoll"), dues: map[*Conn]time.Time{}, signal: make(chan struct{}, 1)}
	if !o.NoRing {
		if r, err := newRing(); err == nil { // else each send is a system call of its own
			l.sends = r
		}
	}
	l.ticks = time.AfterFunc(time.Second, func() { l.Call(l.tick) })
	g.running.Go(l.poll)
	g.running.Go(l.run)
	return l, nil
}

func (l *Loop) killAll() {
	l.mu.Lock()
	all := slices.Concat(l.slots[:]...)
	l.mu.Unlock()
	for _, c := range all {
		if c != nil {
			c.Kill()
		}
	}
}

func (l *Loop) stop() {
	l.mu.Lock()
	l.closed = true
	l.ticks.Stop()
	l.mu.Unlock()
	l.poke()
	_ = l.epoll.Close() // ends poll
}

// Call implements wire.Loop.
func (l *Loop) Call(f func()) {
	l.mu.Lock()
	l.calls = append(l.calls, f)
	l.mu.Unlock()
	l.poke()
}

func (l *Loop) poke() {
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// wake queues c, which is not queued.
func (l *Loop) wake(c *Conn) {
	l.mu.Lock()
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
	l.mu.Unlock()
	l.poke()
}

// run writes.
func (l *Loop) run() {
	if l.sends != nil {
		defer l.sends.close()
	}
	var calls []func()
	for range l.signal {
		l.mu.Lock()
		calls, l.calls = l.calls, calls[:0]
		c, closed := l.first, l.closed
		l.first, l.last = nil, nil
		l.mu.Unlock()
		if closed {
			return
		}
		for i, f := range calls {
			l.call(f)
			calls[i] = nil
		}
		for c != nil {
			next := c.next
			c.next = nil
			c.queued.Store(false)
			c.Drain()
			c = next
		}
	}
}

// call calls f, which may drain a crowd: what goes to many goes together.
func (l *Loop) call(f func()) {
	if l.sends == nil {
		f()
		return
	}
	l.gathers = true
	f()
	l.gathers = false
	l.sends.flush()
}

// poll waits for the kernel, and reads.
func (l *Loop) poll() {
	rc, err := l.epoll.SyscallConn()
	if err != nil {
		return // it is closed
	}
	events := make([]unix.EpollEvent, 256)
	buf := make([]byte, readBytes)
	for {
		n := 0
		err := rc.Read(func(fd uintptr) bool {
			var e syscall.Errno
			n, e = epollNow(fd, events)
			return n > 0 || e != 0 && e != syscall.EINTR
		})
		if err != nil {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if c := l.conn(uint32(e.Fd), uint32(e.Pad)); c != nil {
				c.event(e.Events, buf)
			}
		}
	}
}

// control calls f with the epoll's file descriptor, unless it is closed.
func (l *Loop) control(f func(epoll int) error) error {
	rc, err := l.epoll.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = rc.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}

// conn is the connection of a slot, unless the event is about one that has gone.
func (l *Loop) conn(slot, gen uint32) *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.slots[slot%beatSeconds][slot/beatSeconds]; c != nil && c.gen == gen {
		return c
	}
	return nil
}

// beatSpread is by how many seconds the first beat of a connection may be earlier than the others, so that a crowd that comes at once need not beat at once for ever.
const beatSpread = 10

// add gives c a slot: one of those that beat first in not quite wire.Heartbeat.
func (l *Loop) add(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gens++
	c.gen = l.gens
	at := (l.second + beatSeconds - rand.Uint32N(beatSpread)) % beatSeconds
	slots, free := &l.slots[at], &l.free[at]
	if n := len(*free); n > 0 {
		c.slot = (*free)[n-1]
		*free = (*free)[:n-1]
		(*slots)[c.slot/beatSeconds] = c
		return
	}
	c.slot = uint32(len(*slots))*beatSeconds + at
	*slots = append(*slots, c)
}

func (l *Loop) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := c.slot % beatSeconds
	l.slots[at][c.slot/beatSeconds] = nil
	l.free[at] = append(l.free[at], c.slot)
	delete(l.dues, c)
}

func (l *Loop) due(c *Conn, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case c.state.Load()&gone != 0:
	case at.IsZero():
		delete(l.dues, c)
	default:
		l.dues[c] = at
	}
}

// tick is called every second. The beats of connections are spread over the seconds by their slots, so that beating costs no timer.
func (l *Loop) tick() {
	now := time.Now()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.ticks.Reset(time.Second)
	l.second++
	beat := l.second % beatSeconds
	check := (beat + beatSeconds - uint32(wire.Patience/time.Second)) % beatSeconds
	beating, checked := l.every(beat), l.every(check)
	asked := l.asked[check]
	l.asked[beat] = now
	var due []*Conn
	for c, at := range l.dues {
		if !now.Before(at) {
			due = append(due, c)
			delete(l.dues, c)
		}
	}
	l.mu.Unlock()
	for _, c := range beating {
		c.machine.Beat()
	}
	for _, c := range checked {
		if c.heard.Load() < asked.UnixNano() && c.machine.Silent(c) {
			c.Kill()
		}
	}
	for _, c := range due {
		if c.state.Load()&ended != 0 {
			c.Kill()
		} else {
			c.machine.Due()
		}
	}
}

// every is the connections whose beat is at a second. Called with mu held.
func (l *Loop) every(second uint32) (conns []*Conn) {
	for _, c := range l.slots[second] {
		if c != nil && c.state.Load()&over == 0 {
			conns = append(conns, c)
		}
	}
	return conns
}
