package loop

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/wire"
	"github.com/snoserver/sno/internal/wire/liveness"
)

// Serve drives one connection by two goroutines, of which the caller's is one, until it is over. unread was read from it already.
func Serve(nc net.Conn, unread []byte, machine func(Link) Machine) {
	s := &served{nc: nc, waking: make(chan struct{}, 1), done: make(chan struct{}), allOut: make(chan struct{})}
	s.heard.Store(time.Now().UnixNano())
	s.machine = machine(s)
	s.Wake()
	watch := wire.NewWatch(s.machine.Beat, s.check)
	defer watch.Stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write()
	}()
	s.read(unread)
	s.Kill()
	<-written
	s.endBy(time.Time{})
	s.over()
}

// served is a connection with goroutines of its own.
type served struct {
	nc      net.Conn
	machine Machine
	heard   atomic.Int64 // Unix nanoseconds
	waking  chan struct{}
	once    sync.Once
	done    chan struct{} // closed when the connection is to end
	allOut  chan struct{} // closed when all output is written
	ended   atomic.Bool   // Output has ended
	closed  sync.Once     // Closed was called

	mu  sync.Mutex
	due *time.Timer
}

var (
	_ Link   = (*served)(nil)
	_ Kernel = (*served)(nil)
)

// Wake implements Link.
func (s *served) Wake() {
	select {
	case s.waking <- struct{}{}:
	default:
	}
}

// Kill implements Link.
func (s *served) Kill() {
	s.once.Do(func() {
		close(s.done)
		_ = s.nc.Close() // ends what is under way
	})
}

// Due implements Link. Once output has ended the time is the connection's own: a peer that goes on must not put off its end.
func (s *served) Due(at time.Time) {
	if !s.ended.Load() {
		s.endBy(at)
	}
}

// endBy has the machine told, or the connection ended, at that time.
func (s *served) endBy(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.due != nil {
		s.due.Stop()
		s.due = nil
	}
	if at.IsZero() {
		return
	}
	s.due = time.AfterFunc(time.Until(at), func() {
		if s.ended.Load() {
			s.Kill()
		} else {
			s.machine.Due()
		}
	})
}

func (s *served) check(asked time.Time) bool {
	if s.heard.Load() < asked.UnixNano() && s.machine.Silent(s) {
		s.Kill()
		return false
	}
	return true
}

func (s *served) over() {
	s.closed.Do(func() { s.machine.Closed(time.Unix(0, s.heard.Load())) })
}

// Draining implements Kernel.
func (s *served) Draining() bool { return liveness.Draining(s.nc) }

// Lost implements Kernel.
func (s *served) Lost() (time.Time, bool) { return liveness.Lost(s.nc) }

// read reads until the connection ends, or what is said to it does not matter any more.
func (s *served) read(unread []byte) {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	if cap(*buf) == 0 {
		*buf = make([]byte, 4<<10)
	}
	b := (*buf)[:cap(*buf)]
	for rest := unread; ; {
		for len(rest) > 0 {
			n, then := s.machine.Input(rest)
			rest = rest[n:]
			switch then {
			case Stop:
				s.machine.Deliver()
			case Over:
				s.discard(b)
				return
			case GoOn:
			}
		}
		n, err := s.nc.Read(b)
		if n > 0 {
			s.heard.Store(time.Now().UnixNano())
		}
		if err != nil && n == 0 {
			return
		}
		rest = b[:n]
	}
}

// discard waits until all is said, and then for a moment for the peer to end the connection: closing with bytes unread would reset it, and the peer would not see what was
// said last.
func (s *served) discard(b []byte) {
	select {
	case <-s.allOut:
	case <-s.done:
		return
	}
	s.over()
	if half, ok := s.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // the peer may be gone
	}
	_ = s.nc.SetReadDeadline(time.Now().Add(closePatience))
	for {
		if _, err := s.nc.Read(b); err != nil {
			return
		}
	}
}

// write writes until output ends.
func (s *served) write() {
	for {
		select {
		case <-s.waking:
			if !s.flush() {
				return
			}
		case <-s.done:
			return
		}
	}
}

func (s *served) flush() (more bool) {
	buf := buffers.Get().(*[]byte)
	defer putBuffer(buf)
	for {
		out := s.machine.Output((*buf)[:0], true)
		if cap(out.Buffer) > cap(*buf) {
			*buf = out.Buffer[:0]
		}
		if out.End {
			s.ended.Store(true)
			s.endBy(time.Now().Add(endPatience))
		}
		if b := out.bytes(); len(b) > 0 {
			if _, err := s.nc.Write(b); err != nil {
				s.Kill()
				s.over() // a Deliver may wait for output to leave
				return false
			}
		}
		if out.End {
			close(s.allOut)
			s.endBy(time.Now().Add(closePatience))
			return false
		}
		if !out.More {
			return true
		}
	}
}
