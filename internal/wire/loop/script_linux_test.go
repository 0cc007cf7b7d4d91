package loop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// scripted is a kernel whose sockets do what a seed says: they take or give a byte or many, nothing for now, or break.
type scripted struct {
	event func(events uint32) // tells the connection, as epoll does

	mu   sync.Mutex
	rand *rand.Rand

	sent    []byte // what the peer has got
	coming  []byte // what the peer sends, and has not been read
	later   []byte // what it sends just when it is found that nothing is there
	ended   bool   // the peer ends after that
	full    bool   // the socket has said that it takes no more
	breaks  int    // after so many calls the connection is reset; negative: never
	open    bool
	closes  int
	misused string // a call after close
}

func (k *scripted) call() syscall.Errno {
	if !k.open {
		k.misused = "a system call on a closed socket"
	}
	if k.breaks--; k.breaks == 0 {
		k.end()
		k.breaks = 1 // and stays broken
		return syscall.ECONNRESET
	}
	return 0
}

// end loses what has not been read: nothing comes any more.
func (k *scripted) end() {
	k.coming, k.later, k.ended = nil, nil, true
}

func (k *scripted) read(_ int32, b []byte) (int, syscall.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.call(); e != 0 {
		return 0, e
	}
	if len(k.coming) == 0 && k.ended {
		return 0, 0
	}
	switch k.rand.IntN(8) {
	case 0:
		return 0, syscall.EINTR
	case 1:
		b = b[:1]
	}
	if len(k.coming) == 0 {
		if len(k.later) > 0 {
			k.coming, k.later = k.later, nil
			k.tell(unix.EPOLLIN)
		}
		return 0, syscall.EAGAIN
	}
	n := copy(b, k.coming)
	k.coming = k.coming[n:]
	return n, 0
}

func (k *scripted) write(_ int32, b []byte) (int, syscall.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.call(); e != 0 {
		return 0, e
	}
	if k.full {
		return 0, syscall.EAGAIN
	}
	n := len(b)
	switch k.rand.IntN(6) {
	case 0:
		return 0, syscall.EINTR
	case 1:
		if k.full = k.rand.IntN(2) == 0; !k.full { // the peer reads just then
			k.tell(unix.EPOLLOUT)
		}
		return 0, syscall.EAGAIN
	case 2:
		n = 1
	case 3:
		n = k.rand.IntN(n) + 1
	}
	k.sent = append(k.sent, b[:n]...)
	return n, 0
}

// tell tells what happens in the middle of a call, before that has returned. Called with mu held.
func (k *scripted) tell(events uint32) {
	k.mu.Unlock()
	k.event(events)
	k.mu.Lock()
}

func (k *scripted) shutdown(_ int32, how int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if how == unix.SHUT_RDWR {
		k.end()
	}
}

func (k *scripted) close(int32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.open = false
	k.closes++
}

// peer is the other end, for a step: it takes what is there, and sends. It returns what epoll would say. With wait it sends only when it is found that nothing is there, or
// later.
func (k *scripted) peer(sends []byte, wait bool) (events uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.open {
		return 0
	}
	if k.full && k.rand.IntN(2) == 0 {
		k.full = false
		events |= unix.EPOLLOUT
	}
	if k.ended {
		return events
	}
	if wait {
		k.later = append(k.later, sends...)
	} else if len(sends) > 0 || len(k.later) > 0 && k.rand.IntN(50) == 0 {
		k.coming = append(append(k.coming, k.later...), sends...)
		k.later = nil
		events |= unix.EPOLLIN
		if k.rand.IntN(2) == 0 { // epoll says all there is to say
			events |= unix.EPOLLOUT
			k.full = false
		}
	}
	return events
}

// parrot says everything twice that it hears. A message is a byte; with '.' it ends.
type parrot struct {
	link    Link
	waits   bool // half of its output needs somebody who may wait
	mu      sync.Mutex
	out     []byte
	heard   []byte
	in      byte
	said    int
	ending  bool
	closed  atomic.Int32
	late    atomic.Bool // Output after Closed
	inside  atomic.Int32
	misused atomic.Bool
	done    chan struct{}
}

func (p *parrot) Input(b []byte) (int, Then) {
	if p.inside.Add(1) != 1 {
		p.misused.Store(true)
	}
	defer p.inside.Add(-1)
	if b[0] == '.' {
		p.mu.Lock()
		p.ending = true
		p.mu.Unlock()
		p.link.Wake()
		return 1, Over
	}
	p.in = b[0]
	return 1, Stop
}

func (p *parrot) Deliver() {
	if p.inside.Add(1) != 1 {
		p.misused.Store(true)
	}
	defer p.inside.Add(-1)
	p.mu.Lock()
	p.heard = append(p.heard, p.in)
	p.out = append(p.out, p.in, p.in)
	p.mu.Unlock()
	p.link.Wake()
}

func (p *parrot) Output(dst []byte, wait bool) Output {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() > 0 {
		p.late.Store(true)
	}
	if len(p.out) == 0 {
		return Output{Buffer: dst, From: len(dst), End: p.ending}
	}
	if p.said++; p.waits && p.said%2 == 0 && !wait {
		return Output{Buffer: dst, From: len(dst), Wait: true, More: true}
	}
	n := min(len(p.out), 3)
	o := Output{Buffer: append(dst, p.out[:n]...), From: len(dst)}
	if p.said%3 == 0 {
		o = Output{Buffer: dst, From: len(dst), Shared: bytes.Clone(p.out[:n])}
	}
	p.out = p.out[n:]
	o.More = len(p.out) > 0 || p.ending
	return o
}

func (p *parrot) Beat()              {}
func (p *parrot) Silent(Kernel) bool { return false }
func (p *parrot) Due()               {}
func (p *parrot) Closed(time.Time) {
	if p.closed.Add(1) == 1 {
		close(p.done)
	}
}

// batch is a sender whose sends are the scripted kernel's.
type batch struct {
	k      *scripted
	queued []func()
}

func (b *batch) add(c *Conn, msg []byte, stays, more bool) {
	msg = bytes.Clone(msg) // what does not stay is kept
	b.queued = append(b.queued, func() {
		n, e := b.k.write(c.fd, msg)
		if e != 0 {
			n = -int(e)
		}
		c.sent(msg, n, stays, more)
	})
}

func (b *batch) flush() {
	queued := b.queued
	b.queued = nil
	for _, send := range queued {
		send()
	}
}

func (b *batch) close() {}

// scriptedConn attaches a connection to a loop by hand, whose poller knows nothing of it.
func scriptedConn(g *Group, k *scripted, p *parrot, together bool) *Conn {
	l := &Loop{group: g, sys: k, epoll: g.loops[0].epoll, dues: map[*Conn]time.Time{}, signal: make(chan struct{}, 1)}
	l.ticks = time.AfterFunc(time.Hour, func() {})
	if together {
		l.sends = &batch{k: k}
	}
	g.running.Go(l.run)
	c := &Conn{loop: l, machine: p}
	c.users.Store(1)
	p.link = c
	g.enter()
	l.add(c)
	return c
}

// TestScriptedSockets has the sockets do anything they may, at any point, and looks whether the machine hears and says all, in order, each once, and ends as it should.
func TestScriptedSockets(t *testing.T) {
	seeds := uint64(10_000)
	if testing.Short() {
		seeds = 500
	}
	g, err := NewGroup(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for seed := range seeds {
		if text := script(g, seed); text != "" {
			t.Fatalf("seed %d: %s", seed, text)
		}
	}
}

// script is one life of a connection. It returns what is wrong.
func script(g *Group, seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 1))
	k := &scripted{rand: rand.New(rand.NewPCG(seed, 2)), open: true, breaks: -1}
	if r.IntN(4) == 0 {
		k.breaks = 1 + r.IntN(30)
	}
	p := &parrot{waits: r.IntN(2) == 0, done: make(chan struct{})}
	together := r.IntN(2) == 0
	c := scriptedConn(g, k, p, together)
	killed := r.IntN(8) == 0
	broken := k.breaks > 0
	buf := make([]byte, 8)
	k.event = func(events uint32) { c.event(events, make([]byte, 8)) }
	var sent []byte
	for step := range 1 + r.IntN(20) {
		part := make([]byte, 1+r.IntN(5))
		for i := range part {
			part[i] = byte('a' + (step+i)%26)
		}
		sent = append(sent, part...)
		if e := k.peer(part, r.IntN(3) == 0); e != 0 {
			c.event(e, buf)
		}
		if together { // as a round of a lane does
			c.loop.Call(c.Drain)
		}
		if killed && r.IntN(10) == 0 {
			c.Kill()
		}
	}
	if e := k.peer([]byte("."), r.IntN(2) == 0); e != 0 {
		c.event(e, buf)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		select {
		case <-p.done:
		default:
			if time.Now().After(deadline) {
				c.Kill()
				return fmt.Sprintf("it does not end: state %b, sent %q, said %q", c.state.Load(), sent, k.sent)
			}
			if e := k.peer(nil, false); e != 0 {
				c.event(e, buf)
			} else {
				runtime.Gosched() // the loop's goroutines have to have their turn
			}
			continue
		}
		break
	}
	// The peer hears the end and ends, too.
	k.mu.Lock()
	k.ended = true
	k.mu.Unlock()
	c.event(unix.EPOLLIN|unix.EPOLLRDHUP, buf)
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		k.mu.Lock()
		open := k.open
		k.mu.Unlock()
		if !open {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Sprintf("the socket is not closed: state %b, users %d", c.state.Load(), c.users.Load())
		}
	}
	c.loop.stopScripted()
	return verdict(k, p, sent, broken || killed)
}

func (l *Loop) stopScripted() {
	l.mu.Lock()
	l.closed = true
	l.ticks.Stop()
	l.mu.Unlock()
	l.poke()
}

func verdict(k *scripted, p *parrot, sent []byte, cut bool) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	var want []byte
	for _, b := range sent {
		want = append(want, b, b)
	}
	switch {
	case k.misused != "":
		return k.misused
	case p.misused.Load():
		return "Input and Deliver at once"
	case p.late.Load():
		return "Output after Closed"
	case p.closed.Load() != 1 || k.closes != 1:
		return fmt.Sprintf("Closed %d times, the socket %d times", p.closed.Load(), k.closes)
	case !bytes.HasPrefix(sent, p.heard) || !bytes.HasPrefix(want, k.sent):
		return fmt.Sprintf("of %q it heard %q and said %q", sent, p.heard, k.sent)
	case !cut && (len(p.heard) != len(sent) || len(k.sent) != len(want)):
		return fmt.Sprintf("of %q it heard only %q and said only %q", sent, p.heard, k.sent)
	}
	return ""
}
