package hook

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Key names a question. It is a hash, so that a cache holds no cookies.
type Key [sha256.Size]byte

// KeyOf is the key of a list of strings, different for any other list.
func KeyOf(parts ...string) Key {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return Key(h.Sum(nil))
}

// Cache keeps answers for as long as they count. It has at most a number of them; the one that was not used for longest goes first. Safe for concurrent use.
type Cache[V any] struct {
	size int

	mu      sync.Mutex
	entries map[Key]*list.Element
	recent  list.List // of *entry[V], the one used last in front
}

type entry[V any] struct {
	key   Key
	done  chan struct{} // closed when the answer is there
	until time.Time     // from then on it does not count any more
	value V
	err   error
}

// NewCache makes a Cache of a size.
func NewCache[V any](size int) *Cache[V] {
	return &Cache[V]{size: size, entries: map[Key]*list.Element{}}
}

// Do returns the answer to a question: the one that is kept, or that of ask, which says for how long it counts. Who comes while the question is asked waits for the
// answer; errors are shared with those, and not kept. ask goes on when its ctx ends, since others may wait for it.
func (c *Cache[V]) Do(ctx context.Context, key Key, ask func(context.Context) (V, time.Duration, error)) (V, error) {
	e, mine := c.enter(key)
	if mine {
		var lasts time.Duration
		e.value, lasts, e.err = ask(context.WithoutCancel(ctx))
		c.keep(e, lasts)
		return e.value, e.err
	}
	select {
	case <-e.done:
		return e.value, e.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// enter returns the entry of a key; mine: it is new, and the caller is who asks.
func (c *Cache[V]) enter(key Key) (e *entry[V], mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.entries[key]; at != nil {
		e := at.Value.(*entry[V])
		if e.until.IsZero() || time.Now().Before(e.until) {
			c.recent.MoveToFront(at)
			return e, false
		}
		c.remove(at)
	}
	e = &entry[V]{key: key, done: make(chan struct{})}
	c.entries[key] = c.recent.PushFront(e)
	if c.recent.Len() > c.size {
		c.remove(c.recent.Back())
	}
	return e, true
}

// keep lets the others have the answer, and forgets it if it does not last.
func (c *Cache[V]) keep(e *entry[V], lasts time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.until = time.Now().Add(lasts)
	if at := c.entries[e.key]; at != nil && at.Value == e && (e.err != nil || lasts <= 0) {
		c.remove(at)
	}
	close(e.done)
}

func (c *Cache[V]) remove(at *list.Element) {
	delete(c.entries, at.Value.(*entry[V]).key)
	c.recent.Remove(at)
}
