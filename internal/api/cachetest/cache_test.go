package cachetest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// cache is a program that stands between the crowd and the server.
type cache struct {
	program, language string // that of its block in docs/caching.md
	start             func(t *testing.T, config, listen string) []string
}

var caches = []cache{
	{"varnishd", "vcl", func(t *testing.T, config, listen string) []string {
		file := write(t, config)
		return []string{"-F", "-j", "none", "-n", filepath.Dir(file), "-f", file, "-a", listen, "-s", "malloc,64m"}
	}},
	{"nginx", "nginx", func(t *testing.T, config, listen string) []string {
		dir := t.TempDir()
		config = replace(t, config, "/var/cache/nginx/sno", filepath.Join(dir, "cache"))
		config = replace(t, config, "listen 8080;", "listen "+listen+";")
		file := write(t, "daemon off; user root; pid "+filepath.Join(dir, "pid")+"; error_log stderr;\n"+
			"events { worker_connections 4096; }\nhttp { access_log off;\n"+config+"}")
		return []string{"-c", file, "-p", dir}
	}},
}

func write(t *testing.T, config string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func replace(t *testing.T, config, old, now string) string {
	t.Helper()
	if !strings.Contains(config, old) {
		t.Fatalf("the configuration in docs/caching.md has no %q", old)
	}
	return strings.ReplaceAll(config, old, now)
}

// run starts the cache in front of a server until the test ends, and returns where it listens.
func (c cache) run(t *testing.T, origin string) string {
	t.Helper()
	path, err := exec.LookPath(c.program)
	if err != nil {
		t.Skipf("%s is not there; .ci/deps installs it", c.program)
	}
	page, err := os.ReadFile("../../../docs/caching.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```" + c.language + "\n(.*?)```").FindSubmatch(page)
	if block == nil {
		t.Fatalf("docs/caching.md has no configuration of %s", c.language)
	}
	host, port, err := net.SplitHostPort(origin)
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("the server is at %s: %v", origin, err)
	}
	listen := free(t)
	run(t, path, c.start(t, replace(t, string(block[1]), "7878", port), listen))
	await(t, listen)
	return "http://" + listen
}

func run(t *testing.T, path string, args []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := exec.CommandContext(ctx, path, args...)
	var said bytes.Buffer
	p.Stdout, p.Stderr = &said, &said
	p.Cancel = func() error { return p.Process.Signal(os.Interrupt) }
	p.WaitDelay = 10 * time.Second
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = p.Wait() // it was told to end
		if t.Failed() {
			t.Logf("%s said:\n%s", path, said.String())
		}
	})
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func await(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
