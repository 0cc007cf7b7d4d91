package native

import "github.com/snoserver/sno/internal/hub"

// Bounds of the token that goes with every frame: it comes back in a header line, of which proxies take 8 KiB with its name.
const (
	maxEventChannels   = 128
	maxEventTokenBytes = 7000
)

// cursors are where a client is in its channels when it has what was encoded so far: what a token for it says.
type cursors struct {
	at    hub.Cursors
	moved bool // since the last token
}

// follow takes note of what an event does to the cursors.
func (c *cursors) follow(e *hub.Event) {
	switch e.Kind {
	case hub.EventMessage, hub.EventSkip:
		if !e.Message.Ephemeral {
			c.move(e.Message.Channel.Name, func(at *hub.Cursor) { at.Position = e.Message.Position() })
		}
	case hub.EventReset:
		c.move(e.Channel, func(at *hub.Cursor) { at.Position = e.Detail.Position })
	case hub.EventMembers:
		c.move(e.Channel, func(at *hub.Cursor) { at.Version = e.Detail.Version })
	case hub.EventChange:
		c.move(e.Channel, func(at *hub.Cursor) { at.Version = e.Detail.Change.Version })
	case hub.EventUnsubscribed:
		c.remove(e.Channel)
	case hub.EventAnswer:
		if moves := e.Detail.Answer.(answer).moves; moves != nil {
			moves(c)
		}
	}
}

func (c *cursors) move(channel string, to func(*hub.Cursor)) {
	if at := c.at.Of(channel); at != nil {
		to(at)
		c.moved = true
	}
}

func (c *cursors) put(channel string, at hub.Cursor) {
	c.at.Put(channel, at)
	c.moved = true
}

func (c *cursors) remove(channel string) {
	c.at.Remove(channel)
	c.moved = true
}

// token is what a client comes back with. An error means that there are too many channels, which subscribing prevents.
func (c *cursors) token() (string, error) {
	c.moved = false
	return hub.EncodeCursors(c.at)
}

// fits checks that the token of a session that also followed channel would be short enough to go with every frame.
func fits(s *hub.Session, channel string) error {
	all := s.Cursors()
	all.Put(channel, hub.Cursor{Position: hub.Position{Offset: hub.MaxOffset}, Presence: true, Version: hub.MaxOffset})
	token, err := hub.EncodeCursors(all)
	if err == nil && len(token) > maxEventTokenBytes {
		err = hub.Errorf(hub.CodeLimit, "with this channel the cursor token that goes with every event would have %d bytes; the limit is %d. Follow fewer channels, or choose another transport", len(token), maxEventTokenBytes)
	}
	return err
}
