package main

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
)

// completeTimeout is how long a shell waits for the names of channels: nobody waits longer for a key.
const completeTimeout = time.Second

// completeNames is how many channel names are offered.
const completeNames = 100

// complete gives the shell what stands where there is a fixed choice, or a channel's name.
func complete(root *cobra.Command) {
	var names []cobra.Completion
	for _, t := range client.Transports() {
		names = append(names, string(t))
	}
	transports := append(slices.Clone(names), string(client.Auto))
	for _, c := range root.Commands() {
		switch c.Name() {
		case "bench":
			for _, scenario := range c.Commands() {
				completeFlag(scenario, "transport", transports)
			}
		case "probe":
			completeFlag(c, "transport", names)
			continue
		case "pub", "sub", "history", "presence", "channels":
			c.ValidArgsFunction = channelNames(c.Name() == "sub")
		}
		if c.Flags().Lookup("transport") != nil {
			completeFlag(c, "transport", transports)
		}
	}
}

func completeFlag(c *cobra.Command, flag string, choices []cobra.Completion) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag, or twice: the tests complete each
	}
}

// channelNames completes a channel's name as the first argument, or as every one, with what the server has. Who may not list channels gets none.
func channelNames(every bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 && !every {
			return nil, cobra.ShellCompDirectiveDefault
		}
		n := credentials{}
		for flag, to := range map[string]*string{"url": &n.url, "key": &n.key, "secret": &n.secret, "token": &n.token} {
			*to = c.Flags().Lookup(flag).Value.String()
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
		defer cancel()
		var page struct{ Channels []channelRow }
		query := url.Values{"prefix": {typed}, "limit": {strconv.Itoa(completeNames)}}
		if err := n.ask(ctx, "GET", "/v1/channels", query, nil, &page); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, r := range page.Channels {
			names = append(names, printable(r.Channel))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
