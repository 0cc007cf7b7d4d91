package load

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/server"
)

const secret = "a secret of the tests, of forty characters"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server in this process, with rules, until the test ends.
func serve(t *testing.T, rules ...config.Rule) (url string) {
	t.Helper()
	cfg := config.Dev(filepath.Join(t.TempDir(), "messages"), secret)
	cfg.Listen = config.Addresses{"127.0.0.1:0"}
	cfg.Apps[0].Rules = rules
	s, err := server.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError + 1})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.URL()
}

// small is a run of a scenario that takes a moment.
func small(url string, s Scenario) Options {
	return Options{
		Scenario: s, Client: client.Options{URL: url, Key: "dev", Secret: secret},
		Connections: 10, Subscriptions: 5, Channels: 10, Publishers: 2, Rate: 100, Size: 64, Duration: 500 * time.Millisecond,
		Handshakes: 8, Storms: 1, Away: 100 * time.Millisecond, Prefix: "bench:", Timeout: 30 * time.Second, Verify: true,
	}
}

func run(t *testing.T, o Options) Result {
	t.Helper()
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// counts gives the steps as "connect 10, …".
func counts(res *Result) string {
	var all []string
	for _, name := range StepNames {
		if s, there := res.Steps[name]; there {
			all = append(all, fmt.Sprint(name, " ", s.Count))
		}
	}
	return strings.Join(all, ", ")
}

// Every scenario does exactly what it was asked for, on every transport, and everything is verified. With a rate of 100 there are 50 messages in half a second; a
// machine that has other things to do may come to fewer.
func TestEveryScenarioOnEveryTransport(t *testing.T) {
	url := serve(t)
	for _, by := range client.Transports() {
		for s, want := range map[Scenario]string{ // N is how many messages or updates there were
			Connect:   "connect 10",
			Subscribe: "connect 10, subscribe 50, publish 10, deliver 50",
			Fanout:    "connect 10, subscribe 10, publish N, deliver 5N",
			Publish:   "connect 10, subscribe 2, publish N, deliver N",
			Presence:  "connect 10, subscribe 10, enter 10, update N, leave 10, hear 50+5N",
			Resume:    "connect 10, subscribe 10, publish N, deliver 5N, back 10, caught_up 10",
		} {
			t.Run(fmt.Sprint(s, " by ", by), func(t *testing.T) {
				o := small(url, s)
				o.Client.Transport = by
				if s != Subscribe {
					o.Channels = 2
				}
				o.Verify = s != Presence || by != client.Poll // each poll says again who is there: one that comes late can bring somebody back for a moment
				res := run(t, o)
				got := counts(&res)
				n := res.Steps["publish"].Count + res.Steps["update"].Count
				want = strings.NewReplacer("50+5N", fmt.Sprint(50+5*n), "5N", fmt.Sprint(5*n), "N", fmt.Sprint(n)).Replace(want)
				if !o.Verify {
					got, _, _ = strings.Cut(got, ", hear")
					want, _, _ = strings.Cut(want, ", hear")
				}
				if got != want || !res.OK || o.Verify && (res.Verification == nil || !res.Verification.OK) {
					t.Errorf("did %q, want %q: %+v, %+v", got, want, res, res.Verification)
				}
				if most := 50; s != Resume && n > most || (s == Fanout || s == Publish || s == Presence) && n < 10 {
					t.Errorf("there were %d", n)
				}
				if res.Transport != string(by) || res.Connections != 10 || res.Interrupted || res.Lost != 0 || res.Resets != 0 {
					t.Errorf("got %+v", res)
				}
				checkSteps(t, &res)
			})
		}
	}
}

// checkSteps wants numbers that fit together.
func checkSteps(t *testing.T, res *Result) {
	t.Helper()
	for name, s := range res.Steps {
		l := s.Latency
		if l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.Max || s.Seconds <= 0 || s.PerSecond <= 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if c := res.Client; c.Cores < 1 || c.CPUSeconds <= 0 || c.CPUShare <= 0 || c.CPUShare > 1 || c.MachineShare > 1 || c.PeakBytes < 1<<20 {
		t.Errorf("the client is said to have used %+v", c)
	}
}

// Without a rate so many are under way as may be, and no more than were asked for are begun with one.
func TestRates(t *testing.T) {
	url := serve(t)
	o := small(url, Publish)
	o.Rate, o.InFlight, o.Connections, o.Duration = 0, 4, 2, 300*time.Millisecond
	if res := run(t, o); !res.OK || res.Steps["publish"].Count < 10 {
		t.Errorf("got %+v", res)
	}
	o.Rate = 1_000_000
	res := run(t, o)
	if !res.OK || len(res.Notes) == 0 || !strings.Contains(strings.Join(res.Notes, "\n"), "asked for 1000000 messages per second") {
		t.Errorf("nothing is said of a rate that cannot be: %+v", res)
	}
}

// A run that is interrupted ends soon, with what was measured, and that is verified.
func TestInterrupted(t *testing.T) {
	url := serve(t)
	for s, until := range map[Scenario]string{Connect: "connect", Subscribe: "subscribe", Fanout: "deliver", Publish: "publish", Presence: "hear", Resume: "deliver"} {
		t.Run(string(s), func(t *testing.T) {
			o := small(url, s)
			o.Duration = time.Hour
			if s == Subscribe {
				o.Rate = 1
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o.Progress = func(p Progress) {
				for _, d := range p.Done {
					if d.Step == until {
						cancel()
					}
				}
			}
			began := time.Now()
			res, err := Run(ctx, o)
			if err != nil || !res.Interrupted || res.Steps[until].Count == 0 || len(res.Failures) > 0 {
				t.Errorf("got %+v, %v", res, err)
			}
			if res.Verification == nil || len(res.Verification.Broken) > 0 || s != Subscribe && !res.Verification.OK {
				t.Errorf("verified: %+v", res.Verification)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// A run that is interrupted before there was anything says that nothing was verified, and nothing is held against the server.
func TestInterruptedAtOnce(t *testing.T) {
	url := serve(t)
	for _, s := range []Scenario{Subscribe, Fanout, Publish, Presence, Resume} {
		o := small(url, s)
		o.Ramp = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		o.Progress = func(Progress) { cancel() }
		res, err := Run(ctx, o)
		if err != nil || !res.Interrupted || len(res.Failures) > 0 || res.OK || res.Verification.OK || res.Verification.Nothing == "" {
			t.Errorf("%s: %+v, %v, %+v", s, res, err, res.Verification)
		}
	}
}

// What cannot be done is said before anything is begun.
func TestWrongOptions(t *testing.T) {
	url := serve(t)
	for want, change := range map[string]func(*Options){
		`no scenario "none"`:                  func(o *Options) { o.Scenario = "none" },
		"connections: 0":                      func(o *Options) { o.Connections = 0 },
		"channels: 0":                         func(o *Options) { o.Channels = 0 },
		"publishers: -1":                      func(o *Options) { o.Publishers = -1 },
		"rate must not be negative":           func(o *Options) { o.Rate = -1 },
		"timeout: 0s":                         func(o *Options) { o.Timeout = 0 },
		"storms: 0":                           func(o *Options) { o.Scenario, o.Storms = Resume, 0 },
		"subscriptions: 0":                    func(o *Options) { o.Scenario, o.Subscriptions = Subscribe, 0 },
		"11 subscriptions of each connection": func(o *Options) { o.Scenario, o.Subscriptions = Subscribe, 11 },
		"presence needs an app key": func(o *Options) {
			o.Scenario = Presence
			o.Client.Token = func(context.Context) (string, error) { return "", nil }
		},
		"check both":                        func(o *Options) { o.Client.Secret = "wrong" },
		"need 44 open files":                func(o *Options) { o.openFiles = 43 }, // 10 subscribers, 2 publishers, 32 besides
		"RLIMIT_NOFILE":                     func(o *Options) { o.openFiles, o.Client.Transport = 55, client.SSE },
		"42 open files, and this process":   func(o *Options) { o.openFiles, o.Scenario, o.Verify = 41, Publish, false },
		"52 open files, and this process":   func(o *Options) { o.openFiles, o.Scenario = 51, Publish },
		"10 connections by poll need 52 op": func(o *Options) { o.openFiles, o.Scenario, o.Client.Transport = 51, Connect, client.Poll },
	} {
		o := small(url, Fanout)
		change(&o)
		if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What the server refuses is counted by its code, and a publisher that will be refused for ever stops.
func TestRefused(t *testing.T) {
	url := serve(t)
	token, err := auth.Mint("dev", secret, auth.Claims{
		Client: "ann", Issued: time.Now(), Expires: time.Now().Add(time.Hour), Allow: []hub.Allow{{Pattern: "*", Actions: hub.ActionSubscribe}},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := small(url, Fanout)
	o.Client.Key, o.Client.Token = "", func(context.Context) (string, error) { return token, nil }
	o.Rate = 0
	res := run(t, o)
	if res.OK || len(res.Errors) != 1 || res.Errors[0].Code != int(hub.CodeForbidden) || res.Errors[0].Name != "forbidden" || res.Errors[0].Count != 2 {
		t.Errorf("got %+v", res)
	}
	if len(res.Failures) != 1 || !strings.HasPrefix(res.Failures[0], "2 messages were refused: ") || res.Verification.Nothing != "no message was acknowledged" {
		t.Errorf("got %+v, %+v", res.Failures, res.Verification)
	}
	o.Scenario = Publish
	o.Prefix = strings.Repeat("x", 2000) // too long for a channel's name
	if res = run(t, o); res.OK || len(res.Failures) == 0 {
		t.Errorf("got %+v", res)
	}
}

// Rules under which not everybody gets everything are told of, and are no broken promise.
func TestRulesThatKeepLittle(t *testing.T) {
	url := serve(t, config.Rule{Pattern: "latest:*", Deliver: "latest"}, config.Rule{Pattern: "none:*", Store: "none"})
	o := small(url, Fanout)
	o.Prefix = "latest:"
	if res := run(t, o); len(res.Failures) > 0 || res.Verification.OK || !strings.Contains(res.Verification.Nothing, `deliver = "latest"`) {
		t.Errorf("got %+v, %+v", res, res.Verification)
	}
	o = small(url, Resume)
	o.Prefix, o.Channels = "none:", 1
	if res := run(t, o); !res.OK || res.Resets == 0 || !strings.Contains(strings.Join(res.Notes, "\n"), "resets") {
		t.Errorf("got %+v, %+v", res, res.Verification)
	}
}
