//go:build linux

package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a server may take to listen, and to end when it is asked to.
const patience = 15 * time.Second

// process is a server's process, on the processor of its place.
type process struct {
	cmd    *exec.Cmd
	errors bytes.Buffer
	ended  chan struct{}
}

// launch starts a process and returns what it writes to its standard output.
func (p *Place) launch(ctx context.Context, cmd *exec.Cmd) (*process, io.Reader, error) {
	s := &process{cmd: cmd, ended: make(chan struct{})}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout = in
	if cmd.Stderr == nil {
		cmd.Stderr = &s.errors
	}
	err = startOn(p.Core, cmd)
	_ = in.Close()
	if err != nil {
		return nil, nil, err
	}
	go func() {
		_ = cmd.Wait()
		_ = out.Close()
		close(s.ended)
	}()
	context.AfterFunc(ctx, s.stop)
	return s, out, nil
}

// startOn starts a command whose threads stay on one processor: they inherit that from the thread that starts it.
func startOn(core int, cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	one.Set(core)
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("processor %d: %w", core, err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return cmd.Start()
}

// stop asks the process to end, and kills it if it does not.
func (s *process) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

func (s *process) pid() int { return s.cmd.Process.Pid }

// failed is why the process has ended, in its own words.
func (s *process) failed() error {
	s.stop()
	return fmt.Errorf("%s did not listen: %.500s", s.cmd.Path, bytes.TrimSpace(s.errors.Bytes()))
}

// listens starts a program that prints {"port":N}.
func (p *Place) listens(ctx context.Context, cmd *exec.Cmd) (*process, int, error) {
	s, out, err := p.launch(ctx, cmd)
	if err != nil {
		return nil, 0, err
	}
	var said struct{ Port int }
	timer := time.AfterFunc(patience, s.stop)
	defer timer.Stop()
	line, _ := bufio.NewReader(out).ReadBytes('\n')
	if err := json.Unmarshal(line, &said); err != nil || said.Port == 0 {
		return nil, 0, s.failed()
	}
	return s, said.Port, nil
}

// accepts starts a program that listens at a port that it was told.
func (p *Place) accepts(ctx context.Context, cmd *exec.Cmd, port int) (*process, error) {
	s, _, err := p.launch(ctx, cmd)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: time.Second}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return s, c.Close()
		}
		select {
		case <-s.ended:
			return nil, s.failed()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil, s.failed()
}

// family is a process and its children.
func family(pid int) ([]int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil, err
	}
	pids := []int{pid}
	for word := range strings.FieldsSeq(string(text)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		pids = append(pids, child)
	}
	return pids, nil
}

// freePort is a port at which nobody listens.
func freePort(ctx context.Context) (int, error) {
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// run runs a command to its end; its last words are in the error.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %.500s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out[max(0, len(out)-500):]))
	}
	return nil
}

// openFiles is how many files a process may have open, less some for itself.
func openFiles() (uint64, error) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	return min(l.Max, 1<<20) - 100, err
}
