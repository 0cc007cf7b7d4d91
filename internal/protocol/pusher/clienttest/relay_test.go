package clienttest

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// relay passes connections on to a server, and cuts them when told to.
type relay struct {
	url string

	mu   sync.Mutex
	open map[net.Conn]bool
}

func startRelay(t *testing.T, server string) *relay {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{url: "http://" + l.Addr().String(), open: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
			if err != nil {
				from.Close()
				continue
			}
			r.mu.Lock()
			r.open[from], r.open[to] = true, true
			r.mu.Unlock()
			running.Go(func() { r.pass(from, to) })
			running.Go(func() { r.pass(to, from) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.cut()
		running.Wait()
	})
	return r
}

func (r *relay) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from) // until either is closed
	from.Close()
	to.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, from)
}

// cut ends every connection there is.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		c.Close()
	}
}
