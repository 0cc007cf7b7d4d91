//go:build linux

// Package peers starts the servers that are measured, each alone on one processor, and ends them. Those that cannot be had say why.
package peers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// Variant is what is special about a server for one measurement.
type Variant string

// The variants. A peer that does not know a variant is not measured with it.
const (
	Usual  Variant = ""       // one channel, kept in memory
	Topics Variant = "topics" // many channels
	Stored Variant = "stored" // what is published is on disk before it counts
	TLS    Variant = "tls"    // encrypted by the server itself
	SSE    Variant = "sse"    // subscribers read server-sent events
)

// Peer is a server that can be measured.
type Peer struct {
	Name  string
	About string // what it is, for the page
	knows []Variant
	start func(ctx context.Context, p *Place, v Variant) (*Running, error)
}

// Knows tells whether the peer can be measured so.
func (p *Peer) Knows(v Variant) bool { return slices.Contains(p.knows, v) }

// Start starts it. The context's end ends it.
func (p *Peer) Start(ctx context.Context, place *Place, v Variant) (*Running, error) {
	r, err := p.start(ctx, place, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return r, nil
}

// Running is a server that runs.
type Running struct {
	Protocol, URL, PublishPath, Token, Key string

	Pids []int
	stop func()
}

// Stop ends the server and waits for its end.
func (r *Running) Stop() {
	if r.stop != nil {
		r.stop()
	}
}

// All are the peers that the tool starts by itself.
func All() []*Peer {
	return []*Peer{
		sno(),
		floor("write", "a system call for each message and subscriber"),
		floor("join", "what waits goes out in one system call a subscriber"),
		floor("uring", "the same, many subscribers in one system call"),
		script("uws", "uws.js", "uWebSockets (C++) as npm ships it: @trufflesuite/uws-js-unofficial"),
		script("ws", "ws.js", "npm ws"),
		socketIO(),
		centrifugo(),
		nchan(),
		mosquitto(),
	}
}

// Given is a server that somebody else has started.
func Given(name string, r Running) *Peer {
	knows := []Variant{Usual}
	if r.Protocol != "plain" { // which has no channels
		knows = append(knows, Topics)
	}
	return &Peer{Name: name, About: "given by its URL", knows: knows, start: func(context.Context, *Place, Variant) (*Running, error) { return &r, nil }}
}

// Place is where things are built and servers keep their files.
type Place struct {
	Root string // the project's directory, to build from
	Dir  string // for what is built, kept from run to run
	Core int    // the servers' processor
	Sno  string // the server to measure; built from Root if empty

	mu    sync.Mutex
	built map[string]error
}

// once does something the first time it is asked for, and remembers how it went.
func (p *Place) once(name string, do func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err, done := p.built[name]; done {
		return err
	}
	if p.built == nil {
		p.built = map[string]error{}
	}
	err := os.MkdirAll(p.Dir, 0o755)
	if err == nil {
		err = do()
	}
	p.built[name] = err
	return err
}

// scratch is an empty directory for one run of a server, and what removes it.
func (p *Place) scratch(name string) (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp(p.Dir, name+"-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	return dir, func() { _ = os.RemoveAll(dir) }, err
}
