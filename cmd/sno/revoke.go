package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func newTokenRevoke() *cobra.Command {
	var n credentials
	var clientID, id string
	c := &cobra.Command{
		Use:   "revoke --client CLIENT | --id ID",
		Short: "Make tokens worthless before their time",
		Long: `Make worthless all tokens of a client that were issued until now, or one token by its id ("jti"). It is done when the command ends: sessions of these
tokens end within a second, and the tokens are not accepted any more.`,
		Example: `  sno token revoke --client ann
  sno token revoke --id 7f3a`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			what := map[string]string{"client": clientID}
			switch {
			case (clientID == "") == (id == ""):
				return usage("say whose tokens with --client, or which one with --id")
			case id != "":
				what = map[string]string{"id": id}
			}
			if err := n.ask(c.Context(), http.MethodPost, "/v1/tokens/revoke", nil, what, nil); err != nil {
				return fmt.Errorf("revoke: %w", err)
			}
			fmt.Fprintln(c.ErrOrStderr(), "revoked")
			return nil
		},
	}
	n.flags(c)
	c.Flags().StringVar(&clientID, "client", "", "all tokens of this client until now")
	c.Flags().StringVar(&id, "id", "", "the token with this id")
	return c
}
