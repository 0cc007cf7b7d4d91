package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

var shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```")

// Every command of the pages about the command line works when it is pasted, one after the other, beside a "sno dev".
func TestDocuments(t *testing.T) {
	for _, page := range []string{"cli.md", "verify.md", "bench.md", "configuration.md", "transports.md", "auth.md", "http.md", "caching.md", "checklist.md", "pusher.md"} {
		t.Run(page, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../docs", page))
			if err != nil {
				t.Fatal(err)
			}
			script := "set -eu\n"
			for _, block := range shellBlock.FindAllSubmatch(text, -1) {
				script += string(block[1])
			}
			if len(script) < 50 {
				t.Fatal("no commands found")
			}
			dir := t.TempDir()
			server := devIn(t, dir)
			c := exec.CommandContext(t.Context(), "sh", "-c", script)
			c.Dir = dir
			c.Env = append(os.Environ(), "SNO_URL="+server.URL, "ADMIN="+server.Admin, "SNO_KEY=", "SNO_SECRET=", "SNO_TOKEN=")
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out[max(0, len(out)-4000):])
			}
		})
	}
}

// Every flag is on the page, and every flag on the page exists.
func TestDocumentsNameEveryFlag(t *testing.T) {
	cli, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	verify, err := os.ReadFile("../../docs/verify.md")
	if err != nil {
		t.Fatal(err)
	}
	bench, err := os.ReadFile("../../docs/bench.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"help": true}
	for _, c := range commands() {
		text := string(cli) + string(settings)
		if c.Name() == "verify" {
			text += string(verify)
		}
		for _, field := range strings.Fields(c.Flags().FlagUsages()) {
			if name, ok := strings.CutPrefix(field, "--"); ok {
				known[name] = true
				key := name[strings.LastIndex(name, ".")+1:]
				if strings.Contains(string(settings), "\n| `"+key+"` |") && c.Flags().Lookup(name) != nil {
					continue // the page about settings says how a flag follows from a key
				}
				if !strings.Contains(text, "`--"+name) && !strings.Contains(text, " --"+name) {
					t.Errorf("the flag --%s of %s is on no page", name, c.Name())
				}
			}
		}
	}
	for _, m := range regexp.MustCompile("`--([a-z0-9-]+)").FindAllStringSubmatch(string(cli)+string(verify)+string(bench), -1) {
		if !known[m[1]] {
			t.Errorf("the pages name --%s, which does not exist", m[1])
		}
	}
}

// devIn starts "sno dev" in a directory until the test ends.
func devIn(t *testing.T, dir string) started {
	s, _ := devAt(t, dir, "127.0.0.1:0")
	return s
}

// devAt starts "sno dev" in a directory, at an address, until the test ends or kill does it as a power failure would.
func devAt(t *testing.T, dir, listen string) (s started, kill func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	c := exec.CommandContext(ctx, "sno", "dev", "--listen", listen, "--json")
	c.Dir = dir
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cancel()
		_ = c.Wait()
	})
	t.Cleanup(kill)
	c.WaitDelay = 5 * time.Second
	if err := json.NewDecoder(out).Decode(&s); err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, stderr.String()))
	}
	return s, kill
}
