package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// webhookRow is a webhook as the HTTP API describes it. Times are Unix milliseconds, the lag is milliseconds.
type webhookRow struct {
	Webhook     string `json:"webhook"`
	URL         string `json:"url"`
	Format      string `json:"format"`
	Lag         int64  `json:"lag"`
	Parked      int    `json:"parked"`
	Dead        int    `json:"dead"`
	LastSuccess int64  `json:"last_success,omitempty"`
	LastFailure int64  `json:"last_failure,omitempty"`
	Reason      string `json:"reason,omitempty"`
}

// deadRow is a dead letter as the HTTP API describes it.
type deadRow struct {
	Offset   uint64          `json:"offset"`
	ID       string          `json:"id,omitempty"`
	Type     string          `json:"type,omitempty"`
	Channel  string          `json:"channel,omitempty"`
	Member   string          `json:"member,omitempty"`
	Event    string          `json:"event,omitempty"`
	Session  string          `json:"session,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	Count    *int            `json:"subscription_count,omitempty"`
	Failures int             `json:"failures"`
	Time     int64           `json:"time,omitempty"`
	Died     int64           `json:"died,omitempty"`
}

func newWebhooks() *cobra.Command {
	var n credentials
	var asJSON bool
	c := &cobra.Command{
		Use:   "webhooks",
		Short: "List the webhooks and how they do; dead letters",
		Long: `List the app's webhooks: how long the oldest event waits, for how many channels the webhook has not taken an event, how many dead letters there are, and why the last
request that failed did.

With --json each webhook is one line, as in the HTTP API.`,
		Example: `  sno webhooks
  sno webhooks test orders
  sno webhooks dead orders
  sno webhooks resend orders --all`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var page struct{ Webhooks []webhookRow }
			if err := n.ask(c.Context(), http.MethodGet, "/v1/webhooks", nil, nil, &page); err != nil {
				return fmt.Errorf("webhooks: %w", err)
			}
			return printRows(c, asJSON, "WEBHOOK\tLAG\tPARKED\tDEAD\tURL\tREASON", page.Webhooks, func(r webhookRow) string {
				lag := time.Duration(r.Lag) * time.Millisecond
				return fmt.Sprintf("%s\t%s\t%d\t%d\t%s\t%s", printable(r.Webhook), lag.Round(time.Second/10), r.Parked, r.Dead, printable(r.URL), printable(r.Reason))
			})
		},
	}
	n.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON per webhook")
	c.AddCommand(newWebhooksTest(), newWebhooksDead(),
		newWebhooksAct("resend", "Send dead letters again",
			"Have a dead letter sent again, or all of the webhook. It is stored when the command ends. They come after what has happened since.",
			http.MethodPost, "/resend", "resent"),
		newWebhooksAct("discard", "Forget dead letters", "Forget a dead letter, or all of the webhook.", http.MethodDelete, "/dead", "discarded"))
	return c
}

func webhookPath(name, of string) string { return "/v1/webhooks/" + url.PathEscape(name) + of }

func newWebhooksTest() *cobra.Command {
	var n credentials
	c := &cobra.Command{
		Use:   "test WEBHOOK",
		Short: "Send a webhook an event now",
		Long: `Have the server send a webhook an event of the type "test", at once and signed as any other, and say what came of it. If it is taken, what the webhook has not taken before is
tried again at once.`,
		Example: "  sno webhooks test orders",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var a struct {
				Taken  bool
				Took   int
				Reason string
			}
			if err := n.ask(c.Context(), http.MethodPost, webhookPath(args[0], "/test"), nil, nil, &a); err != nil {
				return fmt.Errorf("test %s: %w", printable(args[0]), err)
			}
			if !a.Taken {
				return fmt.Errorf("%s has not taken the event: %s", printable(args[0]), printable(a.Reason))
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s has taken the event in %d ms\n", printable(args[0]), a.Took)
			return err
		},
	}
	n.flags(c)
	return c
}

// dead is one run of sno webhooks dead.
type dead struct {
	credentials
	limit  int
	asJSON bool
	cmd    *cobra.Command
}

func newWebhooksDead() *cobra.Command {
	d := &dead{}
	c := &cobra.Command{
		Use:   "dead WEBHOOK [ID]",
		Short: "List the events that a webhook has not taken in time, or show one",
		Long: `List a webhook's dead letters, the oldest first: the events that it has not taken for a day and that are not tried any more. With the id of an event, also what was in it.

With --json each is one line, as in the HTTP API.`,
		Example: `  sno webhooks dead orders
  sno webhooks dead orders 4GHTSQ7XV3MRZ5Y2LBWPKJ6NDC --json`,
		Args: usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, args []string) error {
			d.cmd = c
			return d.run(args[0], append(args, "")[1])
		},
	}
	d.flags(c)
	c.Flags().IntVar(&d.limit, "limit", 0, "at most so many dead letters")
	c.Flags().BoolVar(&d.asJSON, "json", false, "one line of JSON per dead letter")
	return c
}

func (d *dead) run(webhook, id string) error {
	if d.limit < 0 {
		return usage("--limit is a number of dead letters, not negative")
	}
	if id != "" {
		rows, _, err := d.page(webhook, url.Values{"id": {id}})
		if err != nil {
			return err
		}
		return d.show(rows)
	}
	rows, err := pages(url.Values{}, d.limit, func(r deadRow) string { return strconv.FormatUint(r.Offset, 10) }, func(query url.Values) ([]deadRow, bool, error) {
		return d.page(webhook, query)
	})
	if err != nil {
		return err
	}
	return d.print(rows)
}

func (d *dead) page(webhook string, query url.Values) ([]deadRow, bool, error) {
	var page struct {
		Dead []deadRow
		More bool
	}
	if err := d.ask(d.cmd.Context(), http.MethodGet, webhookPath(webhook, "/dead"), query, nil, &page); err != nil {
		return nil, false, fmt.Errorf("dead letters of %s: %w", printable(webhook), err)
	}
	return page.Dead, page.More, nil
}

func (d *dead) print(rows []deadRow) error {
	return printRows(d.cmd, d.asJSON, "ID\tTYPE\tCHANNEL\tTIME\tFAILURES\tREASON", rows, func(r deadRow) string {
		at := time.UnixMilli(r.Time).UTC().Format(time.RFC3339)
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s", printable(r.ID), printable(r.Type), printable(r.Channel), at, r.Failures, printable(r.Reason))
	})
}

// show prints also what most events have nothing of.
func (d *dead) show(rows []deadRow) error {
	if err := d.print(rows); err != nil || d.asJSON {
		return err
	}
	fmt.Fprintln(d.cmd.OutOrStdout())
	return printRows(d.cmd, false, "MEMBER\tEVENT\tSESSION\tDATA", rows, func(r deadRow) string {
		data := string(r.Data)
		if r.Count != nil {
			data = strconv.Itoa(*r.Count)
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s", firstOf(printable(r.Member), "-"), firstOf(printable(r.Event), "-"), firstOf(printable(r.Session), "-"), firstOf(printable(data), "-"))
	})
}

// newWebhooksAct is a command that does something with dead letters.
func newWebhooksAct(verb, short, long, method, of, done string) *cobra.Command {
	var n credentials
	var all bool
	c := &cobra.Command{
		Use:     verb + " WEBHOOK ID",
		Short:   short,
		Long:    long,
		Example: "  sno webhooks " + verb + " orders 4GHTSQ7XV3MRZ5Y2LBWPKJ6NDC\n  sno webhooks " + verb + " orders --all",
		Args:    usageArgs(cobra.RangeArgs(1, 2)),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) == 2 {
				query.Set("id", args[1])
			}
			if all == (len(args) == 2) {
				return usage("give the id of an event, or --all; \"sno webhooks dead %s\" lists them", printable(args[0]))
			}
			answer := map[string]int{}
			if err := n.ask(c.Context(), method, webhookPath(args[0], of), query, nil, &answer); err != nil {
				return fmt.Errorf("%s dead letters of %s: %w", verb, printable(args[0]), err)
			}
			fmt.Fprintf(c.ErrOrStderr(), "dead letters %s: %d\n", done, answer[done])
			return nil
		},
	}
	n.flags(c)
	c.Flags().BoolVar(&all, "all", false, "all of the webhook")
	return c
}
