package clienttest

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
)

const secret = "a secret of the tests, of forty characters"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// app is what a client has to know of an app.
type app struct {
	App    string `json:"app"`
	Key    string `json:"key"`
	Secret string `json:"secret"`
}

// place is a server for the clients, and what they have to know.
type place struct {
	URL string `json:"url"`
	app
	Apps map[string]app `json:"apps"`
	Docs string         `json:"docs"` // the directory with the programs of docs/pusher.md
	// Backend is the URL of one that is told of the first app by webhooks, if there is one.
	Backend string `json:"backend,omitempty"`

	stop func() // ends the server in order; safe to call twice
}

// apps are those of the server. The first is the usual one.
func apps() []config.App {
	usual := config.Pusher{Enabled: true, ClientEvents: true}
	var all []config.App
	for id, o := range map[string]config.Pusher{
		"1": usual, "plain": {Enabled: true}, "counted": {Enabled: true, SubscriptionCount: true},
		"strict": {Enabled: true, StrictLimits: true}, "guarded": {Enabled: true, AuthorizedConnections: true}, "closed": {},
	} {
		a := config.App{ID: id, Pusher: o, Keys: []config.Key{{ID: "key-" + id, Secret: secret, Previous: secret + " before"}}}
		if id == "1" {
			three := 3
			a.Rules = []config.Rule{{Pattern: "short-*", Messages: &three}}
			a.Anonymous = map[string][]string{"*": {"subscribe", "publish", "presence", "history"}}
			all = append([]config.App{a}, all...)
			continue
		}
		all = append(all, a)
	}
	return all
}

// serve starts a server until the test ends.
func serve(t *testing.T, change ...func(*config.Config)) place {
	t.Helper()
	cfg := config.Dev(filepath.Join(t.TempDir(), "messages"), secret)
	cfg.Listen = config.Addresses{"127.0.0.1:0"}
	cfg.Apps = apps()
	for _, c := range change {
		c(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	p := place{URL: s.URL(), Apps: map[string]app{}, Docs: programs(t)}
	for i, a := range cfg.Apps {
		p.Apps[a.ID] = app{a.ID, a.Keys[0].ID, secret}
		if i == 0 {
			p.app = p.Apps[a.ID]
		}
	}
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// program is a code block of docs/pusher.md whose first line names a file.
var program = regexp.MustCompile("(?m)^```js\n(// ([a-z]+\\.mjs)(?s:.*?))^```")

// programs puts the programs of docs/pusher.md into a directory, beside the packages that they import.
func programs(t *testing.T) (dir string) {
	t.Helper()
	text, err := os.ReadFile("../../../../docs/pusher.md")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for _, m := range program.FindAllSubmatch(text, -1) {
		if err := os.WriteFile(filepath.Join(dir, string(m[2])), m[1], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := filepath.Abs("testdata/node_modules")
	if err == nil {
		err = os.Symlink(packages, filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// needsPackages skips a test where the packages of npm are not installed.
func needsPackages(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("testdata/node_modules/installed-lock.json"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("the npm packages are not installed, and CI is set: .ci/deps installs them")
		}
		t.Skip("the npm packages are not installed: sh .ci/deps")
	}
}

// node is a program in testdata, with what it has to know of a server in its environment.
func (p place) node(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	needsPackages(t)
	about, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, "node", arguments...)
	c.Dir = "testdata"
	c.Env = append(os.Environ(), "PLACE="+string(about))
	c.WaitDelay = 5 * time.Second
	return c
}

// script runs the tests of a file.
func (p place) script(t *testing.T, file, transport string) {
	t.Helper()
	c := p.node(t, "--test", "--test-force-exit", "--test-reporter=spec", file)
	c.Env = append(c.Env, "TRANSPORT="+transport)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s over %s: %v\n%s", file, transport, err, out)
	}
}

// The scripts say what each is about.
func TestClients(t *testing.T) {
	p := serve(t)
	for _, file := range []string{"channels.test.mjs", "users.test.mjs", "api.test.mjs", "connection.test.mjs", "echo.test.mjs", "replay.test.mjs"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			p.script(t, file, "ws")
		})
	}
}

// What clients do without WebSocket is the same. How they come back is for TestBrowserReplay: for Node, pusher-js hears nothing of a response that breaks off.
func TestClientsWithoutWebSocket(t *testing.T) {
	for _, transport := range []string{"xhr_streaming", "xhr_polling"} {
		p := serve(t)
		for _, file := range []string{"channels.test.mjs", "users.test.mjs"} {
			t.Run(transport+"/"+file, func(t *testing.T) {
				t.Parallel()
				p.script(t, file, transport)
			})
		}
	}
}
