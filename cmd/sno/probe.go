package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
)

// Exit codes of sno probe, as monitoring systems read them.
const (
	probeWarning  = 1
	probeCritical = 2
)

// probe is one run of sno probe.
type probe struct {
	credentials
	transports    []string
	channel       string
	warn, timeout time.Duration
	asJSON        bool
}

func newProbe() *cobra.Command {
	p := &probe{}
	c := &cobra.Command{
		Use:   "probe",
		Short: "Check from outside that a server does its work, step by step and on every transport",
		Long: `Connect, show the credential, subscribe, publish, receive, and resume after a position, on each transport, and say how long each step took. Made for the
health check of a container and for monitoring systems: the first line sums up, and the exit code says the rest: 0 all is well, 1 a transport failed or
a step was slower than --warn, 2 none works.

It publishes two messages of a few bytes for each transport to --channel. Resuming needs them to be stored: give the channel a rule that keeps little.`,
		Example: `  sno probe
  sno probe --transport websocket --timeout 3s
  sno probe --warn 200ms --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.run(c) },
	}
	p.flags(c)
	f := c.Flags()
	f.StringSliceVar(&p.transports, "transport", nil, "only these: websocket, stream, sse, poll (all unless given)")
	f.StringVar(&p.channel, "channel", "sno:probe", "the channel to publish to")
	f.DurationVar(&p.warn, "warn", 500*time.Millisecond, "a step that takes longer is slow")
	f.DurationVar(&p.timeout, "timeout", 10*time.Second, "how long each transport may take")
	f.BoolVar(&p.asJSON, "json", false, "the report as JSON")
	return c
}

func (p *probe) run(c *cobra.Command) error {
	o, err := p.options()
	if err != nil {
		return err
	}
	o.Logger = slog.New(slog.DiscardHandler)
	which := client.Transports()
	if len(p.transports) > 0 {
		which = nil
	}
	for _, name := range p.transports {
		t, err := client.ParseTransport(name)
		if err != nil || t == client.Auto {
			return usage("--transport %q: name websocket, stream, sse or poll", name)
		}
		which = append(which, t)
	}
	r := probeReport{Warn: p.warn.Milliseconds()}
	for _, t := range which {
		o.Transport = t
		r.Transports = append(r.Transports, p.probe(c.Context(), o))
	}
	r.sumUp()
	if err := r.print(c.OutOrStdout(), p.asJSON); err != nil {
		return err
	}
	if r.code != 0 {
		return &exitError{r.code, nil} // the report says it
	}
	return nil
}

// probing is what the steps on one transport have in common.
type probing struct {
	o        client.Options
	channel  string
	first    *client.Client
	resumed  *client.Client
	received chan client.Event
	ack      client.Ack // of the message that was published last
	dialled  chan error // the end of Dial
}

// probe takes the steps one after the other until one fails.
func (p *probe) probe(ctx context.Context, o client.Options) transportReport {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	on := &probing{o: o, channel: p.channel, received: make(chan client.Event, 100), dialled: make(chan error, 1)}
	defer on.close()
	report := transportReport{Transport: string(o.Transport)}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"connect", on.connect}, {"auth", on.auth}, {"subscribe", on.subscribe}, {"publish", on.publish}, {"receive", on.receive}, {"resume", on.resume},
	} {
		began := time.Now()
		err := step.do(ctx)
		s := stepReport{Step: step.name, Milliseconds: float64(time.Since(began).Microseconds()) / 1000}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("not done within %v", p.timeout)
		}
		if err != nil {
			s.Error = err.Error()
		}
		report.Steps = append(report.Steps, s)
		if err != nil {
			break
		}
	}
	return report
}

// close takes leave of the server, so that nothing is left of the probe but its messages.
func (p *probing) close() {
	for _, c := range []*client.Client{p.first, p.resumed} {
		if c != nil {
			_ = closeSoon(c) // what failed has been reported
		}
	}
}

// handle gives on what is of interest; a probe that has failed may have left nobody to take it.
func (p *probing) handle(e client.Event) {
	switch e.(type) {
	case *client.Message, *client.Reset, *client.Fault, *client.Ended:
		select {
		case p.received <- e:
		default:
		}
	}
}

// connect begins to dial, and waits until there is a connection to the server on which nothing has been said: TCP and, where it is used, TLS.
func (p *probing) connect(ctx context.Context) error {
	made := make(chan struct{})
	opened := sync.OnceFunc(func() { close(made) })
	o := p.o
	if strings.HasPrefix(o.URL, "https:") || strings.HasPrefix(o.URL, "wss:") {
		o.Trace = &httptrace.ClientTrace{TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				opened()
			}
		}}
	} else {
		o.Trace = &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { opened() }}
	}
	go func() {
		c, err := client.Dial(ctx, o)
		p.first = c // read by those who have received from dialled
		p.dialled <- err
	}()
	select {
	case <-made:
		return nil
	case err := <-p.dialled:
		p.dialled <- err
		select {
		case <-made: // at the same time: what has failed, if it has, is the next step
			return nil
		default:
			return err
		}
	}
}

// auth waits until the server has taken the credential and said welcome; what comes before on a transport, such as the handshake of a WebSocket, counts here.
func (p *probing) auth(context.Context) error { return <-p.dialled }

func (p *probing) subscribe(ctx context.Context) error {
	_, err := p.first.Subscribe(ctx, p.channel, client.SubscribeOptions{}, p.handle)
	return err
}

func (p *probing) publish(ctx context.Context) error { return p.publishBy(ctx, p.first) }

func (p *probing) publishBy(ctx context.Context, c *client.Client) (err error) {
	p.ack, err = c.Publish(ctx, client.Publication{Channel: p.channel, ID: "probe-" + rand.Text()})
	if err == nil && p.ack.Position == (hub.Position{}) {
		err = fmt.Errorf("channel %q does not store messages, so nobody can resume there: give it a rule with store = \"memory\" or \"disk\"", p.channel)
	}
	return err
}

// receive waits for the message that was published last. Those of other probes go by.
func (p *probing) receive(ctx context.Context) error {
	for {
		select {
		case e := <-p.received:
			switch e := e.(type) {
			case *client.Message:
				if e.ID == p.ack.ID {
					return nil
				}
			case *client.Reset:
				return fmt.Errorf("there was a reset (%s): the channel's rule keeps too little", e.Reason)
			case *client.Fault:
				return errors.New(e.Text)
			case *client.Ended:
				return e.Err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// resume goes on after the message that was received, on a connection of its own, when another one has been published.
func (p *probing) resume(ctx context.Context) (err error) {
	at := p.ack.Position
	if err = closeSoon(p.first); err != nil { // else its subscription would receive the message, too
		return err
	}
	p.first = nil
	for len(p.received) > 0 {
		<-p.received
	}
	if p.resumed, err = client.Dial(ctx, p.o); err != nil {
		return err
	}
	if err = p.publishBy(ctx, p.resumed); err != nil {
		return err
	}
	_, err = p.resumed.Subscribe(ctx, p.channel, client.SubscribeOptions{After: &at}, p.handle)
	if err != nil {
		return err
	}
	return p.receive(ctx)
}
