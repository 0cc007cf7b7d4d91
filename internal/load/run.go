package load

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/verify"
)

// runner is one run.
type runner struct {
	o        Options
	began    time.Time
	prefix   string
	channels []string
	meters   map[string]*meter // one for each of StepNames
	gauge    *gauge
	refusals refusals

	closing                    atomic.Bool // what ends now is ended by us
	made, lost, resets, faults atomic.Int64
	conflated                  atomic.Bool
	storm                      atomic.Pointer[storm]
	gate                       gate
	ledgers                    []*verify.Ledger // by channel; with Options.Verify only

	mu           sync.Mutex
	clients      []*client.Client
	heads        []hub.Position // the newest acknowledged, by channel
	undone       map[string]*undone
	unanswered   int
	verification *Verification
}

// undone counts what was left undone, with the first reason.
type undone struct {
	n   int
	err error
}

// Run does what the options say and tells what was measured. When ctx ends it stops early. An error means that nothing could be measured: the options are
// wrong, the server does not let anybody in, or this process may not open as many files.
func Run(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	r := &runner{o: o, began: time.Now(), meters: map[string]*meter{}, undone: map[string]*undone{}}
	if err := r.first(ctx); err != nil {
		return Result{}, err
	}
	r.prefix = o.Prefix + strings.ToLower(rand.Text()[:8]) + ":"
	for i := range max(o.Channels, 0) {
		r.channels = append(r.channels, fmt.Sprint(r.prefix, i))
		if o.Verify {
			r.ledgers = append(r.ledgers, verify.NewLedger(r.channels[i]))
		}
	}
	r.heads = make([]hub.Position, len(r.channels))
	for _, name := range StepNames {
		r.meters[name] = &meter{}
	}
	r.gauge = startGauge()
	stop := r.progress()
	map[Scenario]func(context.Context){
		Connect: r.connect, Subscribe: r.subscribe, Fanout: r.fanout, Publish: r.publish, Presence: r.presence, Resume: r.resume,
	}[o.Scenario](ctx)
	r.gauge.end()
	r.closeAll()
	stop()
	return r.result(ctx.Err() != nil), nil
}

// first makes a connection before all others: whether one gets in at all, and by which transport.
func (r *runner) first(ctx context.Context) error {
	cl, err := client.Dial(ctx, r.o.Client)
	if err != nil {
		return err
	}
	r.o.Client.Transport = cl.Transport()
	r.closeClient(cl)
	return r.o.checkFiles(r.o.Client.Transport)
}

// now is the time on the clock of the run, that of every number.
func (r *runner) now() time.Duration { return time.Since(r.began) }

// left notes something that was not done; what is in the plural. An interruption is no reason.
func (r *runner) left(ctx context.Context, what string, err error) {
	if ctx.Err() != nil || r.closing.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.undone[what] == nil {
		r.undone[what] = &undone{err: err}
	}
	r.undone[what].n++
}

// grace bounds the wait for what is under way at the end. Who has interrupted the run does not want to wait for long.
func (r *runner) grace(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := r.o.Timeout
	if ctx.Err() != nil {
		wait = min(wait, 5*time.Second)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), wait)
}

// pause waits, and says whether the time has passed rather than ctx.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// until waits until something is so, looking every few milliseconds.
func until(ctx context.Context, so func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return so()
		}
	}
	return true
}

// progress reports every second until it is stopped.
func (r *runner) progress() (stop func()) {
	if r.o.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(time.Second):
				r.o.Progress(Progress{r.now(), r.done()})
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (r *runner) done() (all []Done) {
	for _, name := range StepNames {
		if n := r.meters[name].count(); n > 0 {
			all = append(all, Done{name, n})
		}
	}
	return all
}

// result puts together what was measured.
func (r *runner) result(interrupted bool) Result {
	res := Result{
		Scenario: r.o.Scenario, URL: r.o.Client.URL, Transport: string(r.o.Client.Transport), Interrupted: interrupted,
		Connections: int(r.made.Load()), Channels: len(r.channels), Prefix: r.prefix, Steps: map[string]Step{},
		Lost: int(r.lost.Load()), Resets: int(r.resets.Load()), Errors: r.refusals.list(), Failures: []string{}, Client: r.gauge.close(),
		Notes: []string{}, Verification: r.verification,
	}
	for name, m := range r.meters {
		if s := m.step(); s.Count > 0 {
			res.Steps[name] = s
		}
	}
	for what, u := range r.undone {
		res.Failures = append(res.Failures, fmt.Sprintf("%d %s: %v", u.n, what, u.err))
	}
	slices.Sort(res.Failures)
	if n := r.faults.Load(); n > 0 {
		res.Failures = append(res.Failures, fmt.Sprintf("%d times a subscriber's messages did not follow one another", n))
	}
	if res.Lost > 0 {
		res.Failures = append(res.Failures, fmt.Sprintf("%d times a connection was lost, and made again", res.Lost))
	}
	res.OK = len(res.Failures) == 0 && (res.Verification == nil || res.Verification.OK)
	res.Notes = append(res.Notes, r.readings(&res)...)
	return res
}

// readings are notes that follow from the numbers.
func (r *runner) readings(res *Result) (notes []string) {
	if limit := res.Client.limit(); limit != "" {
		notes = append(notes, limit)
	}
	main, what := "publish", "messages"
	switch r.o.Scenario {
	case Subscribe:
		main, what = "subscribe", "subscribes"
	case Presence:
		main, what = "update", "changes"
	}
	if got := res.Steps[main].PerSecond; r.o.Rate > 0 && got > 0 && got < 0.95*float64(r.o.Rate) {
		notes = append(notes, fmt.Sprintf("asked for %d %s per second, and there were %.1f: the times contain the wait for those before", r.o.Rate, what, got))
	}
	if res.Resets > 0 {
		notes = append(notes, fmt.Sprintf("%d resets: the channels' rule did not keep messages for as long as somebody was away or behind", res.Resets))
	}
	if r.refusals.has(syscall.EADDRNOTAVAIL) {
		notes = append(notes, "this machine has no free port left for the server's address (net.ipv4.ip_local_port_range): a second address of the server or a second client machine has its own")
	}
	if r.refusals.has(syscall.EMFILE) {
		notes = append(notes, "this process has no open file left (RLIMIT_NOFILE): raise it with ulimit -n, or take fewer connections")
	}
	return notes
}

// verified takes what a verification found: v says what was checked, and whether there is anything against it already; fine is what it means if nothing is.
func (r *runner) verified(v *Verification, fine string, reports ...verify.Report) {
	v.Broken, v.Violations = map[verify.Kind]int{}, []verify.Violation{}
	for _, report := range reports {
		for kind, n := range report.Broken {
			v.Broken[kind] += n
		}
		v.Late += report.Behind
		v.Violations = append(v.Violations, report.Violations...)
	}
	slices.SortStableFunc(v.Violations, func(a, b verify.Violation) int {
		return cmp.Or(cmp.Compare(a.Promise, b.Promise), cmp.Compare(a.Kind, b.Kind))
	})
	if v.OK = v.Nothing == "" && v.Late == 0 && len(v.Broken) == 0; v.OK {
		v.Checked += "; " + fine
	}
	r.verification = v
}
