//go:build linux

package peers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

// centrifugoModule is what is measured: the program as its module has it, built here.
const centrifugoModule = "github.com/centrifugal/centrifugo/v6@v6.9.1"

// centrifugo is Centrifugo with its memory engine. It keeps no messages here, which is what it is fastest with.
func centrifugo() *Peer {
	return &Peer{
		Name: "centrifugo", About: "Centrifugo 6, JSON over WebSocket, memory engine, nothing kept", knows: []Variant{Usual, Topics},
		start: func(ctx context.Context, p *Place, _ Variant) (*Running, error) {
			program := filepath.Join(p.Dir, "centrifugo")
			if err := p.once("centrifugo", func() error { return installCentrifugo(p.Dir, program) }); err != nil {
				return nil, err
			}
			return p.configured(ctx, "centrifugo", centrifugoConfig, func(file string) *exec.Cmd {
				return exec.Command(program, "-c", file) //nolint:noctx // process.stop ends it
			}, Running{Protocol: "centrifugo", URL: "ws://127.0.0.1:PORT/connection/websocket"})
		},
	}
}

func installCentrifugo(dir, program string) error {
	if _, err := os.Stat(program); err == nil {
		return nil
	}
	cmd := exec.Command("go", "install", centrifugoModule) //nolint:noctx // it ends by itself
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=-mod=mod")
	return run(cmd)
}

const centrifugoConfig = `{
  "http_server": {"address": "127.0.0.1", "port": PORT},
  "log": {"level": "error"},
  "client": {"insecure": true, "channel_limit": 1000000, "allowed_origins": ["*"], "connection_limit": 0},
  "channel": {"without_namespace": {"allow_subscribe_for_client": true, "allow_publish_for_client": true, "allow_subscribe_for_anonymous": true, "allow_publish_for_anonymous": true}}
}
`
