package hub

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// live is a channel that somebody here follows: its tail and its subscriptions.
type live struct {
	channel Channel
	rule    atomic.Pointer[Rule]
	refs    int // guarded by the shard's lock

	mu   sync.RWMutex // guards tail; nothing else is locked under it
	tail tail

	subsMu sync.Mutex
	groups [][]*subscription // by the index of the lane of their session; each knows its slot
	news   chan struct{}     // closed when there is something new, if anybody waits for that

	crowd    atomic.Int32  // how many subscriptions there are
	lanes    atomic.Uint64 // the bits of the lanes that have a subscription here, and of lane 0 while anybody waits for news; changed under subsMu
	queued   atomic.Uint64 // the bits of the lanes that are to look here
	presence atomic.Uint64 // counts changes of presence, so that cursors see at a glance whether to ask
}

// start makes sure that the tail is known, asking the log if need be.
func (l *live) start(s *Session, log Log) error {
	l.mu.RLock()
	known := l.tail.known
	l.mu.RUnlock()
	if known {
		return nil
	}
	head, err := log.Head(s.Context(), l.channel, l.rule.Load().Keep)
	if err != nil {
		return err
	}
	l.know(head)
	return nil
}

func (l *live) know(head Position) {
	l.mu.Lock()
	l.tail.know(head)
	l.mu.Unlock()
}

func (l *live) join(u *subscription) {
	of := u.session.lane
	l.subsMu.Lock()
	defer l.subsMu.Unlock()
	i := of.index()
	for len(l.groups) <= i {
		l.groups = append(l.groups, nil)
	}
	u.slot = int32(len(l.groups[i]))
	l.groups[i] = append(l.groups[i], u)
	if o := u.session.hub.observer; l.crowd.Add(1) == 1 && o != nil {
		o.Occupied(l.channel)
	}
	l.lanes.Or(of.bit)
}

func (l *live) leave(u *subscription) {
	of := u.session.lane
	l.subsMu.Lock()
	defer l.subsMu.Unlock()
	group := &l.groups[of.index()]
	last := len(*group) - 1
	(*group)[u.slot] = (*group)[last]
	(*group)[u.slot].slot = u.slot
	(*group)[last] = nil
	if o := u.session.hub.observer; l.crowd.Add(-1) == 0 && o != nil {
		o.Vacated(l.channel)
	}
	if *group = (*group)[:last]; last == 0 && (of.host != nil || l.news == nil) {
		l.lanes.And(^of.bit)
	}
}

// group is the subscriptions of the sessions of a lane. Called with subsMu held.
func (l *live) group(of *lane) []*subscription {
	if i := of.index(); i < len(l.groups) {
		return l.groups[i]
	}
	return nil
}

const shardCount = 64

// registry finds the live channel of a name. It is split so that fan-out and subscribing do not wait for each other.
type registry struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu   sync.RWMutex
	live map[Channel]*live
}

func newRegistry() *registry {
	r := &registry{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].live = map[Channel]*live{}
	}
	return r
}

func (r *registry) shard(ch Channel) *shard {
	return &r.shards[maphash.Comparable(r.seed, ch)%shardCount]
}

// find returns the live channel, or nil.
func (r *registry) find(ch Channel) *live {
	s := r.shard(ch)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live[ch]
}

// acquire returns the live channel, making it if nobody follows it yet. From here to release its tail takes what is delivered.
func (r *registry) acquire(ch Channel, rule *Rule) *live {
	s := r.shard(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.live[ch]
	if l == nil {
		l = &live{channel: ch}
		l.rule.Store(rule)
		s.live[ch] = l
	}
	l.refs++
	return l
}

func (r *registry) release(l *live) {
	s := r.shard(l.channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.refs--; l.refs == 0 {
		delete(s.live, l.channel)
	}
}

// all returns every live channel there is just now.
func (r *registry) all() []*live {
	var all []*live
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.RLock()
		for _, l := range s.live {
			all = append(all, l)
		}
		s.mu.RUnlock()
	}
	return all
}
