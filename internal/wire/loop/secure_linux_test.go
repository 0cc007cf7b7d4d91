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
			nc, err := net.Dial("tcp", plain.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			heard := &records{Conn: nc}
			client := tls.Client(heard, &tls.Config{InsecureSkipVerify: true, MaxVersion: version}) // nobody has signed it
			defer client.Close()
			if err := client.Handshake(); err != nil {
				t.Fatal(err)
			}
			if err := <-accepted; err != nil {
				t.Fatal(err)
			}
			talk(t, client, m)
			if !heard.saidGoodbye() {
				t.Errorf("the last record was of type %d with %d bytes: no close_notify, so that the peer cannot know that nothing was cut off", heard.kind, heard.length)
			}
		})
	}
}

// records looks at the heads of the TLS records that come (RFC 8446 §5.1).
type records struct {
	net.Conn
	head         []byte
	left         int // of the record
	kind, length int // of the last one
}

func (r *records) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	for b := b[:n]; len(b) > 0; {
		if r.left == 0 {
			r.head = append(r.head, b[0])
			if b = b[1:]; len(r.head) == 5 {
				r.kind, r.length = int(r.head[0]), int(r.head[3])<<8|int(r.head[4])
				r.left, r.head = r.length, nil
			}
			continue
		}
		k := min(r.left, len(b))
		r.left, b = r.left-k, b[k:]
	}
	return n, err
}

// saidGoodbye: the last record is an alert; TLS 1.3 hides that, but not its two bytes, with a byte that says what they are and the 16 of the seal.
func (r *records) saidGoodbye() bool {
	const alert, applicationData = 21, 23
	return r.kind == alert || r.kind == applicationData && r.length == 2+1+16
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
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
	}
	client.Close()
	select {
	case <-m.closed:
	case <-time.After(20 * time.Second):
		t.Error("it is not over")
	}
}
