// Package liveness tells what the kernel knows of the machine at the other end of a connection: whether bytes wait for it, and whether it is still there.
package liveness

import (
	"context"
	"net"
)

type connKey struct{}

// With returns a context that carries the connection of a request, for http.Server.ConnContext.
func With(ctx context.Context, nc net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, nc)
}

// Conn returns the connection that With put there, or nil.
func Conn(ctx context.Context) net.Conn {
	nc, _ := ctx.Value(connKey{}).(net.Conn)
	return nc
}

// TCP returns the TCP connection under nc, or nil.
func TCP(nc net.Conn) *net.TCPConn {
	for {
		switch c := nc.(type) {
		case *net.TCPConn:
			return c
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return nil
		}
	}
}
