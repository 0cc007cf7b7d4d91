package verify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/snoserver/sno/internal/client"
	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/latency"
)

// Options of a run.
type Options struct {
	// Client says where the server is and as whom to connect: with publish, subscribe and history on Prefix + "*".
	Client client.Options
	// Publishers, Subscribers and Channels are at least 1. Each subscriber reads every channel, each publisher publishes to one after the other.
	Publishers, Subscribers, Channels int
	// Duration is how long to publish.
	Duration time.Duration
	// Rate is how many messages are published per second by all publishers together; 0: as many as are acknowledged.
	Rate int
	// Size is how many bytes of data a message has, at least about 30.
	Size int
	// Prefix begins the names of the channels, which must be kept on disk and long enough; "verify:" by default.
	Prefix string
	// Drop is how often each subscriber breaks its own connection; 0: never.
	Drop time.Duration
	// Timeout bounds the wait for the last acknowledgements and messages, and for the history.
	Timeout time.Duration
	// Progress, if set, is called every second.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Elapsed      time.Duration
	Acknowledged int64
	Received     int64
	Reconnects   int64
}

// Result is what a run has measured.
type Result struct {
	OK bool `json:"ok"`
	Report
	// Channels are the names of the channels.
	Channels []string `json:"channels"`
	// Refused counts publishes that the server refused for good, and Refusal is the last reason. They are no broken promises.
	Refused int    `json:"refused"`
	Refusal string `json:"refusal,omitempty"`
	// Unanswered counts publishes without an answer at the end.
	Unanswered int `json:"unanswered"`
	// Faults counts what readers could not make sense of.
	Faults     int   `json:"faults"`
	Reconnects int64 `json:"reconnects"`
	// Seconds is how long was published, until the last acknowledgement.
	Seconds float64 `json:"seconds"`
	// AckedPerSecond and ReceivedPerSecond are averages over Seconds.
	AckedPerSecond    float64 `json:"acknowledged_per_second"`
	ReceivedPerSecond float64 `json:"received_per_second"`
	// AckLatency is from the moment a publisher had the message until its acknowledgement, DeliveryLatency until a subscriber had it. Both count
	// waiting for the window and for a server that is away.
	AckLatency      latency.Percentiles `json:"ack_latency_ms"`
	DeliveryLatency latency.Percentiles `json:"delivery_latency_ms"`
	// Behind names the readers that had not reached the end when the timeout had passed.
	Behind []string `json:"behind,omitempty"`
}

// runner is one run.
type runner struct {
	o        Options
	channels []string
	began    time.Time
	reached  bool // the server was there

	acked, received, reconnects atomic.Int64
}

// Run publishes and reads for a while, waits until everything has arrived, and checks. When ctx ends it stops publishing early and checks all the same.
// An error means that the promises could not be checked; broken promises are in the Result.
func Run(ctx context.Context, o Options) (Result, error) {
	r := &runner{o: o, began: time.Now()}
	if o.Publishers < 1 || o.Subscribers < 1 || o.Channels < 1 || o.Duration <= 0 || o.Rate < 0 {
		return Result{}, errors.New("need at least one publisher, subscriber and channel, a duration above 0 and a rate that is not negative")
	}
	random := make([]byte, 4)
	_, _ = rand.Read(random) // crypto/rand does not fail
	run := hex.EncodeToString(random)
	for i := range o.Channels {
		r.channels = append(r.channels, fmt.Sprintf("%s%s:%d", o.Prefix, run, i))
	}
	r.o.Client.OnState = func(s client.State, _ error) {
		if s == client.StateConnecting {
			r.reconnects.Add(1)
		}
	}
	stop := r.progress()
	defer stop()
	return r.run(ctx)
}

func (r *runner) run(ctx context.Context) (Result, error) {
	readers, err := r.startReaders(ctx)
	defer closeReaders(readers)
	if err != nil {
		return Result{}, err
	}
	publishers, err := r.startPublishers(ctx)
	defer closePublishers(publishers)
	if err != nil {
		return Result{}, err
	}
	r.publish(ctx, publishers)
	published := time.Since(r.began)

	// What is left has its own time: an operator who has ended the publishing wants to know what came of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.o.Timeout)
	defer cancel()
	behind, err := r.drain(ctx, readers)
	if err != nil {
		return Result{}, err
	}
	closeReaders(readers) // before history is read: what they got after it would look as if it had not been stored
	histories, err := r.histories()
	if err != nil {
		return Result{}, err
	}
	return r.result(published, publishers, readers, histories, behind)
}

// publish runs the publishers until the time is over and what they sent is answered.
func (r *runner) publish(ctx context.Context, publishers []*publisher) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Duration)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range publishers {
		all.Go(func() {
			p.run(ctx)
			p.flush(r.o.Timeout)
		})
	}
	all.Wait()
}

// drain waits until every reader has reached the end of its channels. It names those that did not in time.
func (r *runner) drain(ctx context.Context, readers []*reader) (behind []string, err error) {
	heads, err := r.heads(ctx)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		behind = behind[:0]
		for _, reader := range readers {
			behind = append(behind, reader.behind(heads)...)
		}
		if len(behind) == 0 {
			return nil, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return behind, nil
		}
	}
}

// heads asks where the channels end.
func (r *runner) heads(ctx context.Context) (map[string]hub.Position, error) {
	cl, err := r.dial(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("the server cannot be reached at the end: %w", err)
	}
	defer closeNow(cl)
	heads := map[string]hub.Position{}
	for _, name := range r.channels {
		page, err := cl.History(ctx, name, client.Query{Last: 1, Limit: 1})
		if err != nil {
			return nil, fmt.Errorf("history of %q at the end: %w", name, err)
		}
		heads[name] = page.Head
	}
	return heads, nil
}

// histories reads what the channels hold.
func (r *runner) histories() ([]Channel, error) {
	ctx, cancel := context.WithTimeout(context.Background(), r.o.Timeout)
	defer cancel()
	cl, err := r.dial(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("the server cannot be reached at the end: %w", err)
	}
	defer closeNow(cl)
	var all []Channel
	for _, name := range r.channels {
		c, err := history(ctx, cl, name)
		if err != nil {
			return nil, fmt.Errorf("history of %q at the end: %w", name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func history(ctx context.Context, cl *client.Client, name string) (Channel, error) {
	c := Channel{Name: name}
	q := client.Query{Limit: 1000}
	for {
		page, err := cl.History(ctx, name, q)
		if err != nil {
			return c, err
		}
		if page.Reset != "" {
			c.Events = nil // retention was faster than we: what is left begins here
		}
		c.Head = page.Head
		for _, m := range page.Messages {
			c.Events = append(c.Events, EventOf(m))
		}
		if !page.More || len(page.Messages) == 0 {
			return c, nil
		}
		after := page.Messages[len(page.Messages)-1].Position
		q = client.Query{After: &after, Limit: 1000}
	}
}

// dial connects with patience, for the operator may be restarting the server just now; but not for the first time: a server
// that is not there at the beginning is a wrong address.
func (r *runner) dial(ctx context.Context, window int) (*client.Client, error) {
	o := r.o.Client
	o.Window = window
	o.Wait = o.Wait || r.reached
	cl, err := client.Dial(ctx, o)
	r.reached = r.reached || err == nil
	return cl, err
}

// closeNow closes a client that has nothing under way that matters.
func closeNow(cl *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = cl.Close(ctx)
}

// progress reports every second until it is stopped.
func (r *runner) progress() (stop func()) {
	if r.o.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.o.Progress(Progress{time.Since(r.began), r.acked.Load(), r.received.Load(), r.reconnects.Load()})
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// result puts together what everybody recorded and judges it.
func (r *runner) result(published time.Duration, publishers []*publisher, readers []*reader, histories []Channel, behind []string) (Result, error) {
	res := Result{Channels: r.channels, Behind: behind, Reconnects: r.reconnects.Load(), Seconds: published.Seconds()}
	record := Record{Channels: histories}
	var acks, deliveries latency.Histogram
	for _, p := range publishers {
		p.report(&record, &res)
		acks.Merge(&p.times)
	}
	for _, reader := range readers {
		record.Readers = append(record.Readers, reader.records()...)
		res.Faults += reader.faults
		deliveries.Merge(&reader.times)
	}
	if len(record.Acked) == 0 {
		return res, fmt.Errorf("nothing was acknowledged, so there is nothing to check: %s", firstOf(res.Refusal, "no publish was answered"))
	}
	res.Report = Check(record)
	res.OK = res.Report.OK() && res.Faults == 0
	res.AckedPerSecond = float64(res.Acked) / res.Seconds
	res.ReceivedPerSecond = float64(res.Received) / res.Seconds
	res.AckLatency, res.DeliveryLatency = acks.Percentiles(), deliveries.Percentiles()
	return res, nil
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
