package client

import (
	"context"
	"encoding/json"

	"github.com/snoserver/sno/internal/hub"
)

// Query selects a page of history; at most one of After, Before, Last and Since. With none the page begins at the oldest message kept.
type Query struct {
	After  *hub.Position // after a position
	Before uint64        // the newest below this offset
	Last   int           // the newest so many
	Since  string        // since a time, as in SubscribeOptions
	Limit  int           // at most so many, up to 1,000; 0: the server's default of 100
}

// Page is a page of history, oldest message first.
type Page struct {
	Messages []*Message
	// More says that there are further messages in the page's direction.
	More bool
	// Head is the channel's newest position.
	Head hub.Position
	// Reset says why the position of After could not be honoured; otherwise empty.
	Reset hub.Reset
}

// History reads a page of a channel.
func (c *Client) History(ctx context.Context, channel string, q Query) (Page, error) {
	f, err := c.call(ctx, request{
		Type: "history", Channel: channel, position: wirePosition(q.After), Before: q.Before, Last: q.Last, Since: q.Since, Limit: q.Limit,
	}, nil)
	if err != nil {
		return Page{}, err
	}
	page := Page{More: f.More, Head: hub.Position{Epoch: f.Head.Epoch, Offset: f.Head.Offset}, Reset: hub.Reset(f.Reset)}
	for i := range f.Messages {
		f.Messages[i].Channel = channel
		m, err := f.Messages[i].message()
		if err != nil {
			return Page{}, err
		}
		page.Messages = append(page.Messages, m)
	}
	return page, nil
}

// Members returns who is in a channel and the version of that.
func (c *Client) Members(ctx context.Context, channel string) ([]Member, uint64, error) {
	f, err := c.call(ctx, request{Type: "presence", Channel: channel}, nil)
	if err != nil {
		return nil, 0, err
	}
	return f.Members, f.Version, nil
}

type memberKey struct{ channel, member string }

// Enter makes this client stand for a member of a channel, also after reconnects, until Leave. Again with other data: update. member is for backends and
// anonymous clients; others leave it empty and enter as their grant's client id. data is one JSON value or nil.
func (c *Client) Enter(ctx context.Context, channel, member string, data json.RawMessage) error {
	if data != nil && !json.Valid(data) {
		return hub.Errorf(hub.CodeBadRequest, "data must be one JSON value, not %q", clip(data))
	}
	r := request{Type: "enter", Channel: channel, Member: member}
	if _, err := c.call(ctx, r, data); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members[memberKey{channel, member}] = data
	return nil
}

// enterFrame encodes what makes this client a member again on a new connection. Client.mu is held.
func (c *Client) enterFrame(key memberKey, data json.RawMessage) []byte {
	c.lastRef++
	c.entering[c.lastRef] = key
	r := request{Type: "enter", Ref: c.lastRef, Channel: key.channel, Member: key.member}
	return r.encode(data)
}

// memberships encodes all that this client stands for, for a transport that has to say it again and again. Nothing is answered to it but a refusal.
func (c *Client) memberships() (frames [][]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, data := range c.members {
		r := request{Type: "enter", Channel: key.channel, Member: key.member}
		frames = append(frames, r.encode(data))
	}
	return frames
}

// enterFailed handles the refusal of a membership on a new connection, and says whether it was one.
func (c *Client) enterFailed(f *frame) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, ok := c.entering[f.Ref]
	delete(c.entering, f.Ref)
	if ok && !worthRetry(f.err()) {
		delete(c.members, key)
		c.o.Logger.Warn("this client is no member any more", "channel", key.channel, "member", key.member, "code", f.Code.String(), "text", f.Text)
	}
	return ok
}

// Leave ends what Enter with the same member began.
func (c *Client) Leave(ctx context.Context, channel, member string) error {
	c.mu.Lock()
	delete(c.members, memberKey{channel, member})
	c.mu.Unlock()
	_, err := c.call(ctx, request{Type: "leave", Channel: channel, Member: member}, nil)
	return err
}

// Cursor returns a cursor token for the positions of all subscriptions, as of what was received before it.
func (c *Client) Cursor(ctx context.Context) (string, error) {
	f, err := c.call(ctx, request{Type: "cursor"}, nil)
	if err != nil {
		return "", err
	}
	return f.Cursor, nil
}

// Ping asks the server for a sign of life.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.call(ctx, request{Type: "ping"}, nil)
	return err
}
