package main

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// channelRow is a channel as the HTTP API describes it.
type channelRow struct {
	Channel     string `json:"channel"`
	Head        place  `json:"head"`
	Messages    int    `json:"messages"`
	Bytes       int64  `json:"bytes"`
	Subscribers int    `json:"subscribers"`
	Members     int    `json:"members"`
}

type place struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

func newChannels() *cobra.Command {
	var n credentials
	var limit int
	var asJSON bool
	c := &cobra.Command{
		Use:   "channels [PREFIX]",
		Short: "List the channels, with what they hold and who is there",
		Long: `List the channels that begin with PREFIX, or all: those that somebody has published to, and those that somebody follows. For each how many messages
and bytes are kept, how many sessions follow it on the server that answers, how many members are in it, and its newest position.

With --json each channel is one line: channel, head, messages, bytes, subscribers, members.`,
		Example: `  sno channels
  sno channels chat: --limit 20
  sno channels --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return usage("--limit is a number of channels, not negative")
			}
			query := url.Values{}
			if len(args) > 0 {
				query.Set("prefix", args[0])
			}
			rows, err := n.channels(c, query, limit)
			if err != nil {
				return fmt.Errorf("channels: %w", err)
			}
			return printRows(c, asJSON, "CHANNEL\tMESSAGES\tBYTES\tSUBSCRIBERS\tMEMBERS\tHEAD", rows, func(r channelRow) string {
				return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%s:%d", printable(r.Channel), r.Messages, r.Bytes, r.Subscribers, r.Members, r.Head.Epoch, r.Head.Offset)
			})
		},
	}
	n.flags(c)
	c.Flags().IntVar(&limit, "limit", 0, "at most so many channels")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON per channel")
	return c
}

func (n *credentials) channels(c *cobra.Command, query url.Values, limit int) ([]channelRow, error) {
	return pages(query, limit, func(r channelRow) string { return r.Channel }, func(query url.Values) ([]channelRow, bool, error) {
		var page struct {
			Channels []channelRow
			More     bool
		}
		err := n.ask(c.Context(), http.MethodGet, "/v1/channels", query, nil, &page)
		return page.Channels, page.More, err
	})
}
