package local

import (
	"context"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

var _ hub.Lister = (*Log)(nil)

// Channels implements hub.Lister. Channels on disk are found by their keys, which are in the order of their names; those in memory are all looked at.
func (l *Log) Channels(ctx context.Context, app, prefix, after string, limit int) (names []string, err error) {
	if limit < 1 {
		return nil, hub.Errorf(hub.CodeBadRequest, "limit is %d; a page has at least 1 channel", limit)
	}
	err = l.reading(ctx, func(in *instance) error {
		names, err = in.channels(app, prefix, after, limit)
		return in.readError("list the channels of "+app, err)
	})
	if err != nil {
		return nil, err
	}
	for _, m := range l.memory {
		names = append(names, m.names(app, prefix, after)...)
	}
	slices.Sort(names) // a channel whose rule has changed is in two of them
	names = slices.Compact(names)
	return names[:min(limit, len(names))], nil
}

// Kept implements hub.Lister.
func (l *Log) Kept(ctx context.Context, ch hub.Channel, keep hub.Retention) (k hub.Kept, err error) {
	if keep.Store != hub.StoreDisk {
		return l.memory[keep.Store].keptOf(ch), nil
	}
	err = l.reading(ctx, func(in *instance) error {
		_, st, err := in.heads.get(ch, false)
		k = hub.Kept{Messages: st.count, Bytes: st.bytes}
		return in.readError("head of "+ch.String(), err)
	})
	return k, err
}

// channels reads names from the keys of heads. A head in the cache may be on its way to the disk: then its channel counts as soon as readers may see it.
func (in *instance) channels(app, prefix, after string, limit int) (names []string, err error) {
	first := appendHeadKey(nil, hub.Channel{App: app, Name: max(prefix, after)})
	end := successor(appendHeadKey(nil, hub.Channel{App: app, Name: prefix}))
	it, err := in.db.NewIter(&pebble.IterOptions{LowerBound: first, UpperBound: end})
	if err != nil {
		return nil, err
	}
	for ok := it.First(); ok && len(names) < limit; ok = it.Next() {
		ch, good := parseHeadKey(it.Key())
		if !good {
			err = errBadState
			break
		}
		if ch.Name > after && in.heads.visible(ch) {
			names = append(names, ch.Name)
		}
	}
	if e := it.Error(); err == nil {
		err = e
	}
	if e := it.Close(); err == nil {
		err = e
	}
	return names, err
}

// visible reports whether a channel that has a key may be seen: always, unless its first message is in flight.
func (c *headCache) visible(ch hub.Channel) bool {
	s := c.shard(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heads[ch]
	return h == nil || h.dur.number != 0
}

// successor is the least key after all that begin with key, which has a byte that is not 0xff: its kind.
func successor(key []byte) []byte {
	end := slices.Clone(key)
	for end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	end[len(end)-1]++
	return end
}

// names returns the channels in memory, in no order.
func (s *memory) names(app, prefix, after string) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.channels {
		if ch.App == app && ch.Name > after && strings.HasPrefix(ch.Name, prefix) {
			names = append(names, ch.Name)
		}
	}
	return names
}

func (s *memory) keptOf(ch hub.Channel) (k hub.Kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[ch]; c != nil {
		k = hub.Kept{Messages: uint64(len(c.msgs)), Bytes: uint64(c.bytes)}
	}
	return k
}
