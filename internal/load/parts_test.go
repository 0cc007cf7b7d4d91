package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// The time of a step is that of its windows, each from its beginning to the last one in it.
func TestMeter(t *testing.T) {
	var m meter
	if s := m.step(); s != (Step{}) {
		t.Errorf("nothing is %+v", s)
	}
	m.begin(10 * time.Second)
	m.add(1, 11*time.Second, time.Millisecond)
	m.add(17, 12*time.Second, 3*time.Millisecond)
	m.begin(20 * time.Second)
	m.add(2, 23*time.Second, 2*time.Millisecond)
	m.begin(30 * time.Second) // and nothing comes
	if s := m.step(); s.Count != 3 || s.Seconds != 5 || s.PerSecond != 0.6 || s.Latency.Max != 3 || m.count() != 3 {
		t.Errorf("got %+v", s)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for range 100 {
				m.add(i, time.Minute, time.Millisecond)
			}
		})
	}
	all.Wait()
	if n := m.count(); n != 2003 {
		t.Errorf("counted %d", n)
	}
}

// What is due comes at its time, counted from the beginning, also for who is late, and ends with the time.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{o: Options{Rate: 10}, began: time.Now()}
		p := &pacer{r: r, began: time.Second, end: 2 * time.Second}
		var got []time.Duration
		for {
			due, ok := p.wait(t.Context())
			if !ok {
				break
			}
			if now := r.now(); now < due {
				t.Errorf("at %v, before %v", now, due)
			}
			if got = append(got, due); len(got) == 3 {
				time.Sleep(300 * time.Millisecond) // a server that stalls
			}
		}
		if len(got) != 10 || got[0] != time.Second || got[9] != 1900*time.Millisecond || r.now() != 1900*time.Millisecond {
			t.Errorf("%v, and it is %v", got, r.now())
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := (&pacer{r: &runner{began: time.Now()}}).wait(ended); ok {
			t.Error("goes on though its context has ended")
		}
	})
}

func TestKindOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		name string
		code int
	}{
		{fmt.Errorf("connect: %w", &hub.Error{Code: hub.CodeOverloaded, Text: "x"}), "overloaded", 4304},
		{fmt.Errorf("%w (last: %w)", context.DeadlineExceeded, &hub.Error{Code: hub.CodeOverloadedConnect}), "overloaded_connect", 4100},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, syscall.ECONNREFUSED.Error(), 0},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "no answer in time", 0},
		{io.ErrUnexpectedEOF, "connection closed", 0},
		{client.ErrClosed, "given up", 0},
		{errors.New("what?"), "other", 0},
	} {
		if name, code := kindOf(test.err); name != test.name || code != test.code {
			t.Errorf("%v is %q, %d", test.err, name, code)
		}
	}
	var r refusals
	for _, e := range []error{io.EOF, syscall.EMFILE, fmt.Errorf("accept: %w", syscall.EMFILE)} {
		r.add(e)
	}
	if all := r.list(); len(all) != 2 || all[0].Count != 2 || all[0].Text != syscall.EMFILE.Error() || !r.has(syscall.EMFILE) || r.has(syscall.EADDRNOTAVAIL) {
		t.Errorf("got %+v", all)
	}
}

// Who was the limit is said where it was not the server.
func TestLimit(t *testing.T) {
	for want, u := range map[string]Usage{
		"":                                     {Cores: 4, CPUShare: 0.5, MachineShare: 0.7},
		"the client was the limit: it took 90": {Cores: 4, CPUShare: 0.9, MachineShare: 0.95},
		"this machine was the limit: it was 99 % busy, 40 % of it with this client": {Cores: 4, CPUShare: 0.396, MachineShare: 0.99},
	} {
		if got := u.limit(); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%+v: %q", u, got)
		}
	}
}

// The gauge sees this process work, and what it measures ends with end.
func TestGauge(t *testing.T) {
	g := startGauge()
	g.begin()
	for began := read(); read().cpu-began.cpu < 50*time.Millisecond; {
		runtime.Gosched()
	}
	g.end()
	for began := read(); read().cpu-began.cpu < 20*time.Millisecond; {
		runtime.Gosched()
	}
	g.mu.Lock()
	at := g.result
	g.mu.Unlock()
	if u := g.close(); u.CPUSeconds < 0.05 || u.CPUSeconds != at.CPUSeconds || u.CPUShare <= 0 || u.CPUShare > 1 || u.PeakBytes < 1<<20 || u.Cores < 1 {
		t.Errorf("got %+v, at the end %+v", u, at)
	}
	if busy, all := machineTicks(); runtime.GOOS == "linux" && (busy <= 0 || busy > all) {
		t.Errorf("%v of %v ticks were busy", busy, all)
	}
}
