package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// publisher is one run of sno pub.
type publisher struct {
	connection
	event, id, file             string
	headers                     []string
	ephemeral, binary, text     bool
	asJSON                      bool
	cmd                         *cobra.Command
	out                         *output
	base                        client.Publication // what the flags say of every message
	mu                          sync.Mutex
	acked, duplicates, failures int
	only                        client.Ack // the last acknowledgement, for the summary of one
}

func newPub() *cobra.Command {
	p := &publisher{}
	c := &cobra.Command{
		Use:   "pub CHANNEL [DATA]",
		Short: "Publish messages",
		Long: `Publish DATA, or, without it, every line of stdin as a message. What is valid JSON is sent as such, anything else as a string.

Lines are published in their order, many at a time. When the connection is lost or the server restarts, what was not acknowledged is sent again
with the same ids, so that nothing is lost or doubled. The exit code is 0 only when every message was acknowledged.

With --json each line of stdin is an object {"data":…} or {"base64":…}, with "id", "event" and "headers" where wanted (lines of "sno sub --json" will do),
and each acknowledgement is printed as one line: channel, id, epoch, offset, prev, and duplicate for an id that was there before.

With --id and stdin the messages get the ids ID-1, ID-2, …, by line: publishing the same file again with the same --id adds only what was missing.`,
		Example: `  sno pub chat:1 hello
  sno pub chat:1 '{"text":"hi"}' --event said --id m-17 --header lang=en
  seq 1000 | sno pub numbers
  echo '{"event":"said","data":{"text":"hi"},"id":"m-18"}' | sno pub chat:1 --json
  sno pub files --file logo.png --event logo
  sno history chat:1 --json | sno pub chat:copy --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			p.cmd = c
			return p.run(args)
		},
	}
	p.flags(c)
	f := c.Flags()
	f.StringVar(&p.event, "event", "", "the messages' event")
	f.StringVar(&p.id, "id", "", "the message's id; for lines of stdin, what their ids begin with")
	f.StringArrayVar(&p.headers, "header", nil, "NAME=VALUE; may be given several times")
	f.BoolVar(&p.ephemeral, "ephemeral", false, "do not store: only for those who are there now, and sent at most once")
	f.BoolVar(&p.binary, "base64", false, "DATA and lines are base64 of binary data")
	f.BoolVar(&p.text, "text", false, "send strings, even where DATA or a line is valid JSON")
	f.StringVar(&p.file, "file", "", "publish the bytes of a file as one binary message")
	f.BoolVar(&p.asJSON, "json", false, "read lines of JSON, print acknowledgements as lines of JSON")
	c.MarkFlagsMutuallyExclusive("base64", "text", "file")
	return c
}

func (p *publisher) run(args []string) error {
	if err := p.prepare(args[0]); err != nil {
		return err
	}
	next, err := p.source(args[1:])
	if err != nil {
		return err
	}
	cl, err := p.dial(p.cmd)
	if err != nil {
		return err
	}
	p.out = newOutput(p.cmd.OutOrStdout())
	began := time.Now()
	err = p.publish(p.cmd.Context(), cl, next)
	err = errors.Join(err, p.flush(cl), p.out.close())
	p.summary(args[0], time.Since(began))
	if err == nil && p.failures > 0 {
		err = &exitError{exitFailed, nil} // each was told when it happened
	}
	return err
}

func (p *publisher) prepare(channel string) error {
	p.base = client.Publication{Channel: channel, Event: p.event, Ephemeral: p.ephemeral}
	for _, h := range p.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok || name == "" {
			return usage("--header %q: need NAME=VALUE", h)
		}
		if p.base.Headers == nil {
			p.base.Headers = map[string]string{}
		}
		p.base.Headers[name] = value
	}
	return nil
}

// source gives where the messages come from: --file, DATA, or stdin. The function returns io.EOF after the last one; another error that is a
// *lineError is of one line only.
func (p *publisher) source(data []string) (func() (client.Publication, error), error) {
	if p.file == "" && len(data) == 0 {
		return newLines(p.cmd.InOrStdin(), p).next, nil
	}
	if p.file != "" && len(data) > 0 {
		return nil, usage("both DATA and --file; give one")
	}
	one := p.base
	one.ID = p.id
	var err error
	if p.file != "" {
		one.Binary = true
		one.Data, err = os.ReadFile(p.file)
	} else {
		err = p.setData(&one, []byte(data[0]))
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	sent := false
	return func() (client.Publication, error) {
		if sent {
			return client.Publication{}, io.EOF
		}
		sent = true
		return one, nil
	}, nil
}

// publish sends what next gives until it ends or the user interrupts. Reading goes on while a read of stdin waits, so it has a goroutine of its own.
func (p *publisher) publish(ctx context.Context, cl *client.Client, next func() (client.Publication, error)) error {
	type read struct {
		publication client.Publication
		err         error
	}
	reads := make(chan read)
	go func() {
		for {
			publication, err := next()
			select {
			case reads <- read{publication, err}:
			case <-ctx.Done():
				return
			}
			if _, line := errors.AsType[*lineError](err); err != nil && !line {
				return
			}
		}
	}()
	for {
		select {
		case r := <-reads:
			if err := p.send(ctx, cl, r.publication, r.err); err != nil && ctx.Err() == nil {
				return ignoreEOF(err)
			}
		case <-ctx.Done():
			return errors.New("interrupted")
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// send puts one message on its way. An error ends the run.
func (p *publisher) send(ctx context.Context, cl *client.Client, publication client.Publication, err error) error {
	line, ofLine := errors.AsType[*lineError](err)
	switch {
	case ofLine:
		p.failed(line)
		return nil
	case err != nil:
		return err
	}
	err = cl.PublishAsync(ctx, publication, func(a client.Ack, err error) { p.done(publication, a, err) })
	if _, refused := errors.AsType[*hub.Error](err); refused && cl.Err() == nil {
		p.failed(fmt.Errorf("publish to %q: %w", publication.Channel, err))
		return nil
	}
	return err
}

// ackLine is an acknowledgement as --json prints it.
type ackLine struct {
	Channel   string `json:"channel"`
	ID        string `json:"id,omitempty"`
	Epoch     string `json:"epoch,omitempty"`
	Offset    uint64 `json:"offset,omitempty"`
	Prev      uint64 `json:"prev"`
	Duplicate bool   `json:"duplicate,omitempty"`
	Ephemeral bool   `json:"ephemeral,omitempty"`
}

func (p *publisher) done(publication client.Publication, a client.Ack, err error) {
	if err != nil {
		p.failed(fmt.Errorf("publish to %q: %w", publication.Channel, err))
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.acked++
	p.only = a
	if a.Duplicate {
		p.duplicates++
	}
	if p.asJSON {
		// An error shows again when the output is closed.
		_ = p.out.write(jsonLine(ackLine{publication.Channel, a.ID, a.Position.Epoch, a.Position.Offset, a.Prev, a.Duplicate, publication.Ephemeral}))
	}
}

// shownFailures is how many failures are told one by one.
const shownFailures = 20

func (p *publisher) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failures++; p.failures <= shownFailures {
		fmt.Fprintln(p.cmd.ErrOrStderr(), "sno:", err)
	}
}

// flush waits until everything is acknowledged: as long as it takes, but after an interrupt only for a moment.
func (p *publisher) flush(cl *client.Client) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := context.AfterFunc(p.cmd.Context(), func() { time.AfterFunc(closeTimeout, cancel) })
	defer stop()
	err := cl.Close(ctx)
	if lost := cl.Err(); lost != nil && !errors.Is(lost, client.ErrClosed) {
		err = lost
	}
	return err
}

func (p *publisher) summary(channel string, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.cmd.ErrOrStderr()
	switch {
	case p.asJSON && p.failures == 0:
	case p.acked == 1 && p.failures == 0 && p.ephemeral:
		fmt.Fprintf(w, "published to %s, not stored\n", channel)
	case p.acked == 1 && p.failures == 0 && p.duplicates == 1:
		fmt.Fprintf(w, "%s was published to %s before, at %s\n", p.only.ID, channel, p.only.Position)
	case p.acked == 1 && p.failures == 0:
		fmt.Fprintf(w, "published %s to %s at %s\n", p.only.ID, channel, p.only.Position)
	default:
		fmt.Fprintf(w, "published %d messages to %s in %s: %d of them were there before, %d failed\n",
			p.acked, channel, took.Round(time.Millisecond), p.duplicates, p.failures)
	}
}

// setData makes text a message's data as the flags say.
func (p *publisher) setData(m *client.Publication, text []byte) error {
	if p.binary {
		data, err := base64.StdEncoding.DecodeString(string(text))
		if err != nil {
			return fmt.Errorf("--base64: %w", err)
		}
		m.Data, m.Binary = data, true
		return nil
	}
	data, err := textData(text, p.text)
	m.Data = data
	return err
}
