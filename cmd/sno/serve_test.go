package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/snoserver/sno/internal/certificate/certificatetest"
	"github.com/snoserver/sno/internal/client"
)

const (
	serveSecret   = "0123456789abcdef0123456789abcdef"
	servePatience = 20 * time.Second
)

// served is a "sno serve" of a test, with its log.
type served struct {
	t     *testing.T
	file  string // its configuration
	cmd   *exec.Cmd
	lines chan map[string]any // of its log
	ended chan error
	urls  []string
	admin string
}

// configText is a configuration of a server on free ports, with one key and more.
func configText(keyID, more string) string {
	return fmt.Sprintf("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\ndrain = \"0s\"\nadmin.listen = \"127.0.0.1:0\"\n%s\n[[app]]\nid = \"shop\"\n[[app.key]]\nid = %q\nsecret = %q\n", more, keyID, serveSecret)
}

// serveFile starts "sno serve" with a configuration, by way of a shell that runs before (such as a ulimit), until the test ends.
func serveFile(t *testing.T, before, text string) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{t: t, file: filepath.Join(dir, "sno.toml"), lines: make(chan map[string]any, 10_000), ended: make(chan error, 1)}
	s.configure(text)
	s.cmd = exec.Command("sh", "-c", before+" exec sno serve --config sno.toml")
	s.cmd.Dir = dir
	out, err := s.cmd.StderrPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go s.read(out)
	t.Cleanup(func() { s.cmd.Process.Kill() })
	started := s.await("serving")
	for _, u := range started["urls"].([]any) {
		s.urls = append(s.urls, u.(string))
	}
	s.admin = started["admin"].(string)
	return s
}

func (s *served) configure(text string) {
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *served) read(out io.Reader) {
	for in := bufio.NewScanner(out); in.Scan(); {
		var line map[string]any
		if json.Unmarshal(in.Bytes(), &line) != nil {
			line = map[string]any{"msg": in.Text()}
		}
		s.lines <- line
	}
	close(s.lines)
	s.ended <- s.cmd.Wait()
}

// await returns the next line of the log whose message begins so.
func (s *served) await(message string) map[string]any {
	s.t.Helper()
	var seen []string
	timeout := time.After(servePatience)
	for {
		select {
		case line, more := <-s.lines:
			if strings.HasPrefix(fmt.Sprint(line["msg"]), message) {
				return line
			}
			if seen = append(seen, fmt.Sprint(line)); more {
				continue
			}
		case <-timeout:
		}
		s.t.Fatalf("the log has no line %q, but\n%s", message, strings.Join(seen, "\n"))
	}
}

func (s *served) signal(which syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(which); err != nil {
		s.t.Fatal(err)
	}
}

// stopped waits for the end and wants exit code 0.
func (s *served) stopped() {
	s.t.Helper()
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Error(err)
		}
	case <-time.After(servePatience):
		s.t.Fatal("the server does not end")
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// connected is a client that fails the test if it ever loses its connection.
func connected(t *testing.T, url, key string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{URL: url, Key: key, Secret: serveSecret, OnState: func(s client.State, err error) {
		if err != nil && s == client.StateConnecting {
			t.Errorf("the client is %s: %v", s, err)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// publishes publishes a message of some size and returns the error.
func publishes(t *testing.T, c *client.Client, size int) error {
	t.Helper()
	_, err := c.Publish(t.Context(), client.Publication{Channel: "chat", Data: json.RawMessage(`"` + strings.Repeat("x", size) + `"`)})
	return err
}

// TestReloadKeepsConnections: SIGHUP changes keys, limits and origins under a client that stays connected all the while.
func TestReloadKeepsConnections(t *testing.T) {
	s := serveFile(t, "", configText("old", ""))
	c := connected(t, s.urls[0], "old")
	session := c.Session()
	if err := publishes(t, c, 1000); err != nil {
		t.Fatal(err)
	}

	s.configure(configText("old", "[limits]\nmessage_bytes = 100\n[store]\nsync = \"never\"\n"))
	s.signal(syscall.SIGHUP)
	if line := s.await("this setting has changed and needs a restart"); line["setting"] != "store.sync" {
		t.Errorf("the log names %v", line)
	}
	s.await("the configuration has been read again")
	if err := publishes(t, c, 1000); err == nil || !strings.Contains(err.Error(), "message_bytes is 100") {
		t.Errorf("over the new limit: %v", err)
	}

	s.configure("lisen = 1\n" + configText("old", ""))
	s.signal(syscall.SIGHUP)
	if line := s.await("the configuration is refused"); line["error"] != `sno.toml:1: lisen does not exist; did you mean "listen"?` {
		t.Errorf("the log says %v", line)
	}
	if err := publishes(t, c, 1000); err == nil {
		t.Error("a file that is wrong has changed the limits")
	}

	s.configure(configText("new", ""))
	s.signal(syscall.SIGHUP)
	s.await("the configuration has been read again")
	if _, err := client.Dial(t.Context(), client.Options{URL: s.urls[0], Key: "old", Secret: serveSecret}); err == nil {
		t.Error("a key that was taken out is still taken")
	}
	connected(t, s.urls[0], "new").Close(t.Context())
	for range 20 {
		s.configure(configText("old", ""))
		s.signal(syscall.SIGHUP)
		s.await("the configuration has been read again")
		if err := publishes(t, c, 1000); err != nil {
			t.Error(err)
		}
	}
	if c.Session() != session {
		t.Error("the client has another session")
	}
	c.Close(t.Context())
}

// TestServeStops: two public ports are one server; SIGTERM is seen in readiness first, and clients stay until the delay is over.
func TestServeStops(t *testing.T) {
	s := serveFile(t, "", configText("k", "drain_delay = \"2s\""))
	if len(s.urls) != 2 || s.urls[0] == s.urls[1] {
		t.Fatalf("it listens at %q", s.urls)
	}
	a, b := connected(t, s.urls[0], "k"), connected(t, s.urls[1], "k")
	got := make(chan client.Event, 10)
	if _, err := a.Subscribe(t.Context(), "chat", client.SubscribeOptions{}, func(e client.Event) { got <- e }); err != nil {
		t.Fatal(err)
	}
	if err := publishes(t, b, 1); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
	case <-time.After(servePatience):
		t.Fatal("what was published at one port did not come at the other")
	}
	for url, want := range map[string]string{s.urls[0] + "/healthz": "ok\n", s.urls[1] + "/readyz": "ok\n", s.admin + "/healthz": "ok\n", s.admin + "/readyz": "{\"ready\":true}\n"} {
		if status, body := get(t, url); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", url, status, body)
		}
	}
	s.signal(syscall.SIGTERM)
	s.await("not ready any more")
	if status, body := get(t, s.urls[0]+"/readyz"); status != http.StatusServiceUnavailable || strings.Contains(body, "shutting") {
		t.Errorf("while it waits, /readyz says %d %q", status, body)
	}
	if status, body := get(t, s.admin+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"draining"`) {
		t.Errorf("while it waits, /readyz of the admin listener says %d %q", status, body)
	}
	if status, _ := get(t, s.urls[0]+"/healthz"); status != http.StatusOK {
		t.Errorf("while it waits, /healthz says %d", status)
	}
	if err := publishes(t, a, 1); err != nil {
		t.Errorf("while it waits: %v", err)
	}
	a.Close(t.Context())
	b.Close(t.Context())
	s.stopped()
}

// TestSecondSignal: whoever sends one does not want to wait.
func TestSecondSignal(t *testing.T) {
	s := serveFile(t, "", configText("k", "drain_delay = \"5m\""))
	s.signal(syscall.SIGTERM)
	s.await("not ready any more")
	s.signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(servePatience):
		t.Fatal("it goes on waiting")
	}
}

// TestTLS: HTTP/2 by ALPN, plain HTTP is sent on, old versions are refused, and a new certificate comes with SIGHUP under a WebSocket that stays.
func TestTLS(t *testing.T) {
	dir, year := t.TempDir(), time.Now().Add(365*24*time.Hour)
	cert, key := certificatetest.Write(t, dir, "one.example", year, time.Now())
	s := serveFile(t, "", configText("k", fmt.Sprintf("tls.cert = %q\ntls.key = %q\ntls.redirect_listen = \"127.0.0.1:0\"", cert, key)))
	addr := strings.TrimPrefix(s.urls[0], "https://")
	handshake := func(c *tls.Config) (tls.ConnectionState, error) {
		c.InsecureSkipVerify = true // who signed it is not what is tested
		conn, err := tls.Dial("tcp", addr, c)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer conn.Close()
		return conn.ConnectionState(), nil
	}
	name := func() string {
		state, err := handshake(&tls.Config{NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		if state.NegotiatedProtocol != "h2" {
			t.Errorf("the protocol is %q", state.NegotiatedProtocol)
		}
		return state.PeerCertificates[0].Subject.CommonName
	}
	if got := name(); got != "one.example" {
		t.Errorf("the certificate is of %s", got)
	}
	if _, err := handshake(&tls.Config{MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was taken")
	}
	dialer := websocket.Dialer{Subprotocols: []string{"sno.v1"}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws, _, err := dialer.Dial("wss://"+addr+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	certificatetest.Write(t, dir, "two.example", year, time.Now())
	s.signal(syscall.SIGHUP)
	s.await("the configuration has been read again")
	if got := name(); got != "two.example" {
		t.Errorf("after SIGHUP the certificate is of %s", got)
	}
	certificatetest.Put(t, cert, []byte("half a fi"), time.Now())
	s.signal(syscall.SIGHUP)
	s.await("the configuration is refused")
	if got := name(); got != "two.example" {
		t.Errorf("after a broken file the certificate is of %s", got)
	}
	if err := ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"connect","key":"k:%s"}`, serveSecret)); err != nil {
		t.Fatal(err)
	}
	if _, frame, err := ws.ReadMessage(); err != nil || !strings.Contains(string(frame), `"welcome"`) {
		t.Errorf("the WebSocket from before: %s, %v", frame, err)
	}
	if _, body := get(t, s.admin+"/readyz"); !strings.Contains(body, `"certificate_expires":"`+year.UTC().Format(time.DateOnly)) {
		t.Errorf("/readyz says %s", body)
	}
}

// TestH2C: a proxy that begins with HTTP/2 without TLS is understood; loopback's admin listener has no other name.
func TestH2C(t *testing.T) {
	s := serveFile(t, "", configText("k", ""))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(s.urls[0] + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s", resp.Proto, resp.Status)
	}
	r, err := http.NewRequest(http.MethodGet, s.admin+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(s.admin, "http://"))
	r.Host = "evil.example:" + port
	if resp, err := http.DefaultClient.Do(r); err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("by another name: %v, %v", resp, err)
	}
}
