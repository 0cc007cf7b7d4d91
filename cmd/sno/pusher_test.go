package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What "sno dev" prints for pusher-js and Pusher's libraries works when it is pasted.
func TestDevPrintsPusherOptions(t *testing.T) {
	packages, err := filepath.Abs("../../internal/protocol/pusher/clienttest/testdata/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(packages); err != nil && os.Getenv("CI") == "" {
		t.Skip("the npm packages are not installed: sh .ci/deps")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "sno", "dev", "--listen", "127.0.0.1:0")
	c.Dir = t.TempDir()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = c.Wait() // says that it was killed
	}()
	var client, environment string
	for lines := bufio.NewScanner(out); environment == "" && lines.Scan(); {
		switch line := strings.TrimSpace(lines.Text()); {
		case strings.HasPrefix(line, "new Pusher("):
			client = line
		case strings.HasPrefix(line, "PUSHER_APP_ID="):
			environment = line
		}
	}
	program := `
		const Pusher = require("pusher-js"), Server = require("pusher"), e = process.env
		const server = new Server({appId: e.PUSHER_APP_ID, key: e.PUSHER_APP_KEY, secret: e.PUSHER_APP_SECRET, host: e.PUSHER_HOST, port: e.PUSHER_PORT, useTLS: e.PUSHER_SCHEME === "https"})
		const channel = (` + client + `).subscribe("pasted")
		channel.bind("pusher:subscription_succeeded", () => server.trigger("pasted", "e", "it works"))
		channel.bind("e", data => { console.log(data); process.exit(0) })`
	n := exec.CommandContext(ctx, "node", "-e", program)
	n.Env = append(append(os.Environ(), "NODE_PATH="+packages), strings.Fields(environment)...)
	if got, err := n.CombinedOutput(); err != nil || string(got) != "it works\n" {
		t.Errorf("with %s and %s: %v\n%s", client, environment, err, got)
	}
}
