//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/snoserver/sno/bench/report"
)

// baseline is what the guard compares with. All of it holds on any machine, more or less: processor time is told as a multiple of what the floor takes in the same rounds.
type baseline struct {
	Date    string `json:"date"`
	Machine string `json:"machine"`
	// How much worse is too much: wide enough for what differs from run to run. With sixteen in flight a busy machine changes how much is put together (1.4 times was seen);
	// losing that altogether is ten times.
	Factor   float64 `json:"factor"`
	Factor16 float64 `json:"factor_16_in_flight"`
	// CPU of a delivery, as a multiple of the floor's, with one publish in flight and with sixteen.
	Fanout1  float64 `json:"fanout_1_in_flight_to_floor"`
	Fanout16 float64 `json:"fanout_16_in_flight_to_floor"`
	Idle     float64 `json:"idle_bytes_per_connection"`
}

// The factors of a new baseline.
const (
	defaultFactor   = 1.5
	defaultFactor16 = 2
)

// guarded are the servers that the guard needs.
var guarded = []string{"sno", report.Floor}

// measured makes a baseline of a report.
func measured(r *report.Report) (baseline, error) {
	t := r.Table("fanout")
	b := baseline{Date: r.Date, Machine: r.Machine, Factor: defaultFactor, Factor16: defaultFactor16}
	if t != nil {
		b.Fanout1, b.Fanout16, b.Idle = t.Ratio(report.Floor, "sno", "fanout1"), t.Ratio(report.Floor, "sno", "fanout16"), t.Median("sno", "idle")
	}
	if b.Fanout1 == 0 || b.Fanout16 == 0 || b.Idle == 0 {
		return b, fmt.Errorf("sno and %s have to be measured for that: %v", report.Floor, r.Absent)
	}
	return b, nil
}

func (b baseline) write(file string) error {
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

// guard compares what was measured with a file, and fails if something has become worse by more than the factor.
func guard(w io.Writer, file string, now baseline) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var then baseline
	if err := json.Unmarshal(text, &then); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return now.against(w, then)
}

// against tells of each number how it has changed.
func (b baseline) against(w io.Writer, then baseline) error {
	var errs []error
	for _, c := range []struct {
		what              string
		now, then, factor float64
	}{
		{"processor time of a delivery, one in flight, as a multiple of the floor's", b.Fanout1, then.Fanout1, then.Factor},
		{"processor time of a delivery, sixteen in flight, as a multiple of the floor's", b.Fanout16, then.Fanout16, then.Factor16},
		{"bytes of memory per idle connection", b.Idle, then.Idle, then.Factor},
	} {
		fmt.Fprintf(w, "%s: %.3g, the baseline %.3g\n", c.what, c.now, c.then)
		if c.now > c.then*c.factor {
			errs = append(errs, fmt.Errorf("%s: %.3g is more than %.3g × %.3g of the baseline", c.what, c.now, c.factor, c.then))
		}
		if c.now*c.factor < c.then {
			fmt.Fprintf(w, "  much better: write a new baseline, so that it stays\n")
		}
	}
	return errors.Join(errs...)
}
