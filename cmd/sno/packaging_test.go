package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/config"
)

const (
	unitFile   = "../../packaging/sno.service"
	dockerFile = "../../Dockerfile"
)

// TestUnit has systemd itself look at the unit, and compares its patience with the time that a server needs by default.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := exec.LookPath("sno")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "sno.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/sno", bin)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || strings.Contains(string(out), unit) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	stop, err := time.ParseDuration(regexp.MustCompile(`(?m)^TimeoutStopSec=(\S+)$`).FindStringSubmatch(string(text))[1])
	c := config.Default()
	if needed := c.DrainDelay.Duration() + c.Drain.Duration() + 20*time.Second; err != nil || stop < needed {
		t.Errorf("TimeoutStopSec is %v, %v; a server needs %s", stop, err, needed)
	}
	for variable := range strings.FieldsSeq(regexp.MustCompile(`(?m)^Environment=(.*)$`).FindStringSubmatch(string(text))[1]) {
		checkVariable(t, variable)
	}
}

// TestImage runs what the Dockerfile runs, as the user and in the environment that it says, with nothing else to be found: a static program in an empty root.
func TestImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root and the user")
	}
	text, err := os.ReadFile(dockerFile)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil { // the test's own directory is another user's
		t.Fatal(err)
	}
	build := regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /out/sno`).FindStringSubmatch(string(text))
	if out, err := exec.Command("sh", "-c", build[1]+" -o "+root+"/sno .").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var uid uint32
	if _, err := fmt.Sscan(strings.Split(regexp.MustCompile(`(?m)^USER (\S+)$`).FindStringSubmatch(string(text))[1], ":")[0], &uid); err != nil || uid == 0 {
		t.Fatalf("the user is %d, %v", uid, err)
	}
	if err := os.Mkdir(filepath.Join(root, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(root, "data"), int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "secret"), []byte(serveSecret+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	c := exec.Command("/sno", "serve")
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	c.Dir, c.Stderr = "/", os.Stderr
	c.Env = []string{"SNO_KEY=k", "SNO_SECRET_FILE=/secret", "SNO_ADMIN_LISTEN=127.0.0.1:0"}
	for variable := range strings.FieldsSeq(regexp.MustCompile(`(?m)^ENV (.*)$`).FindStringSubmatch(string(text))[1]) {
		checkVariable(t, variable)
		c.Env = append(c.Env, strings.Replace(variable, "SNO_LISTEN=:7878", "SNO_LISTEN="+addr, 1))
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	tool := exec.Command("sno", "pub", "chat", "hello", "--wait", "20s", "--url", "http://"+addr, "--key", "k", "--secret", serveSecret)
	if out, err := tool.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	health := exec.Command("/sno", "probe", "--url", "http://"+addr)
	health.SysProcAttr, health.Dir, health.Env = c.SysProcAttr, "/", c.Env
	for _, arg := range regexp.MustCompile(`"(--[a-z]+|[0-9a-z]+)"`).FindAllStringSubmatch(regexp.MustCompile(`(?m)^HEALTHCHECK .*"probe", (.*)\]$`).FindStringSubmatch(string(text))[1], -1) {
		health.Args = append(health.Args, arg[1])
	}
	if out, err := health.CombinedOutput(); err != nil {
		t.Errorf("the health check: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(root, "data", "messages")); err != nil {
		t.Error(err)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// checkVariable sees to it that NAME=VALUE is one of a setting.
func checkVariable(t *testing.T, variable string) {
	t.Helper()
	if _, err := config.Load(config.Input{Env: []string{variable}}); err != nil {
		t.Error(err)
	}
}

// TestServiceManager: it is told when the server is ready, reloads and stops.
func TestServiceManager(t *testing.T) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	next := func() string {
		socket.SetReadDeadline(time.Now().Add(servePatience))
		b := make([]byte, 1000)
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	s := serveFile(t, "NOTIFY_SOCKET="+socket.LocalAddr().String(), configText("k", ""))
	if got := next(); got != "READY=1" {
		t.Errorf("at the start: %q", got)
	}
	s.signal(syscall.SIGHUP)
	if got := next(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=\d+$`).MatchString(got) {
		t.Errorf("at a reload: %q", got)
	}
	if got := next(); got != "READY=1" {
		t.Errorf("after a reload: %q", got)
	}
	s.signal(syscall.SIGTERM)
	if got := next(); got != "STOPPING=1" {
		t.Errorf("at the end: %q", got)
	}
	s.stopped()
}
