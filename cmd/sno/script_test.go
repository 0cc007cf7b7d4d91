package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"sno": main}) }

// The scripts in testdata/script run the real program, against a real "sno dev" where they say so.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"dev": devCommand, "lines": linesCommand, "numbered": numberedCommand, "freeport": freeportCommand},
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"SNO_URL", "SNO_KEY", "SNO_SECRET", "SNO_TOKEN"} {
				e.Setenv(name, "")
			}
			return nil
		},
	})
}

// dev is the server of a script.
type dev struct {
	process *exec.Cmd
	ended   chan error
}

// devs has the server of each script. Scripts run in parallel.
var devs sync.Map

// devCommand: "dev start" starts a server and points SNO_URL, SNO_KEY and SNO_SECRET at it; "dev kill" ends it as a power failure would; "dev restart"
// starts it again at the same address; "dev stop" ends it with SIGTERM and wants exit code 0.
func devCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: dev start|restart|kill|stop")
	}
	switch args[0] {
	case "start":
		startDev(ts, "127.0.0.1:0")
	case "restart":
		startDev(ts, strings.TrimPrefix(ts.Getenv("SNO_URL"), "http://"))
	case "kill":
		endDev(ts, syscall.SIGKILL)
	case "stop":
		if err := endDev(ts, syscall.SIGTERM); err != nil {
			ts.Fatalf("after SIGTERM: %v", err)
		}
	default:
		ts.Fatalf("dev %s: no such thing", args[0])
	}
}

func startDev(ts *testscript.TestScript, listen string) {
	d := &dev{exec.Command("sno", "dev", "--listen", listen, "--json"), make(chan error, 1)}
	d.process.Dir = ts.Getenv("WORK")
	d.process.Stderr = ts.Stderr()
	out, err := d.process.StdoutPipe()
	ts.Check(err)
	ts.Check(d.process.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	ts.Check(err)
	go func() { d.ended <- d.process.Wait() }()
	devs.Store(ts, d)
	ts.Defer(func() { // also when the script fails; Kill does nothing to a process that has ended
		d.process.Process.Kill()
		devs.CompareAndDelete(ts, d)
	})
	var s started
	ts.Check(json.Unmarshal(line, &s))
	ts.Setenv("SNO_URL", s.URL)
	ts.Setenv("SNO_KEY", s.Key)
	ts.Setenv("SNO_SECRET", s.Secret)
}

func endDev(ts *testscript.TestScript, s syscall.Signal) error {
	running, ok := devs.LoadAndDelete(ts)
	if !ok {
		ts.Fatalf("no server is running")
	}
	d := running.(*dev)
	ts.Check(d.process.Process.Signal(s))
	select {
	case err := <-d.ended:
		return err
	case <-time.After(20 * time.Second):
		ts.Fatalf("the server did not end after %v", s)
		return nil
	}
}

// linesCommand: "lines FILE FROM TO" writes a file with these numbers, one a line.
func linesCommand(ts *testscript.TestScript, _ bool, args []string) {
	var from, to int
	if len(args) != 3 || scan(args[1], &from) != nil || scan(args[2], &to) != nil {
		ts.Fatalf("usage: lines FILE FROM TO")
	}
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintln(&b, i)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(b.String()), 0o600))
}

// numberedCommand: "numbered FILE N" wants a file (or stdout) of N lines of JSON whose data are 1 to N, in order, with increasing offsets.
func numberedCommand(ts *testscript.TestScript, _ bool, args []string) {
	var n int
	if len(args) != 2 || scan(args[1], &n) != nil {
		ts.Fatalf("usage: numbered FILE N")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	if len(lines) != n {
		ts.Fatalf("%d lines, want %d", len(lines), n)
	}
	offset := uint64(0)
	for i, line := range lines {
		var m struct {
			Data   int
			Offset uint64
		}
		ts.Check(json.Unmarshal([]byte(line), &m))
		if m.Data != i+1 || m.Offset <= offset {
			ts.Fatalf("line %d is %s", i+1, line)
		}
		offset = m.Offset
	}
}

// freeportCommand: "freeport FILE" puts a free port in place of PORT in a file, and into the variable PORT.
func freeportCommand(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(l.Close())
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv("PORT", port)
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file, []byte(strings.ReplaceAll(ts.ReadFile(args[0]), "PORT", port)), 0o600))
}

func scan(s string, n *int) error {
	_, err := fmt.Sscan(s, n)
	return err
}

// A port that is taken is said so, whoever has taken it.
func TestDevPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var out, errs strings.Builder
	args := []string{"dev", "--listen", taken.Addr().String(), "--data", filepath.Join(t.TempDir(), "d")}
	if code := run(args, strings.NewReader(""), &out, &errs); code != 1 || out.Len() > 0 || !strings.Contains(errs.String(), "in use") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
}
