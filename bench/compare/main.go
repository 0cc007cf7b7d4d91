//go:build linux

// Command compare measures this server and others in turn, each alone on one processor and the load client on another, and prints medians and ratios.
//
//	go run ./bench/compare                  the small set, about six minutes
//	go run ./bench/compare -set full        all
//	go run ./bench/compare -guard bench/baseline.json
//
// bench/README.md says more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/snoserver/sno/bench/peers"
	"github.com/snoserver/sno/bench/report"
)

type options struct {
	set, servers, jobs, dir, sno, json string
	guard, writeBaseline, note         string
	rounds, serverCore, clientCore     int
	long, settle                       time.Duration
	also                               []*peers.Peer
}

func main() {
	log.SetFlags(0)
	o := options{}
	flag.StringVar(&o.set, "set", "small", "small or full")
	flag.StringVar(&o.servers, "servers", "", "only these, separated by commas")
	flag.StringVar(&o.jobs, "jobs", "", "only these, separated by commas, instead of a set")
	flag.StringVar(&o.dir, "dir", "bin/bench", "for what is built and installed, kept from run to run")
	flag.StringVar(&o.sno, "sno", "", "the sno to measure; built from this directory unless given")
	flag.StringVar(&o.json, "json", "bin/bench/report.json", "where the report goes, with every round's numbers")
	flag.StringVar(&o.guard, "guard", "", "measure sno and the floor only, and fail if they are farther apart than this baseline says")
	flag.StringVar(&o.writeBaseline, "write-baseline", "", "measure sno and the floor only, and write a new baseline to this file")
	flag.StringVar(&o.note, "note", "", "what else there is to say of the machine")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; in each every server has its turn")
	flag.IntVar(&o.serverCore, "server-core", 0, "the servers' processor")
	flag.IntVar(&o.clientCore, "client-core", min(1, runtime.NumCPU()-1), "the load client's processor")
	flag.DurationVar(&o.long, "long", 0, "how long each step is measured; 2 s in the small set, 4 s else")
	flag.DurationVar(&o.settle, "settle", 130*time.Second, "how long memory has to settle before it is measured, in the full set; Go collects its garbage every two minutes at the latest")
	flag.Func("also", "another server: NAME,PROTOCOL,URL,PID[+PID…][,TOKEN]; may be repeated", func(s string) error {
		p, err := parseAlso(s)
		o.also = append(o.also, p)
		return err
	})
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) error {
	todo, err := o.todo()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	t := &turns{place: &peers.Place{Root: ".", Dir: dir, Core: o.serverCore, Sno: o.sno}, core: o.clientCore, rounds: o.rounds, progress: os.Stderr}
	if t.peers, err = o.chosen(); err != nil {
		return err
	}
	if err := t.build(ctx); err != nil {
		return err
	}
	r := &report.Report{Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(o.note), Set: o.set}
	for _, j := range todo {
		table, absent := t.do(ctx, j)
		r.Tables, r.Absent = append(r.Tables, table), append(r.Absent, absent...)
	}
	for _, p := range t.peers {
		if slices.ContainsFunc(r.Tables, func(t *report.Table) bool { return t.Row(p.Name) != nil }) {
			r.Servers = append(r.Servers, report.Server{Name: p.Name, About: p.About})
		}
	}
	return errors.Join(r.Markdown(os.Stdout), r.Write(o.json), o.baseline(r), ctx.Err())
}

// baseline does what -guard and -write-baseline say.
func (o *options) baseline(r *report.Report) error {
	if o.guard == "" && o.writeBaseline == "" {
		return nil
	}
	b, err := measured(r)
	if err != nil {
		return err
	}
	if o.guard != "" {
		fmt.Println()
		err = guard(os.Stdout, o.guard, b)
	}
	if o.writeBaseline != "" {
		err = errors.Join(err, b.write(o.writeBaseline))
	}
	return err
}

// todo are the jobs to do.
func (o *options) todo() ([]*job, error) {
	if o.set != "small" && o.set != "full" {
		return nil, fmt.Errorf("-set %s: small or full", o.set)
	}
	if o.guard != "" || o.writeBaseline != "" {
		o.jobs, o.servers = "fanout", strings.Join(guarded, ",")
	}
	if o.long == 0 {
		o.long = 4 * time.Second
		if o.set == "small" {
			o.long = 2 * time.Second
		}
	}
	var names, all []string
	if o.jobs != "" {
		names = strings.Split(o.jobs, ",")
	}
	var todo []*job
	for _, j := range jobs(o.long, o.settle) {
		all = append(all, j.name)
		if slices.Contains(names, j.name) || names == nil && (j.small || o.set == "full") {
			todo = append(todo, j)
		}
	}
	for _, n := range names {
		if !slices.Contains(all, n) {
			return nil, fmt.Errorf("-jobs: there is no %q; there are %s", n, strings.Join(all, ", "))
		}
	}
	return todo, nil
}

// chosen are the servers to measure.
func (o *options) chosen() ([]*peers.Peer, error) {
	all := append(peers.All(), o.also...)
	if o.servers == "" {
		return all, nil
	}
	var chosen []*peers.Peer
	for name := range strings.SplitSeq(o.servers, ",") {
		i := slices.IndexFunc(all, func(p *peers.Peer) bool { return p.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("-servers: there is no %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func parseAlso(s string) (*peers.Peer, error) {
	parts := strings.Split(s, ",")
	if len(parts) < 4 || len(parts) > 5 {
		return nil, fmt.Errorf("%q is not NAME,PROTOCOL,URL,PID or NAME,PROTOCOL,URL,PID,TOKEN", s)
	}
	r := peers.Running{Protocol: parts[1], URL: parts[2]}
	for word := range strings.SplitSeq(parts[3], "+") {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		r.Pids = append(r.Pids, pid)
	}
	if len(parts) == 5 {
		r.Token = parts[4]
	}
	return peers.Given(parts[0], r), nil
}

// machine says on what this runs.
func machine(note string) string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, found := strings.Cut(string(text), "model name\t: "); found {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	if note != "" {
		note = ", " + note
	}
	return fmt.Sprintf("%s, %d processors%s, Linux %s, %s", strings.TrimSpace(model), runtime.NumCPU(), note, strings.TrimSpace(string(kernel)), runtime.Version())
}
