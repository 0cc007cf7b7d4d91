package clienttest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withoutWebSocket puts nginx before a server, as it is where nobody has told it of WebSockets: it passes on no Upgrade.
func withoutWebSocket(t *testing.T, server string) (url string) {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skipf("%v: sh .ci/deps", err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	temporary := ""
	for _, use := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("%s_temp_path %s;\n", use, filepath.Join(dir, use))
	}
	conf := filepath.Join(dir, "nginx.conf")
	text := "daemon off; master_process off; pid nginx.pid; error_log stderr; events {}\nhttp {\naccess_log off;\n" + temporary +
		"server { listen " + listen + "; location / { proxy_pass " + server + "; proxy_set_header Host $http_host; } }\n}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("nginx", "-p", dir, "-c", conf)
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = c.Wait()                          // says that it was told to
	})
	url = "http://" + listen
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !answers(ctx, url+"/healthz") {
		if ctx.Err() != nil {
			t.Fatal("nginx does not pass requests on")
		}
		<-time.After(20 * time.Millisecond) // until it listens
	}
	return url
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode == http.StatusOK
}

// Where a proxy lets no WebSocket through, pusher-js for Node finds another way by itself, too.
func TestNodeBehindAProxyWithoutWebSocket(t *testing.T) {
	at := serve(t)
	outside := at
	outside.URL = withoutWebSocket(t, at.URL)
	c := outside.node(t, "--test", "--test-force-exit", "--test-reporter=spec", "blocked.test.mjs")
	if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "pass 1") {
		t.Errorf("%v\n%s", err, out)
	}
}
