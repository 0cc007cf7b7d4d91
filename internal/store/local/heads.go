package local

import (
	"errors"
	"hash/maphash"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

// head is a channel that is in memory because somebody has just written to it or read it.
type head struct {
	ch hub.Channel
	// These are the committer's alone. cur is ahead of dur by what is in flight, saved is what was written last.
	cur   state
	saved state
	trim  trimQueue
	mark  uint64 // serial of the batch that has touched it last
	fresh int    // messages of it in the batch being made

	shard *headShard
	// Guarded by shard.mu.
	dur  state
	pins int  // batches in flight that change it: its state on disk is not yet what readers may see
	used bool // since the clock's hand has last passed
}

// durable returns what readers may see.
func (h *head) durable() state {
	h.shard.mu.Lock()
	defer h.shard.mu.Unlock()
	return h.dur
}

// headCache keeps the heads of the channels used last, at most so many: memory does not grow with channels that nobody uses.
// All states of channels come through it, so that a reader cannot take from disk what is applied but not yet durable.
type headCache struct {
	db     *pebble.DB
	floor  func() uint64 // what is known of channels that are unknown: see meta.go
	seed   maphash.Seed
	shards [64]headShard
}

type headShard struct {
	mu    sync.Mutex // held while a head is loaded, so that it is loaded once
	heads map[hub.Channel]*head
	ring  []*head // the clock
	hand  int
	limit int
	_     [64]byte
}

func newHeadCache(db *pebble.DB, limit int, floor func() uint64) *headCache {
	c := &headCache{db: db, floor: floor, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].heads = map[hub.Channel]*head{}
		c.shards[i].limit = max(limit/len(c.shards), 16)
	}
	return c
}

func (c *headCache) shard(ch hub.Channel) *headShard {
	return &c.shards[maphash.Comparable(c.seed, ch)%uint64(len(c.shards))]
}

// get returns the head of a channel, from disk if need be. With pin it stays in the cache until unpin.
func (c *headCache) get(ch hub.Channel, pin bool) (*head, state, error) {
	s := c.shard(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.heads[ch]
	if h == nil {
		st, err := c.load(ch)
		if err != nil {
			return nil, st, err
		}
		if st.number == 0 && !pin {
			return nil, st, nil // reading names that do not exist leaves nothing behind
		}
		h = &head{ch: ch, cur: st, saved: st, dur: st, shard: s}
		s.insert(h)
	}
	h.used = true
	if pin {
		h.pins++
	}
	return h, h.dur, nil
}

func (c *headCache) load(ch hub.Channel) (state, error) {
	var buf [128]byte
	v, closer, err := c.db.Get(appendHeadKey(buf[:0], ch))
	if errors.Is(err, pebble.ErrNotFound) {
		f := c.floor()
		return state{last: f, floor: f, gone: f}, nil
	}
	if err != nil {
		return state{}, err
	}
	defer closer.Close()
	return parseState(v)
}

// insert makes room first: the hand passes over heads that are pinned or have been used since it came by last.
func (s *headShard) insert(h *head) {
	if len(s.ring) < s.limit {
		s.ring = append(s.ring, h)
		s.heads[h.ch] = h
		return
	}
	for range 2 * len(s.ring) {
		s.hand = (s.hand + 1) % len(s.ring)
		old := s.ring[s.hand]
		if old.pins == 0 && !old.used {
			delete(s.heads, old.ch)
			s.ring[s.hand] = h
			s.heads[h.ch] = h
			return
		}
		old.used = false
	}
	s.ring = append(s.ring, h) // all are in flight: grow, the queue's bound is also this one's
	s.heads[h.ch] = h
}

// settle makes st what readers see, or with ok false leaves what they saw, and unpins.
func (h *head) settle(st state, ok bool) {
	h.shard.mu.Lock()
	defer h.shard.mu.Unlock()
	if ok {
		h.dur = st
	}
	h.pins--
}

func (h *head) pin() {
	h.shard.mu.Lock()
	h.pins++
	h.shard.mu.Unlock()
}

func (h *head) unpin() {
	h.shard.mu.Lock()
	h.pins--
	h.shard.mu.Unlock()
}
