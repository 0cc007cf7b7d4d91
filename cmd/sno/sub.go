package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
)

// subscriber is one run of sno sub.
type subscriber struct {
	connection
	since            string
	last, count      int
	asJSON, presence bool
	cmd              *cobra.Command
	out              *output
	printed          int // of the client's reading goroutine
	finish           context.CancelCauseFunc
}

// errEnough ends a run that has printed --count messages.
var errEnough = errors.New("enough")

func newSub() *cobra.Command {
	s := &subscriber{}
	c := &cobra.Command{
		Use:   "sub CHANNEL…",
		Short: "Print the messages of channels as they come",
		Long: `Print the messages of channels as they come, in order and without a gap: a lost connection is made again and reading goes on where it was.

Without --since and --last it begins with what is published from now on. What could not be had is said on stderr (and as a line
{"reset":…} with --json).

With --json each message is one line: channel, id, event, data (or base64), client, headers, time, epoch, offset, prev.`,
		Example: `  sno sub chat:1
  sno sub chat:1 chat:2 --last 10
  sno sub chat:1 --since 10m --json
  sno sub chat:1 --since k3x9:1207 --count 100 --json    # after a position`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, channels []string) error {
			s.cmd = c
			return s.run(channels)
		},
	}
	s.flags(c)
	f := c.Flags()
	f.StringVar(&s.since, "since", "", `begin there: a duration back ("10m", "2d"), a time (RFC 3339, or milliseconds), or a position epoch:offset`)
	f.IntVar(&s.last, "last", 0, "begin with the newest so many messages")
	f.IntVar(&s.count, "count", 0, "end after so many messages")
	f.BoolVar(&s.asJSON, "json", false, "one line of JSON per message")
	f.BoolVar(&s.presence, "presence", false, "also print who enters and leaves")
	return c
}

func (s *subscriber) begin(channels []string) (client.SubscribeOptions, error) {
	o := client.SubscribeOptions{Last: s.last, Presence: s.presence}
	position, isPosition := parsePosition(s.since)
	switch {
	case s.since != "" && s.last != 0:
		return o, usage("--since and --last are two places to begin; give one")
	case s.last < 0 || s.count < 0:
		return o, usage("--last and --count are numbers of messages, not negative")
	case isPosition && len(channels) > 1:
		return o, usage("--since %s is a position in one channel, but there are %d; subscribe to each on its own", s.since, len(channels))
	case isPosition:
		o.After = &position
	default:
		o.Since = s.since
	}
	return o, nil
}

func (s *subscriber) run(channels []string) error {
	o, err := s.begin(channels)
	if err != nil {
		return err
	}
	cl, err := s.dial(s.cmd)
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, s.finish = context.WithCancelCause(s.cmd.Context())
	defer s.finish(nil)
	s.out = newOutput(s.cmd.OutOrStdout())
	err = s.follow(ctx, cl, channels, o)
	_ = closeSoon(cl) // it has nothing under way that matters
	return errors.Join(err, s.out.close())
}

// follow prints until the count is reached, the user interrupts, or something fails.
func (s *subscriber) follow(ctx context.Context, cl *client.Client, channels []string, o client.SubscribeOptions) error {
	for _, channel := range channels {
		_, err := cl.Subscribe(ctx, channel, o, func(e client.Event) { s.handle(channel, e) })
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("subscribe to %q: %w", channel, err)
		}
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, errEnough) && s.cmd.Context().Err() == nil {
		return cause
	}
	return nil
}

func (s *subscriber) handle(channel string, e client.Event) {
	switch e := e.(type) {
	case *client.Message:
		s.message(e)
	case *client.Joined:
		s.say("subscribed to %s at %s", channel, e.Position)
	case *client.Reset:
		s.say("%s: reset (%s), messages may be missing before %s", channel, e.Reason, e.Position)
		if s.asJSON {
			s.print(jsonLine(resetLine{resetFields{channel, e.Reason, e.Position.Epoch, e.Position.Offset}}))
		}
	case *client.Presence:
		if s.asJSON {
			s.print(jsonLine(presenceOf(channel, e)))
		} else {
			s.print(presenceText(channel, e))
		}
	case *client.Fault:
		s.finish(fmt.Errorf("the server broke its promise: %s", e.Text))
	case *client.Ended:
		s.finish(fmt.Errorf("the subscription to %q has ended: %w", channel, e.Err))
	}
}

func (s *subscriber) message(m *client.Message) {
	if s.count > 0 && s.printed == s.count {
		return // the run is ending
	}
	if s.asJSON {
		s.print(messageJSON(m))
	} else {
		s.print(messageText(m))
	}
	if s.printed++; s.printed == s.count {
		s.finish(errEnough)
	}
}

func (s *subscriber) print(line []byte) {
	if err := s.out.write(line); err != nil {
		s.finish(fmt.Errorf("stdout: %w", err))
	}
}

func (s *subscriber) say(format string, args ...any) {
	fmt.Fprintf(s.cmd.ErrOrStderr(), "sno: "+format+"\n", args...)
}
