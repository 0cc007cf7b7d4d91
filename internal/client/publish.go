package client

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/snoserver/sno/internal/hub"
)

// Publication is a message to be published.
type Publication struct {
	Channel string
	// ID is the message id; the client makes one where it is empty. Publishing the same id again has no effect.
	ID    string
	Event string
	// Data is one JSON value, kept byte for byte (nil: null), or any bytes when Binary.
	Data    []byte
	Binary  bool
	Headers map[string]string
	// Ephemeral messages are not stored and are sent at most once.
	Ephemeral bool
	// NoEcho keeps the message from this client's own subscription, which gets a *Skip.
	NoEcho bool
	// Expect, if set, is where the channel's newest message must be; else the error has hub.CodeConflict.
	Expect *hub.Position
}

// Ack says where a message was stored.
type Ack struct {
	ID string
	// Position and Prev are zero for ephemeral messages. For a Duplicate they are those of the first message with the id.
	Position  hub.Position
	Prev      uint64
	Duplicate bool
}

// Publish publishes a message and waits until it is stored as the channel's rule demands, through as many connections as it takes and also
// while the server is overloaded or its disk is full. When ctx
// ends first the message is not taken back: it may still be published; publishing again with the same ID is safe.
// The error is a *hub.Error when the server refused for good.
func (c *Client) Publish(ctx context.Context, p Publication) (Ack, error) {
	type result struct {
		ack Ack
		err error
	}
	got := make(chan result, 1)
	if err := c.PublishAsync(ctx, p, func(a Ack, err error) { got <- result{a, err} }); err != nil {
		return Ack{}, err
	}
	select {
	case r := <-got:
		return r.ack, r.err
	case <-ctx.Done():
		return Ack{}, ctx.Err()
	}
}

// PublishAsync puts a message on its way and calls done once, from the client's reading goroutine, when it is stored or refused. It blocks while
// the window is full. When it returns an error nothing was sent and done is not called. ctx bounds only the wait for the window.
func (c *Client) PublishAsync(ctx context.Context, p Publication, done func(Ack, error)) error {
	r := request{
		Type: "publish", Channel: p.Channel, ID: p.ID, Event: p.Event, Headers: p.Headers,
		Ephemeral: p.Ephemeral, Ordered: !p.Ephemeral, Expect: wirePosition(p.Expect),
	}
	if p.NoEcho {
		r.Echo = new(bool)
	}
	data := p.Data
	switch {
	case p.Binary:
		s := base64.StdEncoding.EncodeToString(p.Data)
		r.Base64, data = &s, nil
	case data != nil && !json.Valid(data):
		return hub.Errorf(hub.CodeBadRequest, "data must be one JSON value, not %q; say Binary for other bytes", clip(data))
	}
	return c.enqueue(ctx, &pending{once: p.Ephemeral, retry: true, ordered: r.Ordered, done: publishDone(p.Channel, done)}, &r, data)
}

func publishDone(channel string, done func(Ack, error)) func(*frame, error) {
	return func(f *frame, err error) {
		switch {
		case err != nil:
			done(Ack{}, err)
		case f.Type != "published":
			done(Ack{}, fmt.Errorf("publish to %q: the server answered %q", channel, f.Type))
		default:
			done(Ack{ID: f.ID, Position: f.position(), Prev: f.Prev, Duplicate: f.Duplicate}, nil)
		}
	}
}
