package server

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	// quietTicks is for how many seconds hardly anybody has to come or go before memory is given back.
	quietTicks = 3
	// crowd is how many connections have to have come or gone since the last time, at least, and crowdShare as a share of those that were there.
	crowd      = 100
	crowdShare = 20
	// crowdedGC is by how many percent the heap may grow between collections while a crowd comes. What handshakes leave behind lies between what stays, and holes are given back to nobody.
	crowdedGC = 50
)

// tidy gives memory back to the system when a crowd has come and is in, or has gone. A handshake takes several times as much as an idle connection, and a server on which
// nothing happens has nothing collected for two minutes. As long as the crowd comes, it has garbage collected more often.
func tidy(ctx context.Context, connections func() (open, most int), collectOften func(bool), giveBack func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	tidied, before, quiet, comes := 0, 0, 0, false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if comes {
				collectOften(false)
			}
			return
		}
		open, _ := connections()
		if quiet++; far(open, before, max(10, open/1000)) {
			quiet = 0
		}
		much := max(crowd, tidied/crowdShare)
		if before = open; quiet >= quietTicks && far(open, tidied, much) {
			giveBack()
			tidied = open
		}
		if now := open-tidied >= much; now != comes {
			comes = now
			collectOften(comes)
		}
	}
}

// collectOften returns what has the runtime collect garbage more often than usual, or as usual.
func collectOften() func(bool) {
	usual := debug.SetGCPercent(crowdedGC)
	debug.SetGCPercent(usual)
	return func(often bool) {
		switch {
		case usual <= crowdedGC: // GOGC says so, or "off"
		case often:
			debug.SetGCPercent(crowdedGC)
		default:
			debug.SetGCPercent(usual)
		}
	}
}

func far(a, b, distance int) bool { return a-b >= distance || b-a >= distance }
