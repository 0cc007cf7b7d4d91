//go:build linux

package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/snoserver/sno/bench/peers"
	"github.com/snoserver/sno/bench/report"
	"github.com/snoserver/sno/bench/scenario"
)

// job is something that is done to several servers in turn.
type job struct {
	name, title string
	small       bool // belongs to the small set
	variant     peers.Variant
	subscribers int
	channels    int
	spin        bool
	warm        time.Duration
	plan        string
	once        bool     // one round: what it measures does not depend on what else goes on
	only        []string // servers; all if empty
	columns     []column
}

// column is what is taken from the result of a step. Step 0 is the opening of the connections.
type column struct {
	report.Column

	step  int
	value func(scenario.Result) float64
}

func perCPU(step int, name, title string) column {
	return column{report.Column{Name: name, Title: title}, step, func(r scenario.Result) float64 { return r.PerCPUSecond }}
}

func perSecond(step int, name, title string) column {
	return column{report.Column{Name: name, Title: title}, step, func(r scenario.Result) float64 { return r.PerSecond }}
}

// bytesEach, standing and quantiles are of the first step.
func bytesEach(name, title string, per float64) column {
	return column{report.Column{Name: name, Title: title, Unit: "bytes", Less: true}, 1, func(r scenario.Result) float64 { return r.BytesEach / per }}
}

// kernelBytes is about what the kernel holds for a connection, whatever the server (bench/README.md).
const kernelBytes = 9_000

func standing() []column {
	return []column{
		bytesEach("idle", "bytes in user space per connection", 1),
		{report.Column{Name: "million", Title: "GB that a million would take, with the kernel's", Less: true, Plain: true}, 1, func(r scenario.Result) float64 { return (r.BytesEach + kernelBytes) * 1e6 / 1e9 }},
	}
}

func quantiles() []column {
	c := func(name string, value func(scenario.Result) float64) column {
		return column{report.Column{Name: name, Title: name, Unit: "µs", Less: true}, 1, value}
	}
	return []column{
		c("p50", func(r scenario.Result) float64 { return r.P50 }),
		c("p99", func(r scenario.Result) float64 { return r.P99 }),
		{report.Column{Name: "lost", Title: "lost", Plain: true, Less: true}, 1, func(r scenario.Result) float64 { return float64(r.Lost) }},
	}
}

// servers without two of the three floors, where these would say nothing new.
var servers = []string{"sno", "floor-join", "uws", "ws", "socket.io", "centrifugo", "nchan", "mosquitto"}

// jobs are all of them. long is how long each step lasts, settle how long memory may take to settle.
func jobs(long, settle time.Duration) []*job {
	half := long / 2
	return []*job{
		{
			name: "fanout", title: "Fan-out: 10,000 subscribers of one channel, 200 bytes; deliveries per second of the server's processor time", small: true,
			subscribers: 10000, warm: half / 2, plan: fmt.Sprintf("idle:1s,fanout:1:%v,fanout:16:%v", long, long),
			columns: []column{
				perCPU(2, "fanout1", "1 publish in flight"), perCPU(3, "fanout16", "16 in flight"),
				bytesEach("idle", "bytes of memory per connection, 1 s after", 1), perSecond(0, "connect", "connections a second"), perCPU(0, "connectcpu", "and per processor second"),
			},
		},
		{
			name: "single", title: "One message in → out, one subscriber, kept in memory", small: true,
			subscribers: 1, spin: true, warm: half / 2, plan: fmt.Sprintf("fanout:1:%v", long), only: servers, columns: quantiles(),
		},
		{
			name: "single-stored", title: "One message in → out, one subscriber, on disk (fsync) before it goes out", small: true,
			variant: peers.Stored, subscribers: 1, spin: true, warm: half / 2, plan: fmt.Sprintf("fanout:1:%v", long), columns: quantiles(),
		},
		{
			name: "latency-1000", title: "Latency at 20,000 deliveries a second: 1,000 subscribers, 20 messages a second",
			subscribers: 1000, plan: fmt.Sprintf("rate:20:%v", 2*long), only: servers, columns: quantiles(),
		},
		{
			name: "latency-10000", title: "Latency at 20,000 deliveries a second: 10,000 subscribers, 2 messages a second",
			subscribers: 10000, plan: fmt.Sprintf("rate:2:%v", 2*long), only: servers, columns: quantiles(),
		},
		{
			name: "channels", title: "100,000 channels with a subscriber each, over 2,000 connections; publishes to random ones, 256 in flight",
			variant: peers.Topics, subscribers: 2000, channels: 50, warm: half / 2, plan: fmt.Sprintf("idle:1s,fanout:256:%v", long),
			columns: []column{perCPU(2, "channels", "deliveries per processor second"), bytesEach("subscription", "bytes of memory per subscription", 50)},
		},
		{
			name: "subscribe", title: "Subscribing: 1,000 connections ask for 100 channels each, without waiting for answers",
			variant: peers.Topics, subscribers: 1000, channels: -1, plan: "subscribe:100",
			columns: []column{perSecond(1, "persecond", "subscriptions a second"), perCPU(1, "percpu", "per processor second")},
		},
		{
			name: "subscribe-one", title: "Subscribing: one connection asks for 10,000 channels",
			variant: peers.Topics, subscribers: 1, channels: -1, plan: "subscribe:10000",
			columns: []column{perSecond(1, "persecond", "subscriptions a second"), perCPU(1, "percpu", "per processor second")},
		},
		{
			name: "idle", title: fmt.Sprintf("Memory: 19,000 idle connections with a subscription each, %v after the last was opened", settle),
			subscribers: 19000, plan: fmt.Sprintf("idle:%v", settle), once: true, only: servers,
			columns: standing(),
		},
		{
			name: "idle-tls", title: fmt.Sprintf("Memory: 10,000 idle connections with TLS that ends in the server, %v after the last was opened", settle),
			variant: peers.TLS, subscribers: 10000, plan: fmt.Sprintf("idle:%v", settle), once: true,
			columns: standing(),
		},
		{
			name: "idle-sse", title: fmt.Sprintf("Memory: 10,000 idle streams of server-sent events with a subscription each, %v after the last was opened", settle),
			variant: peers.SSE, subscribers: 10000, plan: fmt.Sprintf("idle:%v", settle), once: true,
			columns: standing(),
		},
	}
}

// table is the empty table of a job.
func (j *job) table() *report.Table {
	t := &report.Table{Name: j.name, Title: j.title}
	for _, c := range j.columns {
		t.Columns = append(t.Columns, c.Column)
	}
	return t
}

// wants tells whether a server is part of the job. Servers that were given by their URL always are.
func (j *job) wants(p *peers.Peer) bool {
	given := !slices.ContainsFunc(peers.All(), func(a *peers.Peer) bool { return a.Name == p.Name })
	return p.Knows(j.variant) && (given || len(j.only) == 0 || slices.Contains(j.only, p.Name))
}
