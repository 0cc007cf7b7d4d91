package server

import (
	"context"
	"net/http"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/peer"
)

type clientKey struct{}

// known has requests carry who sent them, which trusted proxies may tell, for clientOf.
func (s *Server) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := s.now.Load()
		c := now.proxies.Of(r, now.header)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, c)))
	})
}

// clientOf is who sent a request.
func clientOf(r *http.Request) peer.Client {
	if c, ok := r.Context().Value(clientKey{}).(peer.Client); ok {
		return c
	}
	return peer.Networks(nil).Of(r, peer.XForwarded)
}

// address is the client's, without the port.
func (s *Server) address(r *http.Request) string {
	if c := clientOf(r); c.Address.IsValid() {
		return c.Address.String()
	}
	return r.RemoteAddr
}

// peer is who sent a request, in auth's words.
func (s *Server) peer(r *http.Request) auth.Peer {
	c := clientOf(r)
	return auth.Peer{Address: s.address(r), Scheme: c.Scheme, Host: c.Host}
}
