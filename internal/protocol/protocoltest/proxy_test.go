package protocoltest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proxies are the programs of docs/transports.md, and how their configuration there becomes one that runs here.
var proxies = []struct {
	program string
	run     func(t *testing.T, block, listen, server string) *exec.Cmd
}{
	{"nginx", func(t *testing.T, block, listen, server string) *exec.Cmd {
		dir := t.TempDir()
		block = replace(t, block, "listen 80;", "listen "+listen+";")
		block = replace(t, block, "server 127.0.0.1:7878;", "server "+server+";")
		temp := ""
		for _, use := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			temp += fmt.Sprintf("%s_temp_path %s;\n", use, filepath.Join(dir, use))
		}
		conf := "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}\nhttp {\naccess_log off;\n" + temp + block + "}\n"
		return exec.Command("nginx", "-p", dir, "-c", write(t, dir, conf))
	}},
	{"haproxy", func(t *testing.T, block, listen, server string) *exec.Cmd {
		block = replace(t, block, "bind :80", "bind "+listen)
		block = replace(t, block, "127.0.0.1:7878", server)
		return exec.Command("haproxy", "-db", "-f", write(t, t.TempDir(), block))
	}},
}

// TestNativeThroughProxies plays the suite over each transport through real proxies, configured as the document says.
func TestNativeThroughProxies(t *testing.T) {
	for _, proxy := range proxies {
		t.Run(proxy.program, func(t *testing.T) {
			if _, err := exec.LookPath(proxy.program); err != nil {
				t.Skipf("%v; make deps installs it", err)
			}
			for _, transport := range Transports {
				t.Run(transport, func(t *testing.T) {
					Run(t, func(t *testing.T) Server {
						p := startProcess(t)
						outside := *p
						outside.URL = startProxy(t, proxy.program, strings.TrimPrefix(p.URL, "http://"), proxy.run)
						return outside.server(transport)
					})
				})
			}
		})
	}
}

func startProxy(t *testing.T, program, server string, run func(t *testing.T, block, listen, server string) *exec.Cmd) (url string) {
	t.Helper()
	listen := freeAddress(t)
	c := run(t, documented(t, program), listen, server)
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		httpClient.CloseIdleConnections()
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = c.Wait()                          // says that it was told to
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		res, err := get(ctx, "http://"+listen+"/healthz")
		if err == nil && res == http.StatusOK {
			return "http://" + listen
		}
		if ctx.Err() != nil {
			t.Fatalf("%s does not pass requests on: status %d, %v", program, res, err)
		}
		<-time.After(20 * time.Millisecond) // until it listens
	}
}

func get(ctx context.Context, url string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := httpClient.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// documented is the block of a program's configuration in the document.
func documented(t *testing.T, program string) string {
	t.Helper()
	page, err := os.ReadFile("../../../docs/transports.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```" + program + "\n(.*?)^```").FindSubmatch(page)
	if block == nil {
		t.Fatalf("docs/transports.md has no configuration of %s", program)
	}
	return string(block[1])
}

func replace(t *testing.T, text, what, by string) string {
	t.Helper()
	if strings.Count(text, what) != 1 {
		t.Fatalf("the configuration has %q %d times", what, strings.Count(text, what))
	}
	return strings.Replace(text, what, by, 1)
}

func write(t *testing.T, dir, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "proxy.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
