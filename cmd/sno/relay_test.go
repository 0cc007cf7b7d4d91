package main

import (
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// relay stands between clients and a server as a bad network does: every connection is cut after some bytes from the server, often within a line.
type relay struct {
	listener net.Listener
	target   string
	silent   atomic.Pointer[chan struct{}]
	running  sync.WaitGroup
	cuts     atomic.Int32
}

// newRelay relays to an address until the test ends.
func newRelay(t *testing.T, target string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, target: target}
	r.silence()
	r.running.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close()
		r.running.Wait()
	})
	return r
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		silent := *r.silent.Load()
		r.running.Go(func() { r.carry(client, silent) })
	}
}

// silence makes the connections of now carry nothing more, without ending them: as when a network goes away.
func (r *relay) silence() {
	next := make(chan struct{})
	if last := r.silent.Swap(&next); last != nil {
		close(*last)
	}
}

func (r *relay) carry(client net.Conn, silent <-chan struct{}) {
	defer client.Close()
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return // the server is down: the client sees its connection end
	}
	defer server.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	few := int64(100 << rand.IntN(10)) // a poll's whole answer has to get through some day
	if n, _ := io.CopyN(gate{client, silent}, server, few); n == few {
		r.cuts.Add(1)
	}
	if !closed(silent) {
		_ = client.Close()
	}
	<-gone
}

// gate lets bytes through until it is shut; then they are lost.
type gate struct {
	io.Writer
	shut <-chan struct{}
}

func (g gate) Write(p []byte) (int, error) {
	if closed(g.shut) {
		return len(p), nil
	}
	return g.Writer.Write(p)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
