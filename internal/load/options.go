package load

import (
	"fmt"
	"time"

	"github.com/snoserver/sno/internal/client"
)

// Scenario is what is done to the server.
type Scenario string

// The scenarios there are.
const (
	Connect   Scenario = "connect"   // connections are made, and stay idle
	Subscribe Scenario = "subscribe" // connections subscribe to many channels
	Fanout    Scenario = "fanout"    // few publishers, many subscribers
	Publish   Scenario = "publish"   // many publishers
	Presence  Scenario = "presence"  // members enter, change and leave, and follow one another
	Resume    Scenario = "resume"    // all connections are cut at once, and come back
)

// Options of a run. Numbers that a scenario does not use are ignored.
type Options struct {
	Scenario Scenario
	// Client says where the server is and as whom to connect. With Auto the transport of the first connection is that of all.
	Client client.Options
	// Connections are the subscribers, members or, in Publish, publishers: at least 1.
	Connections int
	// Subscriptions of each connection, in Subscribe; at most as many as Channels.
	Subscriptions int
	// Channels over which connections and messages are spread evenly.
	Channels int
	// Publishers of Fanout and Resume, each with a connection of its own.
	Publishers int
	// Rate is how much is begun per second, by all together: messages, subscribes or changes of presence. 0: as fast as InFlight allows.
	Rate int
	// InFlight is how many messages of a publisher, or subscribes of a connection, or changes of presence altogether, may be without an answer.
	// 0: 1, and 256 with a Rate.
	InFlight int
	// Size is how many bytes of data a message or a member has, at least about 30.
	Size int
	// Duration is how long connections stay idle (Connect), messages are published (Fanout, Publish), members change (Presence), or how long is published before
	// each storm and after the last one (Resume).
	Duration time.Duration
	// Ramp is the time over which connections begin; 0: as fast as Handshakes allows.
	Ramp time.Duration
	// Handshakes is how many connections may be opening at once.
	Handshakes int
	// Storms is how often all connections are cut, and Away how long they stay away while publishing goes on; of Resume.
	Storms int
	Away   time.Duration
	// Prefix begins the names of the channels.
	Prefix string
	// Timeout bounds each connection's opening, each answer, and the wait for what is under way at the end.
	Timeout time.Duration
	// Verify checks that nothing is lost, doubled or reordered.
	Verify bool
	// Progress, if set, is called every second.
	Progress func(Progress)

	openFiles uint64 // the limit, instead of the process's; for tests
}

// Progress is how far a run is.
type Progress struct {
	Elapsed time.Duration
	Done    []Done
}

// Done is how much of a step was done.
type Done struct {
	Step  string
	Count int
}

// positive says which numbers have to be above 0 in each scenario.
func (o *Options) positive() map[string]int {
	all := map[string]int{"connections": o.Connections, "handshakes": o.Handshakes}
	switch o.Scenario {
	case Subscribe:
		all["channels"], all["subscriptions"] = o.Channels, o.Subscriptions
	case Fanout, Resume:
		all["channels"], all["publishers"] = o.Channels, o.Publishers
	case Publish, Presence:
		all["channels"] = o.Channels
	}
	if o.Scenario == Resume {
		all["storms"] = o.Storms
	}
	return all
}

// check says what is wrong with the options.
func (o *Options) check() error {
	switch o.Scenario {
	case Connect, Subscribe, Fanout, Publish, Presence, Resume:
	default:
		return fmt.Errorf("there is no scenario %q", o.Scenario)
	}
	for name, n := range o.positive() {
		if n < 1 {
			return fmt.Errorf("%s: %d, need at least 1", name, n)
		}
	}
	for name, n := range map[string]int{"rate": o.Rate, "in-flight": o.InFlight, "size": o.Size, "duration": int(o.Duration), "ramp": int(o.Ramp), "away": int(o.Away)} {
		if n < 0 {
			return fmt.Errorf("%s must not be negative", name)
		}
	}
	switch {
	case o.Timeout <= 0:
		return fmt.Errorf("timeout: %v, need more than 0", o.Timeout)
	case o.Scenario == Subscribe && o.Subscriptions > o.Channels:
		return fmt.Errorf("%d subscriptions of each connection need as many channels, and there are %d: a connection has one subscription for a channel", o.Subscriptions, o.Channels)
	case o.Scenario == Presence && o.Client.Token != nil:
		return fmt.Errorf("presence needs an app key: with one token all %d connections are the same member", o.Connections)
	}
	return nil
}

func (o *Options) inFlight() int {
	switch {
	case o.InFlight > 0:
		return o.InFlight
	case o.Rate > 0:
		return 256
	}
	return 1
}

// bufferBytes shares 64 MiB of read and as much of write buffers between the connections.
func (o *Options) bufferBytes() int {
	return min(max(64<<20/o.Connections, 4<<10), 64<<10)
}
