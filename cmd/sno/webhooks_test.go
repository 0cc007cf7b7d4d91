package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freePort is a port that nobody listens on just now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// The page about webhooks works when it is pasted, with either of its receivers: through an outage of the receiver and a kill -9 of the server.
func TestWebhooksPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range installed(t) {
		receiver := "receiver" + l.suffix
		if !strings.Contains(string(text), " "+receiver+"\n") {
			continue
		}
		t.Run(receiver, func(t *testing.T) {
			t.Parallel()
			page := string(text)
			for _, fixed := range []string{"7878", "7879", "3000"} { // others may have taken these
				page = strings.ReplaceAll(page, fixed, freePort(t))
			}
			dir := t.TempDir()
			for _, m := range program.FindAllStringSubmatch(page, -1) {
				if err := os.WriteFile(filepath.Join(dir, m[2]), []byte(m[1]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			script := "set -eu\n"
			for _, block := range shellBlock.FindAllStringSubmatch(page, -1) {
				script += block[1]
			}
			script = strings.ReplaceAll(script, "node receiver.mjs", l.command+" "+receiver)
			paste(t, dir, script)
			log, err := os.ReadFile(filepath.Join(dir, "shop.log"))
			if err != nil || !strings.Contains(string(log), "the webhook fails") {
				t.Errorf("the server's log has no outage: %v\n%s", err, log)
			}
		})
	}
}

// paste runs a script, and ends what it has left in the background.
func paste(t *testing.T, dir, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "sh", "-c", script)
	c.Dir = dir
	c.Env = append(os.Environ(), "SNO_URL=", "SNO_KEY=", "SNO_SECRET=", "SNO_TOKEN=")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	end := func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.Cancel, c.WaitDelay = end, 5*time.Second
	out, err := c.CombinedOutput()
	_ = end() // there may be nothing left
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "shop.log"))
		t.Errorf("%v\n%s\nthe server's log:\n%s", err, out[max(0, len(out)-2000):], log)
	}
}
