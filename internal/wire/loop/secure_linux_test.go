package loop

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/certificate/certificatetest"
)

// mirror says what it hears, and ends when it hears a zero byte.
type mirror struct {
	link Link

	mu     sync.Mutex
	out    []byte
	ending bool
	closed chan struct{}
}

func (m *mirror) Input(b []byte) (int, Then) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.link.Wake()
	if i := bytes.IndexByte(b, 0); i >= 0 {
		m.out, m.ending = append(m.out, b[:i]...), true
		return len(b), Over
	}
	m.out = append(m.out, b...)
	return len(b), GoOn
}

func (m *mirror) Output(dst []byte, _ bool) Output {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := min(len(m.out), 100_000)
	o := Output{Buffer: append(dst, m.out[:n]...), From: len(dst)}
	m.out = m.out[n:]
	o.More = len(m.out) > 0 || m.ending && n > 0
	o.End = m.ending && len(m.out) == 0
	return o
}

func (m *mirror) Deliver()           {}
func (m *mirror) Beat()              {}
func (m *mirror) Silent(Kernel) bool { return false }
func (m *mirror) Due()               {}
func (m *mirror) Closed(time.Time)   { close(m.closed) }

// TestSecure moves bytes both ways over TLS that ends on a loop, more than the sockets hold, and what was said last arrives.
func TestSecure(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			g, err := NewGroup(Options{Loops: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			pair, err := tls.LoadX509KeyPair(certificatetest.Write(t, t.TempDir(), "localhost", time.Now().Add(time.Hour), time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l := Secure(plain, &tls.Config{Certificates: []tls.Certificate{pair}})
			defer l.Close()
			m := &mirror{closed: make(chan struct{})}
			accepted := make(chan error, 1)
			go func() {
				nc, err := l.Accept()
				if err == nil {
					err = nc.(*tls.Conn).Handshake()
				}
				if err == nil {
					err = g.Seat().Attach(nc, nil, func(c *Conn) Machine { m.link = c; return m })
				}
				accepted <- err
			}()
			client, err := tls.Dial("tcp", plain.Addr().String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: version}) // nobody has signed it
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if err := <-accepted; err != nil {
				t.Fatal(err)
			}
			talk(t, client, m)
		})
	}
}

func talk(t *testing.T, client *tls.Conn, m *mirror) {
	t.Helper()
	sent := make([]byte, 4<<20)
	for i := range sent {
		sent[i] = byte(1 + rand.N(255))
	}
	go func() {
		for b := sent; len(b) > 0; {
			n := min(len(b), 1+rand.N(50_000))
			if _, err := client.Write(b[:n]); err != nil {
				return // the reader tells
			}
			b = b[n:]
		}
		_, _ = client.Write([]byte{0})
	}()
	_ = client.SetReadDeadline(time.Now().Add(time.Minute))
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, sent) { // without close_notify ReadAll would fail
		t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
	}
	client.Close()
	select {
	case <-m.closed:
	case <-time.After(20 * time.Second):
		t.Error("it is not over")
	}
}
