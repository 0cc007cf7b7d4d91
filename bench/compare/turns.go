//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/snoserver/sno/bench/peers"
	"github.com/snoserver/sno/bench/report"
	"github.com/snoserver/sno/bench/scenario"
)

// turns does jobs to servers, each server in turn, several rounds of it.
type turns struct {
	place    *peers.Place
	load     string // the load client
	core     int    // its processor
	rounds   int
	peers    []*peers.Peer
	progress io.Writer
}

// build builds the load client.
func (t *turns) build(ctx context.Context) error {
	t.load = filepath.Join(t.place.Dir, "load")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", t.load, "./bench/load")
	cmd.Dir = t.place.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the load client: %w: %s", err, out)
	}
	return nil
}

// do does one job. A server that cannot be measured is absent, with the reason, and the others go on.
func (t *turns) do(ctx context.Context, j *job) (*report.Table, []report.Absent) {
	table := j.table()
	var absent []report.Absent
	gone := map[string]bool{}
	rounds := t.rounds
	if j.once {
		rounds = 1
	}
	for round := range rounds {
		for _, p := range t.peers {
			if gone[p.Name] || !j.wants(p) || ctx.Err() != nil {
				continue
			}
			begun := time.Now()
			values, err := t.turn(ctx, j, p)
			if err != nil {
				gone[p.Name] = true
				absent = append(absent, report.Absent{Server: p.Name, Table: j.name, Reason: err.Error()})
				fmt.Fprintf(t.progress, "%s: %s: %v\n", j.name, p.Name, err)
				continue
			}
			table.Add(p.Name, round, values)
			fmt.Fprintf(t.progress, "%s: %s: round %d of %d, %.0f s:%s\n", j.name, p.Name, round+1, rounds, time.Since(begun).Seconds(), summary(table, values))
		}
	}
	return table, absent
}

func summary(t *report.Table, values map[string]float64) string {
	var b strings.Builder
	for _, c := range t.Columns {
		fmt.Fprintf(&b, " %s %s", c.Name, report.Number(values[c.Name], c.Unit))
	}
	return b.String()
}

// turn starts a server, does the job to it, and ends it.
func (t *turns) turn(ctx context.Context, j *job, p *peers.Peer) (map[string]float64, error) {
	server, err := p.Start(ctx, t.place, j.variant)
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	results, err := t.measure(ctx, j, server)
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, c := range j.columns {
		if c.step >= len(results) {
			return nil, fmt.Errorf("the load client has told of %d steps, not of step %d", len(results), c.step)
		}
		values[c.Name] = c.value(results[c.step])
	}
	return values, nil
}

// measure runs the load client.
func (t *turns) measure(ctx context.Context, j *job, s *peers.Running) ([]scenario.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var pids []string
	for _, pid := range s.Pids {
		pids = append(pids, strconv.Itoa(pid))
	}
	args := []string{
		"-protocol", s.Protocol, "-url", s.URL, "-publish-path", s.PublishPath, "-token", s.Token, "-key", s.Key, "-pid", strings.Join(pids, ","), "-core", strconv.Itoa(t.core),
		"-subscribers", strconv.Itoa(j.subscribers), "-channels", strconv.Itoa(j.channels), "-warm", j.warm.String(), "-plan", j.plan,
	}
	if j.spin {
		args = append(args, "-spin")
	}
	cmd := exec.CommandContext(ctx, t.load, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	var results []scenario.Result
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var r scenario.Result
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return results, nil
		} else if err != nil {
			return nil, err
		}
		results = append(results, r)
	}
}
