package browsertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildDir is where TestMain lets the program be built.
var buildDir string

// program is built once for all tests.
var program = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(buildDir, "sno")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/snoserver/sno/cmd/sno").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	var err error
	if buildDir, err = os.MkdirTemp("", "sno-browsertest-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(buildDir) // in the system's temporary directory: what stays does no harm
	os.Exit(code)
}

// server is a process of `sno dev` with an address and a data directory that outlive it.
type server struct {
	t    *testing.T
	addr string
	data string
	log  bytes.Buffer
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, addr: freeAddress(t), data: t.TempDir()}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server's output:\n%s", s.log.String())
		}
	})
	s.start()
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s *server) start() {
	s.t.Helper()
	bin, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(bin, "dev", "--listen", s.addr, "--data", s.data)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) {
		_ = cmd.Wait() // how it ended is in its output, or it was killed
		close(gone)
	}(s.cmd, s.gone)
	s.awaitHealth()
}

func (s *server) awaitHealth() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get(s.url() + "/healthz"); err == nil {
			_ = res.Body.Close() // nothing of it is read
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-s.gone:
			s.t.Fatal("the server has ended")
		case <-ctx.Done():
			s.t.Fatal("the server does not answer /healthz")
		}
	}
}

// kill ends the process as a power cut would: it gets no chance to say or store anything.
func (s *server) kill() {
	if s.gone == nil {
		return
	}
	_ = s.cmd.Process.Kill() // gone already is as good
	<-s.gone
	s.gone = nil
}

func (s *server) url() string { return "http://" + s.addr }

// publish sends one message over HTTP, as a customer's backend does.
func (s *server) publish(channel, event, json string) {
	s.t.Helper()
	secret, err := os.ReadFile(filepath.Join(s.data, "dev-secret"))
	if err != nil {
		s.t.Fatal(err)
	}
	body := fmt.Sprintf(`{"event":%q,"data":%s}`, event, json)
	req, err := http.NewRequest("POST", s.url()+"/v1/channels/"+url.PathEscape(channel)+"/messages", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("dev", strings.TrimSpace(string(secret)))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode/100 != 2 {
		s.t.Fatalf("publish: %s: %s", res.Status, text)
	}
}
