package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snoserver/sno/internal/client"
)

const (
	calmChannel = "calm"
	beat        = 20 * time.Millisecond
	// soon is within what a bystander hears a message, on a machine of two processors with race detection on. It is time with a processor: see processor.
	soon = 3 * time.Second
)

// bystander follows the calm channel by one transport. Its messages are numbered from 1 and carry the time of their sending.
type bystander struct {
	transport string
	seen      atomic.Int64
	slowest   atomic.Int64 // nanoseconds
	processor *processor
	fault     atomic.Pointer[string]
}

func (b *bystander) fail(format string, args ...any) {
	text := b.transport + ": " + fmt.Sprintf(format, args...)
	b.fault.CompareAndSwap(nil, &text)
}

// take checks the data of the next message: number, time, and the account of the processor by then.
func (b *bystander) take(data string) {
	var n, sent, run, wait int64
	if _, err := fmt.Sscan(data, &n, &sent, &run, &wait); err != nil {
		b.fail("%q: %v", data, err)
		return
	}
	if want := b.seen.Load() + 1; n != want {
		b.fail("message %d came where %d was next", n, want)
	}
	b.seen.Store(n)
	if took := b.processor.own(time.Duration(time.Now().UnixNano()-sent), run, wait).Nanoseconds(); took > b.slowest.Load() {
		b.slowest.Store(took)
	}
}

// frames takes what a transport brings: a frame, or an array of them.
func (b *bystander) frames(text []byte) (cursor string) {
	type frame struct{ Type, Channel, Cursor, Data, Text string }
	var all []frame
	var err error
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("[")) {
		err = json.Unmarshal(text, &all)
	} else {
		all = make([]frame, 1)
		err = json.Unmarshal(text, &all[0])
	}
	if err != nil {
		b.fail("%v: %.100s", err, text)
	}
	for _, f := range all {
		switch f.Type {
		case "message":
			b.take(f.Data)
		case "error", "reset", "unsubscribed":
			b.fail("%s: %s", f.Type, f.Text)
		case "cursor":
			cursor = f.Cursor
		}
	}
	return cursor
}

// calm is a channel with its publisher and its followers.
type calm struct {
	all       []*bystander
	sent      atomic.Int64
	processor processor
}

// newCalm starts to publish, and bystanders on every transport. They end before the server does.
func newCalm(t *testing.T, url string) *calm {
	t.Helper()
	c := &calm{}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	running.Go(func() { c.processor.watch(ctx) })
	for transport, follow := range map[string]func(context.Context, string, *bystander) error{
		"websocket": followWebSocket, "stream": followLines, "sse": followLines, "poll": followPolls,
	} {
		b := &bystander{transport: transport, processor: &c.processor}
		c.all = append(c.all, b)
		running.Go(func() {
			if err := follow(ctx, url, b); ctx.Err() == nil {
				b.fail("it ended: %v", err)
			}
		})
	}
	running.Go(func() {
		if err := c.publish(ctx, url); ctx.Err() == nil {
			t.Errorf("the publisher of the calm channel ended: %v", err)
		}
	})
	return c
}

func (c *calm) publish(ctx context.Context, url string) error {
	p, err := client.Dial(ctx, client.Options{URL: url, Key: "dev", Secret: secret})
	if err != nil {
		return err
	}
	defer p.Close(context.Background())
	for tick := time.NewTicker(beat); ; {
		select {
		case <-tick.C:
			n := c.sent.Load() + 1
			if _, err := p.Publish(ctx, client.Publication{Channel: calmChannel, Data: fmt.Appendf(nil, `"%d %d %d %d"`, n, time.Now().UnixNano(), c.processor.run.Load(), c.processor.wait.Load())}); err != nil {
				return err
			}
			c.sent.Store(n)
		case <-ctx.Done():
			return nil
		}
	}
}

// check waits until every bystander has what was sent by now.
func (c *calm) check(t *testing.T) {
	t.Helper()
	sent := c.sent.Load()
	for _, b := range c.all {
		eventually(t, b.transport+" bystander is up to date", func() bool { return b.seen.Load() >= sent || b.fault.Load() != nil })
		if fault := b.fault.Load(); fault != nil {
			t.Fatal(*fault)
		}
		if took := time.Duration(b.slowest.Swap(0)); took > soon {
			t.Errorf("%s: a bystander waited %v for a message, with a processor to run on", b.transport, took)
		}
	}
}

func followWebSocket(ctx context.Context, url string, b *bystander) error {
	c, err := client.Dial(ctx, client.Options{URL: url, Key: "dev", Secret: secret})
	if err != nil {
		return err
	}
	defer c.Close(context.Background())
	_, err = c.Subscribe(ctx, calmChannel, client.SubscribeOptions{Since: "1h"}, func(e client.Event) {
		switch e := e.(type) {
		case *client.Message:
			var data string
			if err := json.Unmarshal(e.Data, &data); err != nil {
				b.fail("%v", err)
			}
			b.take(data)
		case *client.Fault:
			b.fail("%s", e.Text)
		case *client.Reset:
			b.fail("a reset")
		}
	})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-c.Done():
		return c.Err()
	}
}

// get opens a GET of a path whose answer is read by the caller.
func get(ctx context.Context, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return httpClient.Do(req)
}

func followLines(ctx context.Context, url string, b *bystander) error {
	res, err := get(ctx, url+"/v1/"+b.transport+"?since=1h&channel="+calmChannel)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for lines := bufio.NewReader(res.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		if b.transport == "sse" {
			var is bool
			if line, is = bytes.CutPrefix(line, []byte("data: ")); !is {
				continue
			}
		}
		b.frames(line)
	}
}

func followPolls(ctx context.Context, url string, b *bystander) error {
	query := "since=1h&channel=" + calmChannel
	for {
		res, err := get(ctx, url+"/v1/poll?"+query)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s, %w: %.200s", res.Status, err, body)
		}
		query = "cursor=" + b.frames(body)
	}
}
