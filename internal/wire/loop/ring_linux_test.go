package loop

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// teller says the same as others, so many times as are due. The loop's goroutine alone knows how many.
type teller struct {
	news   []byte
	due    int
	closed chan struct{}
}

func (m *teller) Input(b []byte) (int, Then) { return len(b), GoOn }
func (m *teller) Deliver()                   {}
func (m *teller) Beat()                      {}
func (m *teller) Silent(Kernel) bool         { return false }
func (m *teller) Due()                       {}
func (m *teller) Closed(time.Time)           { close(m.closed) }

func (m *teller) Output(dst []byte, _ bool) Output {
	if m.due == 0 {
		return Output{Buffer: dst, From: len(dst)}
	}
	m.due--
	return Output{Buffer: dst, From: len(dst), Shared: m.news, More: m.due > 0}
}

// TestRing sends to many real sockets at once: those who read get everything, one who has gone is noticed, and one who does not read gets the rest when it does.
func TestRing(t *testing.T) {
	g, err := NewGroup(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if !g.Rings() {
		t.Skip("the kernel has no io_uring for this process")
	}
	const readers, rounds, each = 3 * ringSends / 2, 2000, 2
	news := bytes.Repeat([]byte("news"), ringBytes/4) // more than the sockets hold in all rounds
	conns, machines, peers := make([]*Conn, readers), make([]*teller, readers), make([]net.Conn, readers)
	for i := range conns {
		machines[i] = &teller{news: news, closed: make(chan struct{})}
		conns[i], peers[i] = attached(t, g, machines[i])
	}
	const gone, deaf = 0, 1
	peers[gone].Close()
	done := make(chan error, readers)
	for _, p := range peers[2:] {
		go func() { done <- reads(p, news, rounds*each) }()
	}
	for range rounds {
		told := make(chan struct{})
		g.loops[0].Call(func() {
			for i, c := range conns {
				machines[i].due += each
				c.Drain()
			}
			close(told)
		})
		<-told
	}
	for range peers[2:] {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	<-machines[gone].closed
	if err := reads(peers[deaf], news, rounds*each); err != nil {
		t.Error(err)
	}
	for _, p := range peers[2:] {
		p.Close()
	}
}

// attached is a connection of a loop, and its peer.
func attached(t *testing.T, g *Group, m Machine) (*Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var at *Conn
	if err := g.Seat().Attach(nc, nil, func(c *Conn) Machine { at = c; return m }); err != nil {
		t.Fatal(err)
	}
	return at, peer
}

// reads reads news so many times, and nothing else.
func reads(p net.Conn, news []byte, times int) error {
	_ = p.SetReadDeadline(time.Now().Add(time.Minute))
	got := make([]byte, len(news))
	for range times {
		if _, err := io.ReadFull(p, got); err != nil {
			return err
		}
		if !bytes.Equal(got, news) {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}
