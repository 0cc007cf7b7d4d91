//go:build !linux

package loop

import (
	"context"
	"errors"
	"net"

	"github.com/snoserver/sno/internal/wire"
)

// ErrNoSocket says that a connection cannot be driven by a loop.
var ErrNoSocket = errors.New("there are no loops on this system")

// Group is the loops of a process: here there are none, and every connection is served.
type Group struct{}

// Options of a Group.
type Options struct {
	Loops  int
	NoRing bool
}

// NewGroup makes an empty group.
func NewGroup(Options) (*Group, error) { return &Group{}, nil }

// Rings is false.
func (g *Group) Rings() bool { return false }

// Wait returns at once.
func (g *Group) Wait(context.Context) error { return nil }

// Close does nothing.
func (g *Group) Close() {}

// Seat is nil.
func (g *Group) Seat() *Loop { return nil }

// Loop does not exist here.
type Loop struct{}

// Call implements wire.Loop.
func (l *Loop) Call(func()) {}

// Conn does not exist here.
type Conn struct{ Link }

// Loop implements wire.Looped.
func (c *Conn) Loop() wire.Loop { return nil }

// Drain implements wire.Looped.
func (c *Conn) Drain() {}

// Attach fails with ErrNoSocket.
func (l *Loop) Attach(net.Conn, []byte, func(*Conn) Machine) error { return ErrNoSocket }
