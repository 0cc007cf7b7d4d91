//go:build linux

package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/snoserver/sno/bench/crowd"
	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

// sno is the server of this tree, as somebody would run it who lets clients in by tokens: nothing is turned off.
func sno() *Peer {
	return &Peer{
		Name: "sno", About: "this server: tokens, cursors and lag, the newest 10,000 messages kept in memory",
		knows: []Variant{Usual, Topics, Stored, TLS, SSE},
		start: startSno,
	}
}

const (
	snoKey    = "bench"
	snoSecret = "0123456789abcdef0123456789abcdef"
)

func (p *Place) buildSno() error {
	return p.once("sno", func() error {
		if p.Sno != "" {
			return nil
		}
		p.Sno = filepath.Join(p.Dir, "sno")
		cmd := exec.Command("go", "build", "-o", p.Sno, "./cmd/sno") //nolint:noctx // it ends by itself
		cmd.Dir = p.Root
		return run(cmd)
	})
}

func startSno(ctx context.Context, p *Place, v Variant) (*Running, error) {
	if err := p.buildSno(); err != nil {
		return nil, err
	}
	dir, remove, err := p.scratch("sno")
	if err != nil {
		return nil, err
	}
	r, err := serveSno(ctx, p, v, dir)
	if err != nil {
		remove()
		return nil, err
	}
	stop := r.stop
	r.stop = func() { stop(); remove() }
	return r, nil
}

func serveSno(ctx context.Context, p *Place, v Variant, dir string) (*Running, error) {
	file := filepath.Join(dir, "sno.toml")
	text := snoConfig(dir, v)
	if v == TLS {
		if err := writeCertificate(dir); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	token, err := auth.Mint(snoKey, snoSecret, auth.Claims{
		Client: "reader", Allow: []hub.Allow{{Pattern: "bench*", Actions: hub.ActionSubscribe}}, Expires: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		return nil, err
	}
	log, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.Sno, "serve", "--config", file) //nolint:noctx // process.stop ends it
	cmd.Stderr = in
	s, _, err := p.launch(ctx, cmd)
	_ = in.Close()
	if err != nil {
		return nil, err
	}
	address, said := serving(log)
	if address == "" {
		s.stop()
		_ = log.Close()
		return nil, fmt.Errorf("sno serve did not listen: %s", said)
	}
	go func() {
		_, _ = io.Copy(io.Discard, log)
		_ = log.Close()
	}()
	r := &Running{Protocol: "sno", URL: "ws" + strings.TrimPrefix(address, "http"), Key: snoKey + ":" + snoSecret, Pids: []int{s.pid()}, stop: s.stop}
	if v == SSE {
		r.Protocol, r.URL = "sse", r.URL+"/v1/sse?channel="+crowd.Shared+"&token="+token
	} else {
		r.Token, r.URL = token, r.URL+"/v1/ws"
	}
	return r, nil
}

// serving reads the log up to where it tells the address.
func serving(log io.Reader) (address, said string) {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct {
			Msg  string
			URLs []string
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" && len(line.URLs) > 0 {
			return line.URLs[0], said
		}
		said += lines.Text() + "\n"
	}
	return "", said
}

func snoConfig(dir string, v Variant) string {
	store, tls := "memory", ""
	switch v {
	case Stored:
		store = "disk"
	case TLS:
		tls = fmt.Sprintf("[tls]\ncert = %q\nkey = %q\n", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	}
	return fmt.Sprintf(`listen = "127.0.0.1:0"
data = %q
drain = "0s"
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
%s[limits]
handshakes = 1000000
[[app]]
id = "bench"
[[app.key]]
id = %q
secret = %q
[[app.rule]]
pattern = "bench*"
store = %q
messages = 10000
`, filepath.Join(dir, "data"), tls, snoKey, snoSecret, store)
}
