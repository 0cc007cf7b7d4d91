//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/bench/crowd"
	"github.com/snoserver/sno/bench/dialect"
	"github.com/snoserver/sno/bench/peers"
	"github.com/snoserver/sno/bench/report"
	"github.com/snoserver/sno/bench/scenario"
)

// place is shared, since linking the server takes longer than all tests.
var place = &peers.Place{Root: "../.."}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		panic(err)
	}
	place.Dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const (
	readers   = 50
	publishes = 20
)

// The server of this tree is started as it is for a measurement, and every reader gets every message once: if the protocol or the configuration moves on, the benchmark notices here.
func TestEveryDeliveryIsCountedOnce(t *testing.T) {
	for _, p := range peers.All() {
		for _, v := range []peers.Variant{peers.Usual, peers.Topics, peers.Stored, peers.TLS} {
			if !p.Knows(v) || !available(p.Name) {
				continue
			}
			t.Run(p.Name+"/"+string(v), func(t *testing.T) {
				s, err := p.Start(t.Context(), place, v)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Stop()
				exactly(t, s, v)
			})
		}
	}
}

// available leaves out what has to be fetched from a registry.
func available(server string) bool {
	switch server {
	case "sno", "mosquitto", "nchan":
		_, err := exec.LookPath(map[string]string{"sno": "go", "mosquitto": "mosquitto", "nchan": "nginx"}[server])
		if err == nil && server == "nchan" {
			_, err = os.Stat("/usr/lib/nginx/modules/ngx_nchan_module.so")
		}
		return err == nil
	case "floor-write", "floor-join":
		_, err := exec.LookPath("cc")
		return err == nil
	}
	return false
}

func exactly(t *testing.T, s *peers.Running, v peers.Variant) {
	t.Helper()
	d, address, secure, err := dialect.New(s.Protocol, s.URL, dialect.Options{Token: s.Token, Key: s.Key, PublishPath: s.PublishPath})
	if err != nil {
		t.Fatal(err)
	}
	channels := 0
	if v == peers.Topics {
		channels = 2
	}
	c, err := crowd.New(crowd.Options{Address: address, TLS: secure, Dialect: d, Subscribers: readers, Channels: channels})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := scenario.New(c, s.Pids, 200)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Connect(); err != nil {
		t.Fatal(err)
	}
	each := uint64(publishes)
	if v == peers.Topics { // each channel once, and each reader has two
		each = 2
		for i := range c.Names() {
			deliver(t, c, i)
		}
	} else {
		for range publishes {
			deliver(t, c, 0)
		}
	}
	pumpUntil(t, c, func() bool { return c.Delivered() >= each*readers })
	for i := range readers {
		if c.Got(i) != each {
			t.Errorf("reader %d has had %d deliveries, not %d", i, c.Got(i), each)
		}
	}
	if p99 := c.Latency.Quantile(.99); c.Latency.Count() != each*readers || p99 <= 0 || p99 > time.Minute {
		t.Errorf("%d latencies, the 99th of 100 %v", c.Latency.Count(), p99)
	}
	idle, err := r.Idle(time.Millisecond)
	if err != nil || idle.ResidentBytes < 1<<19 || s.Pids == nil || crowd.Processes(s.Pids).CPU() <= 0 {
		t.Errorf("%+v, %v: the server's memory and processor time are not seen", idle, err)
	}
}

func deliver(t *testing.T, c *crowd.Crowd, channel int) {
	t.Helper()
	if err := c.Publish(channel, 200); err != nil {
		t.Fatal(err)
	}
}

func pumpUntil(t *testing.T, c *crowd.Crowd, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries after 20 s", c.Delivered())
		}
		if err := c.Pump(20 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := c.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// The scenarios that are not about one delivery, small.
func TestScenarios(t *testing.T) {
	s, err := peers.All()[0].Start(t.Context(), place, peers.Topics)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	for _, c := range []struct {
		name     string
		channels int
		do       func(*scenario.Run) (scenario.Result, error)
		atLeast  uint64
	}{
		{"fan-out", 0, func(r *scenario.Run) (scenario.Result, error) { return r.Fanout(4, 0, 100*time.Millisecond) }, readers},
		{"one in flight", 0, func(r *scenario.Run) (scenario.Result, error) { return r.Fanout(1, 0, 100*time.Millisecond) }, readers},
		{"rate", 0, func(r *scenario.Run) (scenario.Result, error) { return r.Rate(100, 100*time.Millisecond) }, readers},
		{"channels", 4, func(r *scenario.Run) (scenario.Result, error) { return r.Fanout(16, 0, 100*time.Millisecond) }, 16},
		{"subscribe", -1, func(r *scenario.Run) (scenario.Result, error) { return r.Subscribe(10) }, 10 * readers},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, address, _, err := dialect.New(s.Protocol, s.URL, dialect.Options{Token: s.Token, Key: s.Key})
			if err != nil {
				t.Fatal(err)
			}
			k, err := crowd.New(crowd.Options{Address: address, Dialect: d, Subscribers: readers, Channels: c.channels})
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			r, err := scenario.New(k, s.Pids, 200)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Connect(); err != nil {
				t.Fatal(err)
			}
			res, err := c.do(r)
			if err != nil || res.Count < c.atLeast || res.PerSecond <= 0 || res.PerCPUSecond <= 0 || res.Lost != 0 {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

// A server that cannot be had is absent, with the reason, and the others are measured.
func TestAbsentServers(t *testing.T) {
	broken := peers.Given("broken", peers.Running{Protocol: "carrier pigeon", URL: "ws://127.0.0.1:1/"})
	turns := &turns{place: place, core: -1, rounds: 2, peers: []*peers.Peer{broken}, progress: &bytes.Buffer{}}
	if err := turns.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	table, absent := turns.do(t.Context(), jobs(time.Second, 0)[0])
	if len(table.Rows) != 0 || len(absent) != 1 || absent[0].Server != "broken" || !strings.Contains(absent[0].Reason, "carrier pigeon") {
		t.Errorf("%+v %+v", table.Rows, absent)
	}
}

func TestAlso(t *testing.T) {
	p, err := parseAlso("centrifugo,centrifugo,ws://127.0.0.1:8000/connection/websocket,12+13,token")
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Start(context.Background(), nil, peers.Usual)
	if err != nil || p.Name != "centrifugo" || s.Token != "token" || len(s.Pids) != 2 || s.Pids[1] != 13 {
		t.Errorf("%+v, %v", s, err)
	}
	if u, err := url.Parse(s.URL); err != nil || u.Port() != strconv.Itoa(8000) {
		t.Errorf("%s, %v", s.URL, err)
	}
	for _, wrong := range []string{"", "a,b,c", "a,b,c,d", "a,b,c,1,2,3"} {
		if _, err := parseAlso(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}

func TestGuard(t *testing.T) {
	then := baseline{Factor: 1.5, Factor16: 2, Fanout1: 2, Fanout16: 4, Idle: 1000}
	for name, c := range map[string]struct {
		now   baseline
		fails string
	}{
		"the same":        {baseline{Fanout1: 2, Fanout16: 4, Idle: 1000}, ""},
		"within":          {baseline{Fanout1: 2.9, Fanout16: 7.9, Idle: 1490}, ""},
		"slower":          {baseline{Fanout1: 3.1, Fanout16: 4, Idle: 1000}, "one in flight"},
		"slower in bulk":  {baseline{Fanout1: 2, Fanout16: 8.1, Idle: 1000}, "sixteen in flight"},
		"fatter":          {baseline{Fanout1: 2, Fanout16: 4, Idle: 1510}, "idle connection"},
		"better by a lot": {baseline{Fanout1: 1, Fanout16: 1, Idle: 10}, ""},
	} {
		err := c.now.against(&bytes.Buffer{}, then)
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The committed baseline is one that the guard can read, and a report becomes one.
func TestBaseline(t *testing.T) {
	r := &report.Report{Tables: []*report.Table{jobs(time.Second, 0)[0].table()}}
	if _, err := measured(r); err == nil {
		t.Error("nothing becomes a baseline")
	}
	r.Tables[0].Add("sno", 0, map[string]float64{"fanout1": 50, "fanout16": 100, "idle": 3000})
	r.Tables[0].Add(report.Floor, 0, map[string]float64{"fanout1": 100, "fanout16": 400, "idle": 40})
	b, err := measured(r)
	if err != nil || b.Fanout1 != 2 || b.Fanout16 != 4 || b.Idle != 3000 {
		t.Errorf("%+v, %v", b, err)
	}
	b.Fanout1, b.Fanout16, b.Idle = 0.1, 0.1, 1
	if err := guard(&bytes.Buffer{}, "../baseline.json", b); err != nil {
		t.Error(err)
	}
	b.Idle = 1e9
	if err := guard(&bytes.Buffer{}, "../baseline.json", b); err == nil {
		t.Error("a gigabyte a connection passes")
	}
}
