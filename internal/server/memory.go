package server

import (
	"context"
	"time"
)

const (
	// quietTicks is for how many seconds hardly anybody has to come or go before memory is given back.
	quietTicks = 3
	// crowd is how many connections have to have come or gone since the last time, at least, and crowdShare as a share of those that were there.
	crowd      = 100
	crowdShare = 20
)

// tidy gives memory back to the system when a crowd has come and is in, or has gone. A handshake takes several times as much as an idle connection, and a server on which
// nothing happens has nothing collected for two minutes.
func tidy(ctx context.Context, connections func() (open, most int), giveBack func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	tidied, before, quiet := 0, 0, 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		open, _ := connections()
		if quiet++; far(open, before, max(10, open/1000)) {
			quiet = 0
		}
		if before = open; quiet >= quietTicks && far(open, tidied, max(crowd, tidied/crowdShare)) {
			giveBack()
			tidied = open
		}
	}
}

func far(a, b, distance int) bool { return a-b >= distance || b-a >= distance }
