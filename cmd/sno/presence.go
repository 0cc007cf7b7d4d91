package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
)

func newPresence() *cobra.Command {
	var n credentials
	var asJSON bool
	c := &cobra.Command{
		Use:   "presence CHANNEL",
		Short: "Print who is in a channel",
		Long: `Print who is in a channel just now: each member, from how many sessions, and its data. "sno sub --presence" also follows who enters and leaves.

With --json each member is one line: id, data, sessions.`,
		Example: `  sno presence chat:1
  sno presence chat:1 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var answer struct{ Members []client.Member }
			if err := n.ask(c.Context(), http.MethodGet, "/v1/presence", url.Values{"channel": args}, nil, &answer); err != nil {
				return fmt.Errorf("presence of %q: %w", args[0], err)
			}
			return printRows(c, asJSON, "MEMBER\tSESSIONS\tDATA", answer.Members, func(m client.Member) string {
				return fmt.Sprintf("%s\t%d\t%s", printable(m.ID), m.Sessions, m.Data)
			})
		},
	}
	n.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON per member")
	return c
}
