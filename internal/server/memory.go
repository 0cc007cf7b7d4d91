package server

import (
	"context"
	"runtime/debug"
	"time"
)

// crowd is how many connections have to come, or go, before it is worth while to look for the memory that they have left: at least, and as a share of those that were there.
const (
	crowd      = 1000
	crowdShare = 4
)

// tidy gives memory back to the system when a crowd has come and is in, or has gone. A handshake takes several times as much as an idle connection, and a server on which
// nothing happens has nothing collected for two minutes.
func (s *Server) tidy(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	tidied, before := 0, 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		open, _ := s.gate.Open()
		if far(open, tidied, max(crowd, tidied/crowdShare)) && !far(open, before, max(crowd, open)/100) {
			debug.FreeOSMemory()
			tidied = open
		}
		before = open
	}
}

func far(a, b, distance int) bool { return a-b >= distance || b-a >= distance }
