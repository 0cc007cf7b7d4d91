package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
)

const webhookSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// libraries is where the receiver is, with the libraries that it checks requests by.
const libraries = "../../internal/outbox/testdata/libraries"

// told is an event as the receiver has got it.
type told struct{ ID, Type, Channel, Member string }

func (e told) String() string { return strings.TrimSpace(e.Type + " " + e.Member) }

// tellings is what all receivers of a test have printed.
type tellings struct {
	t  *testing.T
	mu sync.Mutex
	// events are those at each path, in the order in which they came, each as often as it came.
	events map[string][]told
	up     chan struct{}
}

func (k *tellings) read(out io.Reader) {
	for in := bufio.NewScanner(out); in.Scan(); {
		var line struct {
			At, Error string
			Events    []told
		}
		if err := json.Unmarshal(in.Bytes(), &line); err != nil || line.Error != "" {
			k.t.Errorf("a receiver says %s", in.Bytes())
		}
		if line.At == "listening" {
			k.up <- struct{}{}
			continue
		}
		k.mu.Lock()
		k.events[line.At] = append(k.events[line.At], line.Events...)
		k.mu.Unlock()
	}
}

// of is what has been told of a channel at a path, each event once.
func (k *tellings) of(path, channel string) (once []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.events[path] {
		if e.Channel == channel && !slices.Contains(once, e.String()) {
			once = append(once, e.String())
		}
	}
	return once
}

// ids is how many different events have come, of those that have ids.
func (k *tellings) ids() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	ids := map[string]bool{}
	for _, e := range k.events["/native"] {
		ids[e.ID] = true
	}
	return len(ids)
}

// background starts a program, which is ended by a signal, or killed as with kill -9 when the test ends.
func background(t *testing.T, out func(io.Reader), c *exec.Cmd) (end func(os.Signal)) {
	t.Helper()
	var stderr bytes.Buffer
	c.Stderr = &stderr
	pipe, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		out(pipe)
	}()
	var once sync.Once
	end = func(how os.Signal) {
		once.Do(func() {
			_ = c.Process.Signal(how)
			<-read
			_ = c.Wait()
			if t.Failed() {
				t.Logf("%v said\n%s", c.Args, &stderr)
			}
		})
	}
	t.Cleanup(func() { end(os.Kill) })
	return end
}

// The server is killed twice, and drains once, while a backend is down that else refuses, and forgets to answer: each event arrives at least once, those of a channel in order, in requests that the
// libraries of backends vouch for. Nothing is told of the kills and of the drain, since those who were there come back. The channels themselves keep no messages.
func TestWebhooksSurviveKills(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(filepath.Join(libraries, "node_modules")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v, and CI is set: .ci/deps installs them", err)
		}
		t.Skipf("%v: .ci/deps installs them", err)
	}
	w := newKilled(t)
	w.receive()
	w.serve()
	ann := w.join("ann")
	w.until("ann is told of", func() bool { return w.k.ids() == 2*rooms })
	w.receiver(os.Kill)
	bob := w.join("bob")
	w.until("bob waits", func() bool { return w.parked() == rooms })
	for _, how := range []os.Signal{os.Kill, syscall.SIGTERM} {
		w.server(how)
		w.serve()
		w.until("they are back", func() bool { return w.subscribers() == 2*rooms })
	}
	cid := w.join("cid")
	w.leave(bob)
	w.until("one has left", func() bool { return w.subscribers() == 2*rooms })
	w.server(os.Kill) // anywhere between leaving and being told of
	w.serve()
	w.receive()
	w.until("they are back", func() bool { return w.subscribers() == 2*rooms })
	w.leave(ann, cid)
	want := map[string][]string{
		"ann": {"member_added ann", "member_removed ann"}, "bob": {"member_added bob", "member_removed bob"}, "cid": {"member_added cid", "member_removed cid"},
		"": {"channel_occupied", "channel_vacated"},
	}
	all := 0
	for _, events := range want {
		all += len(events)
	}
	w.until("all is told", func() bool {
		done := true
		for n := range rooms {
			done = done && len(w.k.of("/native", room(n))) >= all && len(w.k.of("/pusher", room(n))) >= all
		}
		return done
	})
	for n := range rooms {
		native, pusher := w.k.of("/native", room(n)), w.k.of("/pusher", room(n))
		if !slices.Equal(native, pusher) {
			t.Errorf("%s: one webhook was told %v, the other %v", room(n), native, pusher)
		}
		for who, events := range want {
			got := slices.DeleteFunc(slices.Clone(native), func(s string) bool {
				return who != "" && !strings.HasSuffix(s, " "+who) || who == "" && strings.Contains(s, " ")
			})
			if !slices.Equal(got, events) {
				t.Errorf("%s: told %v, want %v", room(n), got, events)
			}
		}
		if i, j := slices.Index(native, "member_added bob"), slices.Index(native, "member_added cid"); i > j {
			t.Errorf("%s: told %v", room(n), native)
		}
	}
	if n := w.k.ids(); n != all*rooms {
		t.Errorf("%d different events, want %d", n, all*rooms)
	}
	w.k.mu.Lock()
	t.Logf("%d events came %d and %d times", all*rooms, len(w.k.events["/native"]), len(w.k.events["/pusher"]))
	w.k.mu.Unlock()
}

// rooms is how many channels there are.
const rooms = 8

func room(n int) string { return fmt.Sprint("presence-", n) }

// killed is a server with two webhooks at one receiver.
type killed struct {
	t                *testing.T
	k                *tellings
	dir, port        string // the server's
	receiverPort     string
	server, receiver func(os.Signal) // end them
}

func newKilled(t *testing.T) *killed {
	w := &killed{t: t, k: &tellings{t: t, events: map[string][]told{}, up: make(chan struct{}, 1)}, dir: t.TempDir(), port: freePort(t), receiverPort: freePort(t)}
	text := fmt.Sprintf(`
listen = "127.0.0.1:%[1]s"
admin.listen = "127.0.0.1:0"
data = "data"
drain = "8s" # longer than the grace
[[app]]
id = "shop"
[[app.key]]
id = "k"
secret = %[3]q
[[app.rule]]
pattern = "*"
store = "none"
[[app.webhook]]
name = "native"
url = "http://127.0.0.1:%[2]s/native"
secret = %[4]q
allow_networks = ["127.0.0.1"]
[[app.webhook]]
name = "pusher"
url = "http://127.0.0.1:%[2]s/pusher"
format = "pusher"
batch = 5
allow_networks = ["127.0.0.1"]
`, w.port, w.receiverPort, serveSecret, webhookSecret)
	if err := os.WriteFile(filepath.Join(w.dir, "sno.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *killed) url() string { return "http://127.0.0.1:" + w.port }

func (w *killed) receive() {
	w.t.Helper()
	c := exec.Command("node", "receiver.js")
	c.Dir = libraries
	c.Env = append(os.Environ(), "PORT="+w.receiverPort, "WEBHOOK_SECRET="+webhookSecret, "APP_KEY=k", "APP_SECRET="+serveSecret)
	w.receiver = background(w.t, w.k.read, c)
	select {
	case <-w.k.up:
	case <-time.After(servePatience):
		w.t.Fatal("the receiver does not listen")
	}
}

func (w *killed) serve() {
	c := exec.Command("sno", "serve", "--config", "sno.toml")
	c.Dir = w.dir
	w.server = background(w.t, func(out io.Reader) { _, _ = io.Copy(io.Discard, out) }, c)
}

// join has a client enter all rooms, which it is in until it leaves, through all kills.
func (w *killed) join(name string) *client.Client {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), servePatience)
	defer cancel()
	c, err := client.Dial(ctx, client.Options{URL: w.url(), Key: "k", Secret: serveSecret, Wait: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = closeSoon(c) })
	for n := range rooms {
		if _, err := c.Subscribe(ctx, room(n), client.SubscribeOptions{}, func(client.Event) {}); err != nil {
			w.t.Fatal(err)
		}
		if err := c.Enter(ctx, room(n), name, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

func (w *killed) leave(all ...*client.Client) {
	w.t.Helper()
	for _, c := range all {
		if err := closeSoon(c); err != nil {
			w.t.Error(err)
		}
	}
}

// until waits for something. There is a grace in it, and backoff.
func (w *killed) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); !ok(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			for n := range rooms {
				w.t.Logf("%s: told %v, and %v", room(n), w.k.of("/native", room(n)), w.k.of("/pusher", room(n)))
			}
			w.t.Fatal("not in time: ", what)
		}
	}
}

// parked is how many channels each webhook goes around: the smaller number.
func (w *killed) parked() int {
	var page struct{ Webhooks []webhookRow }
	w.ask("/v1/webhooks", &page)
	least := 0
	for i, hook := range page.Webhooks {
		if i == 0 || hook.Parked < least {
			least = hook.Parked
		}
	}
	return least
}

// subscribers is how many subscriptions all rooms have.
func (w *killed) subscribers() (n int) {
	var page struct{ Sessions []sessionRow }
	w.ask("/v1/sessions", &page)
	for _, s := range page.Sessions {
		n += s.Subscriptions
	}
	return n
}

// ask asks the server's API. One that does not answer yet has said nothing.
func (w *killed) ask(path string, answer any) {
	ctx, cancel := context.WithTimeout(w.t.Context(), servePatience)
	defer cancel()
	n := credentials{url: w.url(), key: "k", secret: serveSecret}
	_ = n.ask(ctx, "GET", path, nil, nil, answer)
}
