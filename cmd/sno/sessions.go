package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// sessionRow is a session as the HTTP API describes it. Channels are there when it was asked for by itself.
type sessionRow struct {
	Session       string      `json:"session"`
	Client        string      `json:"client,omitempty"`
	Transport     string      `json:"transport,omitempty"`
	Address       string      `json:"address,omitempty"`
	Started       int64       `json:"started"`
	Subscriptions int         `json:"subscriptions"`
	Lag           int         `json:"lag"`
	LagAtLeast    bool        `json:"lag_at_least,omitempty"`
	Channels      []cursorRow `json:"channels,omitempty"`
}

// cursorRow is where a session is in a channel.
type cursorRow struct {
	Channel    string `json:"channel"`
	Epoch      string `json:"epoch"`
	Offset     uint64 `json:"offset"`
	Presence   bool   `json:"presence"`
	Lag        int    `json:"lag"`
	LagAtLeast bool   `json:"lag_at_least,omitempty"`
}

// sessions is one run of sno sessions.
type sessions struct {
	credentials
	client, channel       string
	limit                 int
	disconnect, reconnect bool
	asJSON                bool
	cmd                   *cobra.Command
}

func newSessions() *cobra.Command {
	s := &sessions{}
	c := &cobra.Command{
		Use:   "sessions [SESSION]",
		Short: "List the connected clients, show one, or disconnect",
		Long: `List the sessions on the server that answers: who, by which transport, from where, since when, and how far behind. With a session's id, also
where it is in each of its channels. With --disconnect, end that session, or all of --client; those clients do not come back by themselves, unless
--reconnect sends them away to come back at once.

With --json each session is one line, as in the HTTP API.`,
		Example: `  sno sessions
  sno sessions --client ann --json
  sno sessions --client ann --disconnect
  sno sessions RPKM4SHMVIN5GNPVV3A63IYSEI --disconnect --reconnect`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s.cmd = c
			return s.run(append(args, "")[0])
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.client, "client", "", "only those of this client")
	f.StringVar(&s.channel, "channel", "", "only those that follow this channel")
	f.IntVar(&s.limit, "limit", 0, "at most so many sessions")
	f.BoolVar(&s.disconnect, "disconnect", false, "end the session, or all of --client")
	f.BoolVar(&s.reconnect, "reconnect", false, "the clients that are disconnected come back at once")
	f.BoolVar(&s.asJSON, "json", false, "one line of JSON per session")
	return c
}

func (s *sessions) run(id string) error {
	switch {
	case id != "" && (s.client != "" || s.channel != ""):
		return usage("a session's id names one; --client and --channel choose from all")
	case s.reconnect && !s.disconnect:
		return usage("--reconnect says how to --disconnect; give both")
	case s.disconnect && id == "" && s.client == "":
		return usage("--disconnect needs a session's id, or --client; \"sno sessions\" lists them")
	case s.disconnect && s.channel != "":
		return usage("--disconnect ends a session, or all of --client; not those of a channel")
	case s.limit < 0:
		return usage("--limit is a number of sessions, not negative")
	case s.disconnect:
		return s.end(id)
	case id != "":
		return s.show(id)
	}
	return s.list()
}

func (s *sessions) end(id string) error {
	query := url.Values{}
	if s.reconnect {
		query.Set("reconnect", "true")
	}
	if id != "" {
		if err := s.ask(s.cmd.Context(), http.MethodDelete, "/v1/sessions/"+url.PathEscape(id), query, nil, nil); err != nil {
			return fmt.Errorf("disconnect %s: %w", printable(id), err)
		}
		fmt.Fprintln(s.cmd.ErrOrStderr(), "sessions ended: 1")
		return nil
	}
	query.Set("client", s.client)
	var answer struct{ Ended int }
	if err := s.ask(s.cmd.Context(), http.MethodDelete, "/v1/sessions", query, nil, &answer); err != nil {
		return fmt.Errorf("disconnect client %q: %w", s.client, err)
	}
	fmt.Fprintf(s.cmd.ErrOrStderr(), "sessions ended: %d\n", answer.Ended)
	return nil
}

func (s *sessions) show(id string) error {
	var row sessionRow
	if err := s.ask(s.cmd.Context(), http.MethodGet, "/v1/sessions/"+url.PathEscape(id), nil, nil, &row); err != nil {
		return fmt.Errorf("session %s: %w", printable(id), err)
	}
	if err := s.print([]sessionRow{row}); err != nil || s.asJSON {
		return err
	}
	fmt.Fprintln(s.cmd.OutOrStdout())
	return printRows(s.cmd, false, "CHANNEL\tAT\tLAG\tPRESENCE", row.Channels, func(r cursorRow) string {
		return fmt.Sprintf("%s\t%s:%d\t%s\t%t", printable(r.Channel), r.Epoch, r.Offset, lagText(r.Lag, r.LagAtLeast), r.Presence)
	})
}

func (s *sessions) list() error {
	query := url.Values{}
	for name, value := range map[string]string{"client": s.client, "channel": s.channel} {
		if value != "" {
			query.Set(name, value)
		}
	}
	rows, err := pages(query, s.limit, func(r sessionRow) string { return r.Session }, func(query url.Values) ([]sessionRow, bool, error) {
		var page struct {
			Sessions []sessionRow
			More     bool
		}
		err := s.ask(s.cmd.Context(), http.MethodGet, "/v1/sessions", query, nil, &page)
		return page.Sessions, page.More, err
	})
	if err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	return s.print(rows)
}

func (s *sessions) print(rows []sessionRow) error {
	return printRows(s.cmd, s.asJSON, "SESSION\tCLIENT\tTRANSPORT\tADDRESS\tSINCE\tCHANNELS\tLAG", rows, func(r sessionRow) string {
		since := time.UnixMilli(r.Started).Local().Format(time.DateTime)
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d\t%s", r.Session, firstOf(printable(r.Client), "-"), r.Transport, r.Address, since, r.Subscriptions, lagText(r.Lag, r.LagAtLeast))
	})
}

func lagText(lag int, atLeast bool) string {
	if atLeast {
		return fmt.Sprintf("≥%d", lag)
	}
	return strconv.Itoa(lag)
}
