package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/config"
	"github.com/snoserver/sno/internal/hub"
)

// defaultURL is where sno dev and sno serve listen unless told otherwise.
const defaultURL = "http://127.0.0.1:7878"

// credentials holds the flags that say which server, and who one is.
type credentials struct {
	url, key, secret, token string
}

// connection holds the flags of the commands that keep a connection to a server.
type connection struct {
	credentials
	transport string
	wait      time.Duration
}

func (n *credentials) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&n.url, "url", "", `the server's address (SNO_URL, default "`+defaultURL+`")`)
	f.StringVar(&n.key, "key", "", "app key id (SNO_KEY)")
	f.StringVar(&n.secret, "secret", "", "app key secret (SNO_SECRET, which other users of the machine cannot see)")
	f.StringVar(&n.token, "token", "", "a client's token instead of a key (SNO_TOKEN)")
}

func (n *connection) flags(c *cobra.Command) {
	n.credentials.flags(c)
	f := c.Flags()
	f.StringVar(&n.transport, "transport", string(client.Auto), "how to connect: auto, websocket, stream, sse or poll")
	f.DurationVar(&n.wait, "wait", 0, "go on trying for so long while the server cannot be reached")
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// options gives what the flags and the environment say.
func (n *connection) options(log *slog.Logger) (client.Options, error) {
	o, err := n.credentials.options()
	if err != nil {
		return o, err
	}
	o.Logger, o.Wait = log, n.wait > 0
	if o.Transport, err = client.ParseTransport(n.transport); err != nil {
		return o, usage("--%w", err)
	}
	return o, nil
}

// options gives what the flags and the environment say. A credential given by flag replaces those of the environment, and there a token goes before a key.
func (n *credentials) options() (client.Options, error) {
	o := client.Options{URL: firstOf(n.url, os.Getenv("SNO_URL"), defaultURL)}
	key, secret, token := n.key, firstOf(n.secret, os.Getenv("SNO_SECRET")), n.token
	if key == "" && token == "" {
		token = os.Getenv("SNO_TOKEN")
	}
	if key == "" && token == "" {
		key = os.Getenv("SNO_KEY")
	}
	if file := os.Getenv("SNO_SECRET_FILE"); key != "" && secret == "" && file != "" {
		text, err := config.ReadSecret(file)
		if err != nil {
			return o, usage("SNO_SECRET_FILE %w", err)
		}
		secret = text
	}
	switch {
	case key != "" && token != "":
		return o, usage("--key and --token are two credentials; give one")
	case key != "" && secret == "":
		return o, usage("key %q needs its secret: set SNO_SECRET", key)
	case key != "":
		o.Key, o.Secret = key, secret
	case token != "":
		o.Token = func(context.Context) (string, error) { return token, nil }
	}
	return o, nil
}

// dial connects as the flags say. What happens to the connection later is told on stderr.
func (n *connection) dial(c *cobra.Command) (*client.Client, error) {
	o, err := n.options(logger(c.ErrOrStderr(), slog.LevelInfo))
	if err != nil {
		return nil, err
	}
	ctx := c.Context()
	if n.wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.wait)
		defer cancel()
	}
	cl, err := client.Dial(ctx, o)
	if err != nil {
		return nil, unreachable(err)
	}
	return cl, nil
}

func unreachable(err error) error {
	return &exitError{exitUsage, fmt.Errorf("%w\n(--url or SNO_URL says where the server is; start one with: sno dev)", err)}
}

// ask makes a request of the HTTP API. What the server refuses is a failure; that it cannot be asked, or as this, is a usage error.
func (n *credentials) ask(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	o, err := n.options()
	if err != nil {
		return err
	}
	a, err := client.NewAPI(o)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer a.Close()
	err = a.Do(ctx, method, path, query, body, answer)
	refused, coded := errors.AsType[*hub.Error](err)
	switch {
	case err == nil:
		return nil
	case !coded:
		return unreachable(err)
	case refused.Code == hub.CodeUnauthorized:
		return &exitError{exitUsage, err}
	}
	return err
}

// closeTimeout is how long a command that was interrupted waits for what it has begun.
const closeTimeout = 5 * time.Second

// closeSoon closes a client that has nothing important under way.
func closeSoon(cl *client.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return cl.Close(ctx)
}
