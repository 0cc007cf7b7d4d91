package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/snoserver/sno/internal/load"
	"github.com/snoserver/sno/internal/verify"
)

// printBench writes what sno bench has measured for a person.
func printBench(w io.Writer, res *load.Result) error {
	r := &report{w: w}
	r.line("%s: %d connections by %s to %s", res.Scenario, res.Connections, res.Transport, res.URL)
	if res.Interrupted {
		r.line("interrupted: this is what was measured so far")
	}
	r.line("")
	if err := printSteps(w, res); err != nil {
		return err
	}
	r.line("")
	for _, e := range res.Errors {
		name := e.Name
		if e.Code != 0 {
			name = fmt.Sprint(e.Code, " ", e.Name)
		}
		r.line("error   %s, %d times, first: %s", name, e.Count, e.Text)
	}
	r.line("client  %s", usageLine(&res.Client))
	for _, note := range res.Notes {
		r.line("note    %s", note)
	}
	if res.Verification != nil {
		printVerification(r, res.Verification)
	}
	for _, f := range res.Failures {
		r.line("FAILED  %s", f)
	}
	return r.err
}

func printSteps(w io.Writer, res *load.Result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "STEP\tCOUNT\tPER SECOND\tP50\tP90\tP99\tMAX") // Flush reports the error of any write
	for _, name := range load.StepNames {
		s, there := res.Steps[name]
		if !there {
			continue
		}
		l := s.Latency
		fmt.Fprintf(table, "%s\t%d\t%.0f\t%.1f ms\t%.1f ms\t%.1f ms\t%.1f ms\n", name, s.Count, s.PerSecond, l.P50, l.P90, l.P99, l.Max)
	}
	return table.Flush()
}

func usageLine(u *load.Usage) string {
	machine := ""
	if u.MachineShare > 0 {
		machine = fmt.Sprintf(", the whole machine %.0f %%", 100*u.MachineShare)
	}
	return fmt.Sprintf("%.0f %% of %d cores%s; timers late by p50 %.1f ms, p99 %.1f ms; %d MiB at most",
		100*u.CPUShare, u.Cores, machine, u.Late.P50, u.Late.P99, u.PeakBytes>>20)
}

func printVerification(r *report, v *load.Verification) {
	for _, x := range v.Violations {
		r.line("%s %s: channel %q, message %q: %s", x.Promise, x.Kind, x.Channel, x.ID, x.Text)
	}
	for _, kind := range slices.Sorted(maps.Keys(v.Broken)) {
		r.line("BROKEN  %s: %s, %d times", verify.Promises[kind], kind, v.Broken[kind])
	}
	if v.Late > 0 {
		r.line("LATE    %d of what was checked was not there in time: %s", v.Late, v.Checked)
	}
	switch {
	case v.Nothing != "":
		r.line("NOT VERIFIED: %s", v.Nothing)
	case v.OK:
		r.line("OK      %s", v.Checked)
	}
}
