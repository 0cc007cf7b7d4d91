package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/load"
)

// bench is one run of a scenario of sno bench.
type bench struct {
	connection
	o      load.Options
	asJSON bool
}

// scenario is a subcommand of sno bench: what its help says, and its flags with their defaults.
type scenario struct {
	name           load.Scenario
	short, long    string
	example        string
	connections    int
	connectionsAre string
	flags          func(b *bench, c *cobra.Command)
}

var scenarios = []scenario{
	{
		load.Connect, "How many connections, and how fast are they made?",
		"Make connections, and let them be idle for a while. With --verify each has to answer at the end, and none may have been lost.",
		"  sno bench connect --connections 5000 --ramp 10s\n  sno bench connect --transport sse --duration 1m --verify",
		100, "connections", func(b *bench, c *cobra.Command) {
			c.Flags().DurationVar(&b.o.Duration, "duration", 2*time.Second, "how long the connections are idle when all are there")
		},
	},
	{
		load.Subscribe, "How fast do clients subscribe, as all do after a restart?",
		"Have every connection subscribe to many channels. With --verify a message is published to each channel afterwards, and each subscription has to get it.",
		"  sno bench subscribe --connections 1000 --subscriptions 20 --channels 5000\n  sno bench subscribe --rate 500 --verify",
		100, "connections", func(b *bench, c *cobra.Command) {
			b.channels(c, 100)
			c.Flags().IntVar(&b.o.Subscriptions, "subscriptions", 10, "subscriptions of each connection")
			b.pace(c, 0, "subscribes", "subscribes of a connection")
		},
	},
	{
		load.Fanout, "How many subscribers hear a message, and how soon?",
		"Publish to channels that many connections are subscribed to. With --verify every subscriber has to get every acknowledged message, once and in order.",
		"  sno bench fanout --connections 5000 --rate 10\n  sno bench fanout --in-flight 16 --size 200 --verify",
		100, "subscribers, each with a connection", func(b *bench, c *cobra.Command) {
			b.channels(c, 1)
			b.publishers(c)
			b.pace(c, 0, "messages", "messages of a publisher")
			b.size(c, "message", 100)
			b.duration(c, 10*time.Second, "how long to publish")
		},
	},
	{
		load.Publish, "How many messages are taken, and how soon are they safe?",
		"Publish from many connections at once to channels that nobody follows. With --verify one subscriber a channel follows, and has to get every acknowledged message, once and in order.",
		"  sno bench publish --connections 64 --in-flight 16\n  sno bench publish --rate 1000 --size 2000 --verify",
		8, "publishers, each with a connection", func(b *bench, c *cobra.Command) {
			b.channels(c, 8)
			b.pace(c, 0, "messages", "messages of a publisher")
			b.size(c, "message", 100)
			b.duration(c, 10*time.Second, "how long to publish")
		},
	},
	{
		load.Presence, "How soon do all know who is there?",
		"Have every connection enter a channel, change its data for a while, and leave, while it follows who else is there. Each change goes to everybody in the channel.\n" +
			"With --verify each has to hear of every change, and to know at the end of each part who is there, with which data.",
		"  sno bench presence --connections 200\n  sno bench presence --connections 2000 --channels 100 --rate 50 --verify",
		100, "members, each with a connection", func(b *bench, c *cobra.Command) {
			b.channels(c, 1)
			b.pace(c, 0, "changes", "changes altogether")
			b.size(c, "member", 64)
			b.duration(c, 5*time.Second, "how long members change their data")
		},
	},
	{
		load.Resume, "How long until all are back, when all connections are cut at once?",
		"Publish to channels that many connections are subscribed to, cut all of those at once, go on publishing while they are away, and let them all come back at\n" +
			"once. With --verify every subscriber has to get every acknowledged message, once and in order, also those that it missed.",
		"  sno bench resume --connections 2000 --verify\n  sno bench resume --storms 5 --away 10s --rate 200 --transport poll",
		100, "subscribers, each with a connection", func(b *bench, c *cobra.Command) {
			b.channels(c, 1)
			b.publishers(c)
			b.pace(c, 20, "messages", "messages of a publisher")
			b.size(c, "message", 100)
			b.duration(c, 2*time.Second, "how long to publish before each storm, and after the last one")
			c.Flags().IntVar(&b.o.Storms, "storms", 1, "how often all connections are cut")
			c.Flags().DurationVar(&b.o.Away, "away", time.Second, "how long they stay away")
		},
	},
}

func newBench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a server can carry, with its proxies and its network",
		Long: `Put load on a server and say how much it carried and how long things took. It is for finding out what your own server, proxy and network can
carry: run it where your clients are, not on the server's machine. The load is real: do not run it against a server that others depend on.

Each scenario uses channels of its own, PREFIX<random>:0 and so on; their messages stay until the channels' rule removes them.

The report ends with how busy the client itself was. Where it was the limit it says so, and the numbers are the client's rather than the server's.

Exit code: 0 everything was done (and with --verify nothing was lost, doubled or out of order), 1 something was not, 2 it could not be measured or verified.
Ctrl-C ends a run early, with a report of what was measured so far.`,
		Example: `  sno bench connect --connections 5000
  sno bench fanout --connections 1000 --rate 20 --verify
  sno bench resume --connections 1000 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for i := range scenarios {
		c.AddCommand(newScenario(&scenarios[i]))
	}
	return c
}

func newScenario(s *scenario) *cobra.Command {
	b := &bench{o: load.Options{Scenario: s.name}}
	c := &cobra.Command{
		Use: string(s.name), Short: s.short, Long: s.short + "\n\n" + s.long, Example: s.example,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return b.run(c) },
	}
	b.credentials.flags(c)
	f := c.Flags()
	f.StringVar(&b.transport, "transport", string(client.Auto), "how to connect: auto, websocket, stream, sse or poll")
	f.IntVar(&b.o.Connections, "connections", s.connections, s.connectionsAre)
	f.DurationVar(&b.o.Ramp, "ramp", 0, "the time over which the connections begin; 0: as fast as --handshakes allows")
	f.IntVar(&b.o.Handshakes, "handshakes", 64, "connections that may be opening at once")
	f.StringVar(&b.o.Prefix, "prefix", "bench:", "what the channels' names begin with")
	f.DurationVar(&b.o.Timeout, "timeout", 30*time.Second, "how long a connection may take to open, and what is under way at the end to arrive")
	f.BoolVar(&b.o.Verify, "verify", false, "check that nothing is lost, doubled or out of order")
	f.BoolVar(&b.asJSON, "json", false, "the report as JSON")
	s.flags(b, c)
	return c
}

func (b *bench) channels(c *cobra.Command, n int) {
	c.Flags().IntVar(&b.o.Channels, "channels", n, "channels, over which everybody is spread")
}

func (b *bench) publishers(c *cobra.Command) {
	c.Flags().IntVar(&b.o.Publishers, "publishers", 1, "publishers, each with a connection of its own besides")
}

func (b *bench) pace(c *cobra.Command, rate int, what, ofWhom string) {
	c.Flags().IntVar(&b.o.Rate, "rate", rate, what+" per second, of all together; 0: as many as are answered")
	c.Flags().IntVar(&b.o.InFlight, "in-flight", 0, ofWhom+" that may be without an answer; 0: 1, and 256 with --rate")
}

func (b *bench) size(c *cobra.Command, of string, n int) {
	c.Flags().IntVar(&b.o.Size, "size", n, "bytes of data of each "+of+", at least about 30")
}

func (b *bench) duration(c *cobra.Command, d time.Duration, what string) {
	c.Flags().DurationVar(&b.o.Duration, "duration", d, what)
}

func (b *bench) run(c *cobra.Command) error {
	var err error
	if b.o.Client, err = b.options(slog.New(slog.DiscardHandler)); err != nil { // what goes wrong is counted
		return err
	}
	stderr := c.ErrOrStderr()
	b.o.Progress = func(p load.Progress) {
		var done []string
		for _, d := range p.Done {
			done = append(done, fmt.Sprint(d.Step, " ", d.Count))
		}
		fmt.Fprintf(stderr, "%4.0fs  %s\n", p.Elapsed.Seconds(), strings.Join(done, ", "))
	}
	res, err := load.Run(c.Context(), b.o)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("could not measure: %w", err)}
	}
	if b.asJSON {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(res)
	} else {
		err = printBench(c.OutOrStdout(), &res)
	}
	switch {
	case err != nil:
		return err
	case res.OK:
		return nil
	case len(res.Failures) == 0 && res.Verification != nil && res.Verification.Nothing != "":
		return &exitError{exitUsage, nil} // the report says it
	}
	return &exitError{exitFailed, nil}
}
