package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/auth"
	"github.com/snoserver/sno/internal/hub"
)

func newToken() *cobra.Command {
	var key, secret, clientID string
	var allow []string
	var ttl time.Duration
	c := &cobra.Command{
		Use:   "token --allow PATTERN=ACTIONS…",
		Short: "Make a token for a client",
		Long: `Make a token (a JWT) that lets a client do what it says, signed with an app key. No server is needed; your backend can make the same
with any JWT library.

The actions are subscribe, publish, presence, history and admin. In a pattern '*' stands for any run of characters.`,
		Example: `  sno token --client ann --allow 'chat:*=subscribe,publish' --ttl 1h
  SNO_TOKEN=$(sno token --allow '*=subscribe,history') sno sub chat:1 --count 1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			claims := auth.Claims{Client: clientID, Issued: time.Now(), Expires: time.Now().Add(ttl)}
			for _, a := range allow {
				line, err := parseAllow(a)
				if err != nil {
					return err
				}
				claims.Allow = append(claims.Allow, line)
			}
			return mint(c, firstOf(key, os.Getenv("SNO_KEY")), firstOf(secret, os.Getenv("SNO_SECRET")), claims)
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "app key id (SNO_KEY)")
	f.StringVar(&secret, "secret", "", "app key secret (SNO_SECRET, which other users of the machine cannot see)")
	f.StringVar(&clientID, "client", "", "the client's id: what others see as the publisher and member")
	f.StringArrayVar(&allow, "allow", nil, "PATTERN=ACTION,ACTION…; may be given several times")
	f.DurationVar(&ttl, "ttl", time.Hour, "how long the token is good for")
	c.AddCommand(newTokenRevoke())
	return c
}

func mint(c *cobra.Command, key, secret string, claims auth.Claims) error {
	switch {
	case key == "" || secret == "":
		return usage("a token is signed with an app key: set SNO_KEY and SNO_SECRET (sno dev prints its own)")
	case len(claims.Allow) == 0:
		return usage("the token would allow nothing: add --allow, such as --allow 'chat:*=subscribe,publish'")
	}
	token, err := auth.Mint(key, secret, claims)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), token)
	return err
}

// parseAllow reads PATTERN=ACTIONS. A pattern may hold '=', so the last one counts.
func parseAllow(s string) (hub.Allow, error) {
	i := strings.LastIndexByte(s, '=')
	if i <= 0 {
		return hub.Allow{}, usage("--allow %q: need PATTERN=ACTIONS, such as 'chat:*=subscribe,publish'", s)
	}
	a := hub.Allow{Pattern: s[:i]}
	for name := range strings.SplitSeq(s[i+1:], ",") {
		action, ok := hub.ParseAction(strings.TrimSpace(name))
		if !ok {
			return hub.Allow{}, usage("--allow %q: there is no action %q, only %s", s, name, hub.AllActions)
		}
		a.Actions |= action
	}
	return a, nil
}
