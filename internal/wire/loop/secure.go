package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Secure is a listener of TLS whose connections a Loop can drive.
func Secure(l net.Listener, config *tls.Config) net.Listener {
	return tls.NewListener(switching{l}, config)
}

type switching struct{ net.Listener }

// Accept implements net.Listener.
func (l switching) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &secure{Conn: nc}, nil
}

// secure is what a tls.Conn has beneath it: the socket's net.Conn, until a Loop drives the connection. From then on a read that would have to wait says errAgain, which
// TLS bears, and what is written is put into a buffer, from where it goes to the socket as anything else does.
type secure struct {
	net.Conn
	tls    *tls.Conn
	socket func([]byte) (int, error) // nil: Conn is used. It returns 0 bytes where it would have to wait
	unread []byte                    // was read from the socket before

	mu  sync.Mutex // TLS may write while it reads, to change keys
	out *[]byte    // where to; nil: own
	own []byte
}

var errEnded = errors.New("the peer has ended the connection")

// errAgain is a temporary net.Error, the kind after which a tls.Conn can be read from again.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "nothing to read just now" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// NetConn is the connection beneath.
func (s *secure) NetConn() net.Conn { return s.Conn }

// Read implements net.Conn.
func (s *secure) Read(b []byte) (int, error) {
	if s.socket == nil {
		return s.Conn.Read(b)
	}
	if len(s.unread) > 0 {
		n := copy(b, s.unread)
		s.unread = s.unread[n:]
		return n, nil
	}
	n, err := s.socket(b)
	if errors.Is(err, errEnded) {
		return 0, io.EOF
	}
	if err == nil && n == 0 {
		return 0, errAgain
	}
	return n, err
}

// Write implements net.Conn.
func (s *secure) Write(b []byte) (int, error) {
	if s.socket == nil {
		return s.Conn.Write(b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil {
		*s.out = append(*s.out, b...)
	} else {
		s.own = append(s.own, b...)
	}
	return len(b), nil
}

// SetDeadline implements net.Conn.
func (s *secure) SetDeadline(t time.Time) error {
	return s.unlessLooped(func() error { return s.Conn.SetDeadline(t) })
}

// SetReadDeadline implements net.Conn.
func (s *secure) SetReadDeadline(t time.Time) error {
	return s.unlessLooped(func() error { return s.Conn.SetReadDeadline(t) })
}

// SetWriteDeadline implements net.Conn.
func (s *secure) SetWriteDeadline(t time.Time) error {
	return s.unlessLooped(func() error { return s.Conn.SetWriteDeadline(t) })
}

// unlessLooped is for deadlines: on a Loop nothing waits.
func (s *secure) unlessLooped(set func() error) error {
	if s.socket != nil {
		return nil
	}
	return set()
}

// open reads what the peer says, decrypted: 0 bytes are none for now.
func (s *secure) open(b []byte) (int, error) {
	n, err := s.tls.Read(b)
	if errors.Is(err, errAgain) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		return n, errEnded
	}
	return n, err
}

// seal puts the encrypted form of b into buf, behind what TLS itself has had to say.
func (s *secure) seal(b []byte, buf *[]byte) error {
	s.mu.Lock()
	*buf = append((*buf)[:0], s.own...)
	s.own, s.out = nil, buf
	s.mu.Unlock()
	_, err := s.tls.Write(b)
	s.mu.Lock()
	s.out = nil
	s.mu.Unlock()
	return err
}

// end has TLS say that nothing more comes.
func (s *secure) end() { _ = s.tls.CloseWrite() } // it goes into left

// left takes what TLS itself has had to say; nil is nothing.
func (s *secure) left() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.own
	s.own = nil
	return b
}

func (s *secure) pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own != nil
}
