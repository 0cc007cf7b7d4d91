package hub

import (
	"context"
	"slices"
	"strings"
)

// Lister is a Log that can say which channels it has. A hub whose log is none lists the channels that somebody follows.
type Lister interface {
	// Channels returns the names of an app's channels that begin with prefix and come after a name, in the order of their bytes, at most limit.
	// What it costs follows from limit and not from how many there are on disk. A channel may be there whose messages have all been removed.
	Channels(ctx context.Context, app, prefix, after string, limit int) ([]string, error)
	// Kept says how much is kept of a channel. What retention has not removed yet counts.
	Kept(ctx context.Context, ch Channel, keep Retention) (Kept, error)
}

// Kept is how much is kept of a channel.
type Kept struct {
	Messages uint64
	Bytes    uint64 // as counted by Message.Size
}

// ChannelInfo is a channel as it is just now.
type ChannelInfo struct {
	Name        string
	Head        Position
	Kept        Kept
	Subscribers int // sessions that follow it
	Members     int
}

// MaxChannels is how many channels Channels lists at once.
const MaxChannels = 1000

// lastReserved is after every name that begins with a control byte, and so is no client's, and before all others.
const lastReserved = "\x1f\xff"

// Channels lists the channels that begin with prefix and come after a name (action admin on all that begin so): those that somebody has published to
// and those that somebody follows. more says that there are others after the last.
func (h *Hub) Channels(ctx context.Context, g *Grant, prefix, after string, limit int) (page []ChannelInfo, more bool, err error) {
	if err := h.authoriseAdmin(g, prefix); err != nil {
		return nil, false, err
	}
	if limit < 1 || limit > MaxChannels {
		return nil, false, Errorf(CodeBadRequest, "limit is %d; it must be from 1 to %d", limit, MaxChannels)
	}
	after = max(after, lastReserved)
	names := h.registry.names(g.App, prefix, after)
	if l, ok := h.log.(Lister); ok {
		stored, err := l.Channels(ctx, g.App, prefix, after, limit+1)
		if err != nil {
			return nil, false, err
		}
		names = append(names, stored...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if more = len(names) > limit; more {
		names = names[:limit]
	}
	page = make([]ChannelInfo, len(names))
	for i, name := range names {
		ch := Channel{g.App, name}
		if page[i], err = h.channelInfo(ctx, ch, h.rule(ch)); err != nil {
			return nil, false, err
		}
	}
	return page, more, nil
}

// Channel says how a channel is just now (action admin). One that nobody has used is empty.
func (h *Hub) Channel(ctx context.Context, g *Grant, name string) (ChannelInfo, error) {
	ch, rule, err := h.authorise(g, ActionAdmin, name)
	if err != nil {
		return ChannelInfo{}, err
	}
	return h.channelInfo(ctx, ch, rule)
}

func (h *Hub) channelInfo(ctx context.Context, ch Channel, rule *Rule) (info ChannelInfo, err error) {
	info.Name = ch.Name
	if info.Head, err = h.log.Head(ctx, ch, rule.Keep); err != nil {
		return info, err
	}
	if l, ok := h.log.(Lister); ok {
		if info.Kept, err = l.Kept(ctx, ch, rule.Keep); err != nil {
			return info, err
		}
	}
	now := h.occupancy(ch)
	info.Subscribers, info.Members = now.Subscribers, now.Members
	return info, nil
}

// names returns the live channels of an app that begin with prefix and come after a name, in no order.
func (r *registry) names(app, prefix, after string) (names []string) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		for ch := range s.live {
			if ch.App == app && ch.Name > after && strings.HasPrefix(ch.Name, prefix) {
				names = append(names, ch.Name)
			}
		}
		s.mu.RUnlock()
	}
	return names
}

// Occupancy is how many follow a channel just now, and who is in it.
type Occupancy struct {
	Name        string
	Subscribers int // sessions that follow it
	Members     int
}

// Occupied lists the channels that begin with prefix and that somebody follows, by name (action admin on all that begin so). The log is not asked.
func (h *Hub) Occupied(g *Grant, prefix string) ([]Occupancy, error) {
	if err := h.authoriseAdmin(g, prefix); err != nil {
		return nil, err
	}
	names := h.registry.names(g.App, prefix, lastReserved)
	slices.Sort(names)
	all := make([]Occupancy, 0, len(names))
	for _, name := range names {
		if o := h.occupancy(Channel{g.App, name}); o.Subscribers > 0 {
			all = append(all, o)
		}
	}
	return all, nil
}

// Occupancy says it of one channel (action admin).
func (h *Hub) Occupancy(g *Grant, name string) (Occupancy, error) {
	ch, _, err := h.authorise(g, ActionAdmin, name)
	if err != nil {
		return Occupancy{}, err
	}
	return h.occupancy(ch), nil
}

func (h *Hub) occupancy(ch Channel) Occupancy {
	o := Occupancy{Name: ch.Name}
	if c, ok := h.presence.(MemberCounter); ok {
		o.Members = c.Count(ch)
	}
	if l := h.registry.find(ch); l != nil {
		o.Subscribers = int(l.crowd.Load())
	}
	return o
}
