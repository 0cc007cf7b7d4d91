package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/latency"
	"github.com/snoserver/sno/internal/verify"
)

func newVerify() *cobra.Command {
	var n connection
	var o verify.Options
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that a server keeps its promises",
		Long: `Publish and read for a while, then check that everything that was acknowledged is stored, that every reader got it, in one order, once, and
without a silent gap. Kill the server and start it again while this runs: publishers repeat what was not acknowledged, with the same ids, and
readers go on where they were.

It uses channels of its own, PREFIX<random>:0 and so on; their messages stay until the channels' rule removes them. The rule must keep them on disk.

Exit code: 0 every promise was kept, 1 a promise was broken, 2 it could not be checked. Ctrl-C ends the publishing early.`,
		Example: `  sno verify
  sno verify --duration 60s --rate 2000 --drop 5s    # and kill the server meanwhile
  sno verify --publishers 32 --subscribers 8 --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runVerify(c, &n, o, asJSON) },
	}
	n.flags(c)
	f := c.Flags()
	f.IntVar(&o.Publishers, "publishers", 8, "publishers, each with a connection")
	f.IntVar(&o.Subscribers, "subscribers", 4, "subscribers, each with a connection and on every channel")
	f.IntVar(&o.Channels, "channels", 4, "channels")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long to publish")
	f.IntVar(&o.Rate, "rate", 0, "messages per second, of all publishers together; 0: as many as are acknowledged")
	f.IntVar(&o.Size, "size", 100, "bytes of data of each message")
	f.StringVar(&o.Prefix, "prefix", "verify:", "what the channels' names begin with")
	f.DurationVar(&o.Drop, "drop", 0, "each subscriber breaks its connection about so often; 0: never")
	f.DurationVar(&o.Timeout, "timeout", time.Minute, "how long to wait at the end for what is still under way")
	f.BoolVar(&asJSON, "json", false, "the report as JSON")
	return c
}

func runVerify(c *cobra.Command, n *connection, o verify.Options, asJSON bool) error {
	stderr := c.ErrOrStderr()
	var err error
	if o.Client, err = n.options(slog.New(slog.DiscardHandler)); err != nil { // lost connections are counted, and expected
		return err
	}
	o.Progress = func(p verify.Progress) {
		fmt.Fprintf(stderr, "%4.0fs  %d acknowledged, %d received, %d reconnects\n", p.Elapsed.Seconds(), p.Acknowledged, p.Received, p.Reconnects)
	}
	res, err := verify.Run(c.Context(), o)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("could not check: %w", err)}
	}
	if asJSON {
		e := json.NewEncoder(c.OutOrStdout())
		e.SetIndent("", "  ")
		err = e.Encode(res)
	} else {
		err = printReport(c.OutOrStdout(), &res)
	}
	if err == nil && !res.OK {
		err = &exitError{exitFailed, nil} // the report says it
	}
	return err
}

// report writes lines and keeps the first error.
type report struct {
	w   io.Writer
	err error
}

func (r *report) line(format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, format+"\n", args...)
	}
}

func printReport(w io.Writer, res *verify.Result) error {
	r := &report{w: w}
	r.line("acknowledged  %9d   %9.0f/s   %s", res.Acked, res.AckedPerSecond, percentiles(res.AckLatency))
	r.line("received      %9d   %9.0f/s   %s", res.Received, res.ReceivedPerSecond, percentiles(res.DeliveryLatency))
	r.line("stored        %9d   in %d channels", res.Stored, len(res.Channels))
	r.line("reconnects    %9d   %d resets, %d refused, %d unanswered", res.Reconnects, res.Resets, res.Refused, res.Unanswered)
	if res.Refusal != "" {
		r.line("last refusal: %s", res.Refusal)
	}
	for _, b := range res.Behind {
		r.line("not at the end in time: %s", b)
	}
	for _, v := range res.Violations {
		r.line("%s %s: channel %q, message %q: %s", v.Promise, v.Kind, v.Channel, v.ID, v.Text)
	}
	if res.Faults > 0 {
		r.line("%d messages could not be understood", res.Faults)
	}
	if res.OK {
		r.line("OK: nothing lost, nothing doubled, one order, no silent gap")
		return r.err
	}
	for _, kind := range slices.Sorted(maps.Keys(res.Broken)) {
		r.line("BROKEN %s: %s, %d times", verify.Promises[kind], kind, res.Broken[kind])
	}
	return r.err
}

func percentiles(p latency.Percentiles) string {
	return fmt.Sprintf("p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms", p.P50, p.P95, p.P99, p.Max)
}
