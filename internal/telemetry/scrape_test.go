package telemetry_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/server"
)

const (
	patience = 20 * time.Second
	keyID    = "backend"
	secret   = "a-secret-of-the-telemetry-tests-that-no-log-may-show"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server in this process.
type running struct {
	t          *testing.T
	url, admin string
	log        *syncBuffer
	http       *http.Client
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func serve(t *testing.T, change ...func(*config.Config)) *running {
	t.Helper()
	r := &running{t: t, log: new(syncBuffer), http: &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	cfg := config.Default()
	cfg.Listen, cfg.Admin.Listen, cfg.Data, cfg.Drain = config.Addresses{"127.0.0.1:0"}, "127.0.0.1:0", t.TempDir(), 0
	cfg.Version = "1.2.3-test"
	cfg.Apps = []config.App{{ID: "shop", Keys: []config.Key{{ID: keyID, Secret: secret}}}}
	for _, f := range change {
		f(&cfg)
	}
	s, err := server.New(cfg, slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	r.url, r.admin = s.URL(), s.AdminURL()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		r.http.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// token is a client's, for all channels.
func (r *running) token(client string) string {
	r.t.Helper()
	allow := []hub.Allow{{Pattern: "*", Actions: hub.ActionSubscribe | hub.ActionPublish | hub.ActionPresence | hub.ActionHistory}}
	token, err := auth.Mint(keyID, secret, auth.Claims{Client: client, Allow: allow, Expires: time.Now().Add(time.Hour)})
	if err != nil {
		r.t.Fatal(err)
	}
	return token
}

func (r *running) do(method, path, body string, header ...string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// scrape returns the value of each series as it stands on the admin listener.
func (r *running) scrape() map[string]float64 {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.admin+"/metrics", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatal(resp.Status, err)
	}
	series := map[string]float64{}
	for _, m := range sample.FindAllStringSubmatch(string(b), -1) {
		if series[m[1]], err = strconv.ParseFloat(m[2], 64); err != nil {
			r.t.Fatal(err)
		}
	}
	return series
}

var sample = regexp.MustCompile(`(?m)^([a-z_]+(?:\{.*\})?) (\S+)$`)

// want waits until series have these values: what ends a connection is seen by the client before it is counted.
func (r *running) want(values map[string]float64) {
	r.t.Helper()
	var wrong []string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		got := r.scrape()
		wrong = wrong[:0]
		for name, v := range values {
			if have, ok := got[name]; !ok || have != v {
				wrong = append(wrong, name+" is "+strconv.FormatFloat(have, 'g', -1, 64)+", want "+strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		if len(wrong) == 0 {
			return
		}
	}
	slices.Sort(wrong)
	r.t.Errorf("%s", strings.Join(wrong, "\n"))
}

// follower is a client of any transport: what it has got so far, and how to go.
type follower struct {
	lines chan string
	close func()
}

func (f *follower) until(t *testing.T, part string) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-f.lines:
			if !ok {
				t.Fatalf("the connection ended before %s came", part)
			}
			if strings.Contains(line, part) {
				return
			}
		case <-timeout:
			t.Fatalf("%s did not come", part)
		}
	}
}

func (r *running) websocket(frames string) (*follower, *websocket.Conn) {
	r.t.Helper()
	c, resp, err := websocket.DefaultDialer.DialContext(r.t.Context(), "ws"+strings.TrimPrefix(r.url, "http")+"/v1/ws", nil)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte(frames)); err != nil {
		r.t.Fatal(err)
	}
	f := &follower{lines: make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(f.lines)
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				return
			}
			f.lines <- string(b)
		}
	}()
	f.close = func() {
		_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		<-done
		c.Close()
	}
	return f, c
}

// response follows a response that does not end.
func (r *running) response(method, path, body string) *follower {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		r.t.Fatal(path, resp.Status)
	}
	f := &follower{lines: make(chan string, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(f.lines)
		for in := bufio.NewScanner(resp.Body); in.Scan(); {
			f.lines <- in.Text()
		}
	}()
	f.close = func() {
		cancel()
		<-done
		resp.Body.Close()
	}
	return f
}

func (r *running) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(keyID+":"+secret))
}

// stalled sends a request and does not read the answer.
func (r *running) stalled(body string) (hangUp func()) {
	r.t.Helper()
	c, err := new(net.Dialer).DialContext(r.t.Context(), "tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "POST /v1/stream HTTP/1.1\r\nHost: sno\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		r.t.Fatal(err)
	}
	first := make([]byte, 1)
	if _, err := c.Read(first); err != nil {
		r.t.Fatal(err)
	}
	return func() { c.Close() }
}
