package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// probeReport is what sno probe --json prints.
type probeReport struct {
	OK         bool              `json:"ok"`
	Summary    string            `json:"summary"`
	Warn       int64             `json:"warn_ms"`
	Transports []transportReport `json:"transports"`
	code       int
}

type transportReport struct {
	Transport string       `json:"transport"`
	Steps     []stepReport `json:"steps"`
}

type stepReport struct {
	Step         string  `json:"step"`
	Milliseconds float64 `json:"ms"`
	Error        string  `json:"error,omitempty"`
}

// failed returns the step that failed, which is the last one; nil if none did.
func (t *transportReport) failed() *stepReport {
	if last := &t.Steps[len(t.Steps)-1]; last.Error != "" {
		return last
	}
	return nil
}

// sumUp judges: all is well, something is not, or nothing works.
func (r *probeReport) sumUp() {
	var slowest stepReport
	var slowestBy string
	var bad []string
	failed := 0
	for i := range r.Transports {
		t := &r.Transports[i]
		if s := t.failed(); s != nil {
			failed++
			bad = append(bad, fmt.Sprintf("%s failed at %s (%s)", t.Transport, s.Step, unbarred(s.Error)))
		}
		for _, s := range t.Steps {
			if s.Error == "" && s.Milliseconds > slowest.Milliseconds {
				slowest, slowestBy = s, t.Transport
			}
		}
	}
	word := "OK"
	switch {
	case failed == len(r.Transports):
		r.code, word = probeCritical, "CRITICAL"
	case failed > 0 || slowest.Milliseconds > float64(r.Warn):
		r.code, word = probeWarning, "WARNING"
	}
	if failed < len(r.Transports) {
		bad = append(bad, fmt.Sprintf("slowest step %.0f ms (%s, %s)", slowest.Milliseconds, slowestBy, slowest.Step))
	}
	r.OK = r.code == 0
	r.Summary = fmt.Sprintf("SNO %s - %d of %d transports work; %s", word, len(r.Transports)-failed, len(r.Transports), strings.Join(bad, "; "))
}

// unbarred keeps a monitoring system from taking a line break, or a bar, for the end of the summary.
func unbarred(s string) string { return strings.NewReplacer("\n", " ", "|", "/").Replace(s) }

// print writes the summary, with the times behind a bar as monitoring plugins give them, and a table; or JSON.
func (r *probeReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s |", r.Summary) // Flush reports the error of any write
	for _, t := range r.Transports {
		for _, s := range t.Steps {
			if s.Error == "" {
				fmt.Fprintf(table, " %s_%s=%.1fms;%d", t.Transport, s.Step, s.Milliseconds, r.Warn)
			}
		}
	}
	fmt.Fprint(table, "\nTRANSPORT\tCONNECT\tAUTH\tSUBSCRIBE\tPUBLISH\tRECEIVE\tRESUME\n")
	for _, t := range r.Transports {
		fmt.Fprint(table, t.Transport)
		for _, s := range t.Steps {
			if s.Error != "" {
				fmt.Fprint(table, "\tfailed")
				continue
			}
			fmt.Fprintf(table, "\t%.1f ms", s.Milliseconds)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
