//go:build linux

// Command load measures one server at a URL with many connections from one processor.
//
//	go run ./bench/load -protocol sno -url ws://127.0.0.1:7878/v1/ws -pid "$(pidof sno)" -subscribers 10000 -plan idle:3s,fanout:1:5s,fanout:16:5s
//
// It prints a line of JSON for each step of the plan. bench/README.md says what the steps and numbers mean.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/snoserver/sno/bench/crowd"
	"github.com/snoserver/sno/bench/dialect"
	"github.com/snoserver/sno/bench/scenario"
)

type options struct {
	protocol, url, pids, plan string
	subscribers, payload      int
	channels, opening, core   int
	spin                      bool
	warm                      time.Duration
	dialect                   dialect.Options
}

func main() {
	log.SetFlags(0)
	var o options
	flag.StringVar(&o.protocol, "protocol", "sno", "one of "+strings.Join(dialect.Names(), ", "))
	flag.StringVar(&o.url, "url", "ws://127.0.0.1:7878/v1/ws", "where subscribers connect: ws://, wss:// or mqtt://")
	flag.StringVar(&o.pids, "pid", "", "the server's processes, separated by commas, to read their processor time and memory")
	flag.StringVar(&o.plan, "plan", "idle:2s,fanout:1:5s,fanout:16:5s", "steps, separated by commas: "+steps)
	flag.IntVar(&o.subscribers, "subscribers", 10000, "connections that listen")
	flag.IntVar(&o.payload, "payload", 200, "bytes of a message's data")
	flag.IntVar(&o.channels, "channels", 0, "channels of each subscriber's own; 0: all have the same one; -1: none, for the step subscribe")
	flag.IntVar(&o.opening, "opening", 128, "connections that are opened at the same time")
	flag.IntVar(&o.core, "core", -1, "the processor to stay on; -1: any. The server should be on another: taskset -c 0 sno serve …")
	flag.BoolVar(&o.spin, "spin", false, "never sleep, so that the client's waking up is not in the latency; for a processor of its own")
	flag.DurationVar(&o.warm, "warm", time.Second, "how long a fan-out runs before it is measured")
	flag.StringVar(&o.dialect.Token, "token", "", "sno, centrifugo: the token that subscribers connect with")
	flag.StringVar(&o.dialect.Key, "key", "", "sno: the app key that the publisher connects with, id:secret")
	flag.StringVar(&o.dialect.PublishPath, "publish-path", "", "the publisher's path; that of the URL unless given, and for plain /pub beside /ws")
	flag.Parse()
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	runtime.LockOSThread()
	if o.core >= 0 {
		if err := crowd.PinAll(o.core); err != nil {
			return err
		}
		runtime.GOMAXPROCS(1)
	}
	debug.SetGCPercent(400)
	pids, err := parsePids(o.pids)
	if err != nil {
		return err
	}
	d, address, secure, err := dialect.New(o.protocol, o.url, o.dialect)
	if err != nil {
		return err
	}
	c, err := crowd.New(crowd.Options{Address: address, TLS: secure, Dialect: d, Subscribers: o.subscribers, Channels: o.channels, Opening: o.opening})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	r, err := scenario.New(c, pids, o.payload)
	if err != nil {
		return err
	}
	r.Spin = o.spin
	out := json.NewEncoder(os.Stdout)
	res, err := r.Connect()
	if err != nil {
		return err
	}
	if err := out.Encode(res); err != nil {
		return err
	}
	for step := range strings.SplitSeq(o.plan, ",") {
		res, err := perform(r, step, o.warm)
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		if err := out.Encode(res); err != nil {
			return err
		}
	}
	return nil
}

const steps = "idle:SETTLE, fanout:IN-FLIGHT:LONG, rate:PER-SECOND:LONG, subscribe:CHANNELS-EACH"

// perform runs one step of a plan.
func perform(r *scenario.Run, step string, warm time.Duration) (scenario.Result, error) {
	word, rest, _ := strings.Cut(step, ":")
	first, second, _ := strings.Cut(rest, ":")
	if word == "idle" {
		settle, err := time.ParseDuration(first)
		if err != nil {
			return scenario.Result{}, err
		}
		return r.Idle(settle)
	}
	number, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return scenario.Result{}, err
	}
	if word == "subscribe" {
		return r.Subscribe(int(number))
	}
	long, err := time.ParseDuration(second)
	if err != nil {
		return scenario.Result{}, err
	}
	switch word {
	case "fanout":
		return r.Fanout(int(number), warm, long)
	case "rate":
		return r.Rate(number, long)
	}
	return scenario.Result{}, fmt.Errorf("there is no step %q; there are %s", word, steps)
}

func parsePids(list string) (crowd.Processes, error) {
	var pids crowd.Processes
	if list == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		pid, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("-pid: %w", err)
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
