package contract

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
)

// TestP5SilentDeathOfAStream has members whose machines vanish from the network without a word, over the transports on which a client answers no heartbeat:
// they leave within 40 s, as the kernel knows that nobody acknowledges.
func TestP5SilentDeathOfAStream(t *testing.T) {
	if os.Getenv("SNO_TEST_NETWORK") == "" {
		t.Skip("needs a machine that does nothing else: make network")
	}
	n := newNetwork(t)
	cfg := config.Default()
	cfg.Listen, cfg.Data, cfg.Drain = config.Addresses{n.here + ":0"}, filepath.Join(t.TempDir(), "messages"), 0
	cfg.Admin.Listen = ""
	cfg.Apps = config.Dev("", secret).Apps
	s, err := server.New(cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	watch := follow(t, dial(t, s.URL()), "c", client.SubscribeOptions{Presence: true})
	next(t, "snapshot", watch.presence)
	members := map[string]bool{"stream": true, "sse": true}
	for transport := range members {
		n.curl(t, s.URL()+"/v1/"+transport, fmt.Sprintf(`{"type":"connect"} {"type":"enter","channel":"c","member":%q}`, transport))
		expectPresence(t, watch, "enter", transport)
	}
	n.unplug(t)
	unplugged := time.Now()
	for range 2 {
		p := next(t, "leave", watch.presence)
		if p.Action != "leave" || !members[p.Member.ID] {
			t.Fatalf("got %s of %q", p.Action, p.Member.ID)
		}
		delete(members, p.Member.ID)
		if took := time.Since(unplugged); took > 40*time.Second {
			t.Errorf("the silent death of %s took %v", p.Member.ID, took)
		}
	}
}

// network is another machine, as a network namespace, and the cable to it.
type network struct{ name, here, there string }

func newNetwork(t *testing.T) *network {
	t.Helper()
	pid := os.Getpid()
	n := &network{name: fmt.Sprintf("sno%d", pid), here: fmt.Sprintf("10.%d.%d.1", 64+pid/250%128, pid%250), there: fmt.Sprintf("10.%d.%d.2", 64+pid/250%128, pid%250)}
	if out, err := exec.Command("ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not to be had here: %v %s", err, out)
	}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", n.name+"a").Run() // if it was made; the namespace alone would keep it while its sockets linger
		if out, err := exec.Command("ip", "netns", "del", n.name).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	cable, end := n.name+"a", n.name+"b"
	for _, command := range []string{
		"link add " + cable + " type veth peer name " + end + " netns " + n.name,
		"addr add " + n.here + "/30 dev " + cable,
		"link set " + cable + " up",
		"-n " + n.name + " addr add " + n.there + "/30 dev " + end,
		"-n " + n.name + " link set " + end + " up",
	} {
		n.ip(t, command)
	}
	return n
}

func (n *network) ip(t *testing.T, command string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v %s", command, err, out)
	}
}

// curl posts a body from the other machine and goes on reading the answer.
func (n *network) curl(t *testing.T, url, body string) {
	t.Helper()
	c := exec.Command("ip", "netns", "exec", n.name, "curl", "-sN", url, "--data-raw", body)
	c.Stderr = t.Output()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // it may have ended
		_ = c.Wait()         // says that it was killed
	})
}

// unplug makes every packet to and from the other machine vanish.
func (n *network) unplug(t *testing.T) {
	t.Helper()
	// The near end stays up: a machine does not hear that another one's cable was pulled.
	n.ip(t, "-n "+n.name+" link set "+n.name+"b address 02:00:00:00:00:01")
	n.ip(t, "-n "+n.name+" addr flush dev "+n.name+"b")
}
