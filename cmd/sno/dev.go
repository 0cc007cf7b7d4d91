package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/server"
)

// started is what sno dev tells about itself.
type started struct {
	URL    string `json:"url"`
	App    string `json:"app"`
	Key    string `json:"key"`
	Secret string `json:"secret"`
	Data   string `json:"data"`
	Admin  string `json:"admin"`
}

func newDev() *cobra.Command {
	var listen, data string
	var asJSON bool
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run a server for development, on this machine only",
		Long: `Run a server for development: one app "dev", one key "dev", no configuration.

Everybody on this machine may connect without a credential, so it listens on loopback addresses only; use "sno serve" for others.
Messages are kept in a directory through restarts, and so is the key's secret.`,
		Example: `  sno dev
  sno dev --listen 127.0.0.1:0 --data /tmp/try
  sno dev --json    # one line of JSON when it is ready, for scripts`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runDev(c, listen, data, asJSON) },
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:7878", "loopback address; port 0 takes any free one")
	c.Flags().StringVar(&data, "data", ".sno", "directory for messages and the key's secret")
	c.Flags().BoolVar(&asJSON, "json", false, "print one line of JSON when it is ready, and nothing else")
	return c
}

func runDev(c *cobra.Command, listen, data string, asJSON bool) error {
	if err := checkLoopback(listen); err != nil {
		return err
	}
	dir, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	secret, err := config.DevSecret(dir)
	if err != nil {
		return err
	}
	cfg := config.Dev(filepath.Join(dir, "messages"), secret) // the store wants a directory to itself
	cfg.Listen = config.Addresses{listen}
	s, err := server.New(cfg, logger(c.ErrOrStderr(), slog.LevelWarn))
	if err != nil {
		return err
	}
	app := cfg.Apps[0]
	ready := started{s.URL(), app.ID, app.Keys[0].ID, secret, dir, s.AdminURL()}
	if asJSON {
		if err := json.NewEncoder(c.OutOrStdout()).Encode(ready); err != nil {
			return err
		}
	} else {
		greet(c.OutOrStdout(), ready)
	}
	return s.Run(c.Context())
}

// checkLoopback refuses addresses that others can reach: sno dev trusts everybody who can connect.
func checkLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return usage("--listen %q: need host:port, such as 127.0.0.1:7878", listen)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return usage("--listen %q can be reached from other machines, and sno dev trusts everybody who connects; listen on 127.0.0.1, "+
		"or use \"sno serve\" with a configuration that says who may do what", listen)
}

func greet(w io.Writer, s started) {
	host, port, _ := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://")) // it listens there
	fmt.Fprintf(w, `Snö is running at %[1]s  —  open the URL in two tabs

  app   %[2]s
  key   %[3]s
  data  %[5]s

Publish:

  curl -u %[3]s:%[4]s %[1]s/v1/channels/lobby/messages -H 'Content-Type: application/json' -d '{"event":"said","data":{"text":"hello"}}'

In another terminal (in a clone, go run ./cmd/sno stands for sno):

  export SNO_URL=%[1]s SNO_KEY=%[3]s SNO_SECRET=%[4]s
  sno sub lobby
  sno pub lobby hello

With pusher-js and Pusher's libraries (docs/pusher.md):

  new Pusher(%[6]q, {cluster: "", wsHost: %[7]q, wsPort: %[8]s, httpHost: %[7]q, httpPort: %[8]s, forceTLS: false})
  PUSHER_APP_ID=%[2]s PUSHER_APP_KEY=%[3]s PUSHER_APP_SECRET=%[4]s PUSHER_HOST=%[7]s PUSHER_PORT=%[8]s PUSHER_SCHEME=http

Ctrl-C stops the server.
`, s.URL, s.App, s.Key, s.Secret, s.Data, s.Key, host, port)
}
