package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
)

// pageLimit is the most messages that a page of history holds.
const pageLimit = 1000

// historian is one run of sno history.
type historian struct {
	connection
	after, since string
	before       uint64
	last, limit  int
	asJSON       bool
	cmd          *cobra.Command
	out          *output
	left         int // messages still to print; negative: no bound
}

func newHistory() *cobra.Command {
	h := &historian{}
	c := &cobra.Command{
		Use:   "history CHANNEL",
		Short: "Print the messages that a channel has kept",
		Long: `Print the messages that a channel has kept, oldest first: all of them, or where the flags say.

It reads page after page by itself. --limit ends it earlier: after so many messages from where it began, or, with --before, with the newest
so many before that offset. At most one of --after, --before, --last and --since.`,
		Example: `  sno history chat:1
  sno history chat:1 --last 20 --json
  sno history chat:1 --after k3x9:1207 --limit 100
  sno history chat:1 --since 2h`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			h.cmd = c
			return h.run(args[0])
		},
	}
	h.flags(c)
	f := c.Flags()
	f.StringVar(&h.after, "after", "", "messages after a position epoch:offset")
	f.Uint64Var(&h.before, "before", 0, "messages before an offset")
	f.IntVar(&h.last, "last", 0, "the newest so many messages")
	f.StringVar(&h.since, "since", "", `messages since a duration back ("10m", "2d") or a time (RFC 3339, or milliseconds)`)
	f.IntVar(&h.limit, "limit", 0, "at most so many messages")
	f.BoolVar(&h.asJSON, "json", false, "one line of JSON per message")
	c.MarkFlagsMutuallyExclusive("after", "before", "last", "since")
	return c
}

func (h *historian) query() (client.Query, error) {
	q := client.Query{Last: h.last, Since: h.since}
	if h.last < 0 || h.limit < 0 {
		return q, usage("--last and --limit are numbers of messages, not negative")
	}
	if h.after != "" {
		p, ok := parsePosition(h.after)
		if !ok {
			return q, usage("--after %q: need a position epoch:offset, as --json prints them", h.after)
		}
		q.After = &p
	}
	return q, nil
}

func (h *historian) run(channel string) error {
	q, err := h.query()
	if err != nil {
		return err
	}
	cl, err := h.dial(h.cmd)
	if err != nil {
		return err
	}
	h.out = newOutput(h.cmd.OutOrStdout())
	h.left = -1
	for _, bound := range []int{h.limit, h.last} {
		if bound > 0 && (h.left < 0 || bound < h.left) {
			h.left = bound
		}
	}
	if h.before > 0 && h.limit > 0 {
		err = h.backward(h.cmd.Context(), cl, channel)
	} else {
		err = h.forward(h.cmd.Context(), cl, channel, q)
	}
	if err != nil {
		err = fmt.Errorf("history of %q: %w", channel, err)
	}
	_ = closeSoon(cl) // it has nothing under way that matters
	return errors.Join(err, h.out.close())
}

// forward prints page after page, each from where the last one ended.
func (h *historian) forward(ctx context.Context, cl *client.Client, channel string, q client.Query) error {
	for {
		if q.Limit = pageLimit; h.left >= 0 {
			q.Limit = min(pageLimit, h.left)
		}
		page, err := cl.History(ctx, channel, q)
		if err != nil {
			return err
		}
		if page.Reset != "" {
			fmt.Fprintf(h.cmd.ErrOrStderr(), "sno: reset (%s): messages are missing before what follows\n", page.Reset)
		}
		more, err := h.print(page.Messages)
		if err != nil || !more || !page.More || len(page.Messages) == 0 {
			return err
		}
		after := page.Messages[len(page.Messages)-1].Position
		q = client.Query{After: &after}
	}
}

// backward collects the newest h.limit messages before an offset, and prints them oldest first.
func (h *historian) backward(ctx context.Context, cl *client.Client, channel string) error {
	var pages [][]*client.Message
	for before, left := h.before, h.limit; left > 0; {
		page, err := cl.History(ctx, channel, client.Query{Before: before, Limit: min(pageLimit, left)})
		if err != nil {
			return err
		}
		if len(page.Messages) > 0 {
			pages = append(pages, page.Messages)
			before = page.Messages[0].Position.Offset
			left -= len(page.Messages)
		}
		if !page.More || len(page.Messages) == 0 {
			break
		}
	}
	for _, messages := range slices.Backward(pages) {
		if _, err := h.print(messages); err != nil {
			return err
		}
	}
	return nil
}

// print prints messages as far as --limit and --before go, and says whether more are wanted.
func (h *historian) print(messages []*client.Message) (more bool, err error) {
	for _, m := range messages {
		if h.left == 0 || h.before > 0 && m.Position.Offset >= h.before {
			return false, nil
		}
		line := messageText
		if h.asJSON {
			line = messageJSON
		}
		if err := h.out.write(line(m)); err != nil {
			return false, err
		}
		h.left--
	}
	return h.left != 0, nil
}
