package contract

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/store/local"
	"github.com/snoserver/sno/internal/verify"
)

// program builds sno and returns where it is.
func program(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "sno")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../cmd/sno").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// process is a running "sno dev".
type process struct {
	cmd                      *exec.Cmd
	URL, Key, Secret, Listen string
}

func start(t *testing.T, bin, listen, data string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(bin, "dev", "--json", "--listen", listen, "--data", data)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("sno dev said nothing: %v", err)
	}
	if err := json.Unmarshal(line, p); err != nil {
		t.Fatal(err)
	}
	p.Listen = p.URL[len("http://"):]
	return p
}

// kill ends the process as kill -9 does: it has no chance to write anything.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// TestP1AcknowledgedSurvivesKill kills the server a hundred times under 64 publishers: whatever was acknowledged is there, once, in one order, in
// one chain, for readers that were there all the time and for the history.
func TestP1AcknowledgedSurvivesKill(t *testing.T) {
	kills := 100
	if testing.Short() {
		kills = 10
	}
	bin, data := program(t), t.TempDir()
	p := start(t, bin, "127.0.0.1:0", data)
	probe := dialUntilClosed(t, client.Options{URL: p.URL, Key: p.Key, Secret: p.Secret})
	judge := judgeWhile(t, experiment(p.URL, p.Secret, 64), func() {
		for range kills {
			// Somebody has been acknowledged in this life, so there is something to lose.
			if _, err := probe.Publish(t.Context(), publication("probe", nil)); err != nil {
				t.Fatal(err)
			}
			wait(time.Duration(rand.IntN(300)) * time.Millisecond)
			p.kill()
			p = start(t, bin, p.Listen, data)
		}
	})
	if judge.Acked < kills*20 {
		t.Errorf("only %d messages were acknowledged around %d kills: that proves little", judge.Acked, kills)
	}
}

// TestP1AcknowledgedSurvivesPowerCut does the same with a disk that forgets at each cut whatever was not synced.
func TestP1AcknowledgedSurvivesPowerCut(t *testing.T) {
	const cuts = 20
	disk := newDisk()
	s := serveOn(t, "", local.Options{Dir: "data", FS: disk, MemtableBytes: 1 << 20})
	defer func() { _ = s.stop() }()
	probe := dialUntilClosed(t, client.Options{URL: s.url(), Key: "dev", Secret: secret})
	judge := judgeWhile(t, experiment(s.url(), secret, 64), func() {
		for range cuts {
			if _, err := probe.Publish(t.Context(), publication("probe", nil)); err != nil {
				t.Fatal(err)
			}
			wait(time.Duration(rand.IntN(300)) * time.Millisecond)
			after := disk.cut()
			_ = s.stop() // it can't write any more, and says so
			disk = after
			s = serveOn(t, s.addr, local.Options{Dir: "data", FS: disk, MemtableBytes: 1 << 20})
		}
	})
	if judge.Acked < cuts*20 {
		t.Errorf("only %d messages were acknowledged around %d cuts: that proves little", judge.Acked, cuts)
	}
}

// experiment is what to publish and read; it ends when judgeWhile says so.
func experiment(url, secret string, publishers int) verify.Options {
	return verify.Options{
		Client:     client.Options{URL: url, Key: "dev", Secret: secret, Wait: true},
		Publishers: publishers, Subscribers: 2, Channels: 8, Rate: 2000, Size: 100, Duration: time.Hour, Timeout: patience,
	}
}

// judgeWhile publishes and reads while do runs, and fails the test for every promise that was broken.
func judgeWhile(t *testing.T, o verify.Options, do func()) verify.Result {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type result struct {
		report verify.Result
		err    error
	}
	done := make(chan result, 1)
	go func() {
		r, err := verify.Run(ctx, o)
		done <- result{r, err}
	}()
	do()
	stop()
	var r result
	select {
	case r = <-done:
	case <-time.After(4 * o.Timeout): // it takes o.Timeout for the last answers, the last messages and the history each, and then says what is missing
		t.Fatal("no report came")
	}
	if r.err != nil {
		t.Fatal(r.err)
	}
	for _, v := range r.report.Violations {
		t.Errorf("%s %s: %s %s: %s", v.Promise, v.Kind, v.Channel, v.ID, v.Text)
	}
	if !r.report.OK || r.report.Refused > 0 || r.report.Unanswered > 0 || r.report.Faults > 0 || r.report.Resets > 0 || len(r.report.Behind) > 0 {
		t.Errorf("%d refused (%s), %d unanswered, %d faults, %d resets, behind: %v",
			r.report.Refused, r.report.Refusal, r.report.Unanswered, r.report.Faults, r.report.Resets, r.report.Behind)
	}
	t.Logf("%d acknowledged, %d received, %d stored, %d reconnects", r.report.Acked, r.report.Received, r.report.Stored, r.report.Reconnects)
	return r.report
}

// dialUntilClosed connects a client that survives the server.
func dialUntilClosed(t *testing.T, o client.Options) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.Close(ctx) // the server may be gone
	})
	return c
}

// powerDisk is a file system in memory from which the power can be cut.
type powerDisk struct {
	vfs.FS
	mem *vfs.MemFS
	off *atomic.Bool
}

var errPower = errors.New("the power is off")

func newDisk() *powerDisk { return powered(vfs.NewCrashableMem()) }

func powered(mem *vfs.MemFS) *powerDisk {
	off := new(atomic.Bool)
	return &powerDisk{off: off, mem: mem, FS: errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if off.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return errPower
		}
		return nil
	}))}
}

// cut makes every write and sync fail from now on, and returns what the disk has kept: whatever was synced.
func (d *powerDisk) cut() *powerDisk {
	d.off.Store(true)
	return powered(d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0}))
}
