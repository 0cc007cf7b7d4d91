package admission

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// Handler answers the requests of connections that are refused, and gives all others to next.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok && c.refusal != nil {
			g.refuse(w, r, c.refusal)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Begin lets a request that begins a session wait for its turn, or answers it with a refusal if that would take more than most; then it returns false. The client is
// at an address.
func (g *Gate) Begin(w http.ResponseWriter, r *http.Request, client netip.Addr, most time.Duration) bool {
	c, _ := r.Context().Value(connKey{}).(*conn)
	// A connection of the client's own has been counted already.
	own := c != nil && addressOf(c.Conn) == client
	if !own && !g.allowed(client) {
		g.refuse(w, r, g.limits.Load().often())
		return false
	}
	if c != nil && c.paid.CompareAndSwap(true, false) {
		return true
	}
	wait, ok := g.turn(most)
	if !ok {
		g.refuse(w, r, g.limits.Load().busy())
		return false
	}
	return sleep(r.Context(), wait)
}

// sleep waits, but not for one who has gone.
func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
