//go:build linux

package peers

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed node/package.json node/package-lock.json node/*.js
var scripts embed.FS

// script is a bare server on Node.js.
func script(name, file, about string) *Peer {
	return &Peer{
		Name: name, About: about + ", a bare server", knows: []Variant{Usual, Topics},
		start: func(ctx context.Context, p *Place, v Variant) (*Running, error) {
			s, port, err := p.nodejs(ctx, file)
			if err != nil {
				return nil, err
			}
			r := plainly(s, port)
			if v == Topics {
				r.Protocol, r.URL = "topics", fmt.Sprintf("ws://127.0.0.1:%d/topics", port)
			}
			return r, nil
		},
	}
}

func socketIO() *Peer {
	return &Peer{
		Name: "socket.io", About: "npm socket.io, a bare server, WebSocket only", knows: []Variant{Usual},
		start: func(ctx context.Context, p *Place, _ Variant) (*Running, error) {
			s, port, err := p.nodejs(ctx, "socketio.js")
			if err != nil {
				return nil, err
			}
			return &Running{Protocol: "socket.io", URL: fmt.Sprintf("ws://127.0.0.1:%d/socket.io/?EIO=4&transport=websocket", port), Pids: []int{s.pid()}, stop: s.stop}, nil
		},
	}
}

// nodejs starts a script, with its modules installed as the lock file says.
func (p *Place) nodejs(ctx context.Context, file string) (*process, int, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, 0, errors.New("there is no Node.js (Debian: nodejs, npm)")
	}
	dir := filepath.Join(p.Dir, "node")
	if err := p.once("node", func() error { return install(dir) }); err != nil {
		return nil, 0, err
	}
	cmd := exec.Command(node, file) //nolint:noctx // process.stop ends it
	cmd.Dir = dir
	return p.listens(ctx, cmd)
}

// install writes the scripts and has npm fetch what they need, unless that is there from the last time.
func install(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := scripts.ReadDir("node")
	if err != nil {
		return err
	}
	lock := filepath.Join(dir, "package-lock.json")
	before, _ := os.ReadFile(lock)
	for _, f := range files {
		text, err := scripts.ReadFile("node/" + f.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), text, 0o644); err != nil {
			return err
		}
	}
	wanted, err := os.ReadFile(lock)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err == nil && string(before) == string(wanted) {
		return nil
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund") //nolint:noctx // it ends by itself
	npm.Dir = dir
	return run(npm)
}
