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
  sno webhooks dead orders
  sno webhooks resend orders`,
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
	c.AddCommand(newWebhooksDead(), newWebhooksAct("resend", "Send dead letters again",
		"Have dead letters sent again, all of the webhook or the one of --id. It is stored when the command ends. They come after what has happened since.",
		http.MethodPost, "/resend", "resent"), newWebhooksAct("discard", "Forget dead letters",
		"Forget dead letters, all of the webhook or the one of --id.", http.MethodDelete, "/dead", "discarded"))
	return c
}

func webhookPath(name, of string) string { return "/v1/webhooks/" + url.PathEscape(name) + of }

func newWebhooksDead() *cobra.Command {
	var n credentials
	var limit int
	var asJSON bool
	c := &cobra.Command{
		Use:   "dead WEBHOOK",
		Short: "List the events that a webhook has not taken in time",
		Long: `List a webhook's dead letters, the oldest first: the events that it has not taken for a day and that are not tried any more.

With --json each is one line, as in the HTTP API.`,
		Example: `  sno webhooks dead orders
  sno webhooks dead orders --json`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return usage("--limit is a number of dead letters, not negative")
			}
			rows, err := pages(url.Values{}, limit, func(r deadRow) string { return strconv.FormatUint(r.Offset, 10) }, func(query url.Values) ([]deadRow, bool, error) {
				var page struct {
					Dead []deadRow
					More bool
				}
				err := n.ask(c.Context(), http.MethodGet, webhookPath(args[0], "/dead"), query, nil, &page)
				return page.Dead, page.More, err
			})
			if err != nil {
				return fmt.Errorf("dead letters of %s: %w", printable(args[0]), err)
			}
			return printRows(c, asJSON, "ID\tTYPE\tCHANNEL\tTIME\tFAILURES\tREASON", rows, func(r deadRow) string {
				return fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s", printable(r.ID), printable(r.Type), printable(r.Channel), time.UnixMilli(r.Time).UTC().Format(time.RFC3339), r.Failures, printable(r.Reason))
			})
		},
	}
	n.flags(c)
	c.Flags().IntVar(&limit, "limit", 0, "at most so many dead letters")
	c.Flags().BoolVar(&asJSON, "json", false, "one line of JSON per dead letter")
	return c
}

// newWebhooksAct is a command that does something with dead letters.
func newWebhooksAct(verb, short, long, method, of, done string) *cobra.Command {
	var n credentials
	var id string
	c := &cobra.Command{
		Use:     verb + " WEBHOOK",
		Short:   short,
		Long:    long,
		Example: "  sno webhooks " + verb + " orders\n  sno webhooks " + verb + " orders --id 4GHTSQ7XV3MRZ5Y2LBWPKJ6NDC",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			query := url.Values{}
			if id != "" {
				query.Set("id", id)
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
	c.Flags().StringVar(&id, "id", "", "only the one of this event")
	return c
}
