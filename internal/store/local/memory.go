package local

import (
	"slices"
	"sort"
	"sync"

	"github.com/snoserver/sno/internal/hub"
)

const (
	emptyChannels = 64 << 10 // channels without messages that a memory remembers
	recentMax     = 1 << 20  // ids that outlive their messages
	channelCost   = 256      // what a channel costs besides its messages, counted in Options.MemoryBytes
)

// memory keeps the messages of StoreMemory, and the positions of StoreNone, until the process ends.
// It takes offsets from the same sequence as the disk and delivers in the same order, but needs no disk: it goes on while that is full or broken.
type memory struct {
	epoch    string
	keepNone bool
	limit    int64
	window   int64 // Options.IDWindow in milliseconds

	mu       sync.Mutex
	channels map[hub.Channel]*memChannel
	bytes    int64
	order    []memSlot // messages of all channels, oldest first, some of them removed already
	kept     int       // messages that are not
	floor    uint64    // highest offset of a channel that is forgotten
	recent   map[recentKey]first
	fifo     []recentKey
}

type memSlot struct {
	ch     *memChannel
	offset uint64
}

type recentKey struct {
	ch   hub.Channel
	hash idHash
}

type memChannel struct {
	ch       hub.Channel
	next     uint64 // newest offset assigned
	last     uint64 // newest offset that readers may see
	inFlight int
	bytes    int64
	msgs     []*hub.Message // those kept
	ids      map[idHash]first
	keep     hub.Retention
}

func newMemory(epoch string, keepNone bool, o *Options) *memory {
	return &memory{
		epoch: epoch, keepNone: keepNone, limit: o.MemoryBytes, window: o.IDWindow.Milliseconds(),
		channels: map[hub.Channel]*memChannel{}, recent: map[recentKey]first{},
	}
}

func (s *memory) position(offset uint64) hub.Position {
	return hub.Position{Epoch: s.epoch, Offset: offset}
}

func (s *memory) resolve(p hub.Position) (uint64, bool) {
	if p.Epoch == "" && p.Offset == 0 {
		return 0, true
	}
	return p.Offset, p.Epoch == s.epoch
}

// assign gives an entry its position, or returns nil with the result of one that is a duplicate or not expected.
func (s *memory) assign(e *hub.Entry, hash idHash, offset uint64, now int64, res *hub.Result) *memChannel {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := e.Message
	c := s.channels[m.Channel]
	last := s.floor
	if c != nil {
		last = c.next
	}
	if !m.OwnID {
		if f, ok := s.lookup(c, m.Channel, hash, now); ok {
			*res = hub.Result{ID: m.ID, Position: s.position(f.offset), Prev: f.prev, Duplicate: true}
			return nil
		}
	}
	if e.Expect != nil {
		if at, ok := s.resolve(*e.Expect); !ok || at != last {
			res.Err = conflict(m.Channel, *e.Expect, s.position(last))
			return nil
		}
	}
	if c == nil {
		c = s.add(m.Channel)
	}
	m.Epoch, m.Offset, m.Prev, m.Time = s.epoch, offset, c.next, now
	if m.OwnID {
		m.ID = ownID(s.epoch, offset)
	} else {
		if c.ids == nil {
			c.ids = map[idHash]first{}
		}
		c.ids[hash] = first{offset, m.Prev, now}
	}
	c.next, c.keep = offset, e.Keep
	c.inFlight++
	return c
}

func (s *memory) lookup(c *memChannel, ch hub.Channel, hash idHash, now int64) (f first, ok bool) {
	if c != nil {
		if f, ok = c.ids[hash]; ok {
			return f, true
		}
	}
	f, ok = s.recent[recentKey{ch, hash}]
	return f, ok && now-f.time < s.window
}

// add makes room by forgetting a channel without messages that has not been written to for long, of a few.
func (s *memory) add(ch hub.Channel) *memChannel {
	if len(s.channels) >= emptyChannels {
		var oldest *memChannel
		tries := 0
		for _, c := range s.channels {
			if len(c.msgs) == 0 && c.inFlight == 0 && (oldest == nil || c.next < oldest.next) {
				oldest = c
			}
			if tries++; tries == 8 {
				break
			}
		}
		if oldest != nil {
			s.floor = max(s.floor, oldest.next)
			delete(s.channels, oldest.ch)
			s.bytes -= channelCost
		}
	}
	c := &memChannel{ch: ch, next: s.floor, last: s.floor}
	s.channels[ch] = c
	s.bytes += channelCost
	return c
}

// settle makes a message visible and removes what its channel, or all of them together, no longer keep.
func (s *memory) settle(c *memChannel, m *hub.Message, hash idHash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.inFlight--
	c.last = m.Offset
	if s.keepNone {
		if !m.OwnID {
			s.remember(c, m, hash, m.Time)
		}
		return
	}
	size := int64(m.Size())
	c.msgs = append(c.msgs, m)
	c.bytes += size
	s.bytes += size
	s.kept++
	s.order = append(s.order, memSlot{c, m.Offset})
	s.trim(c, c.keep, 0, m.Time)
	for s.bytes > s.limit && len(s.order) > 1 {
		o := s.order[0]
		s.order = s.order[1:]
		if len(o.ch.msgs) > 0 && o.ch.msgs[0].Offset == o.offset {
			s.drop(o.ch, 1, m.Time)
		}
	}
	if len(s.order) > 2*s.kept+1024 {
		s.compact()
	}
}

// trim removes what a channel does not keep, and everything through an offset.
func (s *memory) trim(c *memChannel, keep hub.Retention, through uint64, now int64) {
	n := kept(c.msgs, c.bytes, keep, now)
	for n < len(c.msgs) && c.msgs[n].Offset <= through {
		n++
	}
	s.drop(c, n, now)
}

// kept returns how many of the oldest messages are not kept any more.
func kept(msgs []*hub.Message, bytes int64, keep hub.Retention, now int64) (n int) {
	l := limitsOf(&keep, now)
	for n < len(msgs) {
		left := uint64(len(msgs) - n)
		if (l.messages == 0 || left <= l.messages) && (l.bytes == 0 || uint64(bytes) <= l.bytes || left == 1) && msgs[n].Time >= l.since {
			break
		}
		bytes -= int64(msgs[n].Size())
		n++
	}
	return n
}

// drop removes the n oldest messages of a channel. Ids that are to be remembered for longer move to recent.
func (s *memory) drop(c *memChannel, n int, now int64) {
	for i, m := range c.msgs[:n] {
		size := int64(m.Size())
		c.bytes -= size
		s.bytes -= size
		s.kept--
		c.msgs[i] = nil
		if !m.OwnID {
			s.remember(c, m, hashID(m.ID), now)
		}
	}
	if c.msgs = c.msgs[n:]; len(c.msgs) == 0 {
		c.msgs = nil
	}
}

func (s *memory) remember(c *memChannel, m *hub.Message, hash idHash, now int64) {
	delete(c.ids, hash)
	if now-m.Time >= s.window {
		return
	}
	k := recentKey{c.ch, hash}
	s.recent[k] = first{m.Offset, m.Prev, m.Time}
	s.fifo = append(s.fifo, k)
	for len(s.fifo) > 0 && (len(s.fifo) > recentMax || now-s.recent[s.fifo[0]].time >= s.window) {
		delete(s.recent, s.fifo[0])
		s.fifo = s.fifo[1:]
	}
}

// compact takes the slots of removed messages out of order.
func (s *memory) compact() {
	live := s.order[:0:0]
	for _, o := range s.order {
		if len(o.ch.msgs) > 0 && o.ch.msgs[0].Offset <= o.offset {
			live = append(live, o)
		}
	}
	s.order = live
}

// sweep removes what has become too old in channels that nobody writes to.
func (s *memory) sweep(now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.channels {
		if len(c.msgs) > 0 && c.keep.Age > 0 {
			s.trim(c, c.keep, 0, now)
		}
	}
	if len(s.order) > 2*s.kept+1024 {
		s.compact()
	}
}

func (s *memory) trimThrough(ch hub.Channel, through uint64, now int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[ch]; c != nil {
		s.trim(c, hub.Retention{}, through, now)
	}
}

func (s *memory) head(ch hub.Channel) hub.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[ch]; c != nil {
		return s.position(c.last)
	}
	return s.position(s.floor)
}

func (s *memory) read(ch hub.Channel, q *hub.Query, now int64) hub.Page {
	s.mu.Lock()
	defer s.mu.Unlock()
	var msgs []*hub.Message
	last := s.floor
	if c := s.channels[ch]; c != nil {
		msgs, last = c.msgs[kept(c.msgs, c.bytes, q.Keep, now):], c.last
	}
	p := hub.Page{Start: s.position(last), Head: s.position(last)}
	begin, end := 0, len(msgs)
	switch {
	case q.After != nil:
		begin = s.after(&p, msgs, last, *q.After)
	case q.Before != 0:
		end = search(msgs, q.Before)
		begin = fitBack(msgs[:end], q.Limit, q.Bytes)
		p.More = begin > 0
		if begin == end {
			p.Start = s.position(min(last, q.Before-1))
		}
	case q.Last > 0:
		begin = max(0, end-q.Last)
	case !q.Since.IsZero():
		begin = sort.Search(end, func(i int) bool { return msgs[i].Time >= q.Since.UnixMilli() })
	}
	if q.Before == 0 {
		n := fit(msgs[begin:], q.Limit, q.Bytes)
		p.More = begin+n < end
		end = begin + n
	}
	p.Messages = slices.Clone(msgs[begin:end]) // what is removed later is set to nil in place
	if begin < end && (q.After == nil || p.Reset != "") {
		p.Start = s.position(p.Messages[0].Prev)
	}
	return p
}

// search returns the index of the first message at or after an offset.
func search(msgs []*hub.Message, offset uint64) int {
	return sort.Search(len(msgs), func(i int) bool { return msgs[i].Offset >= offset })
}

// after finds where a cursor reads on, and sets Start, unless it is where the page begins, and Reset.
func (s *memory) after(p *hub.Page, msgs []*hub.Message, last uint64, cursor hub.Position) (begin int) {
	from, ok := s.resolve(cursor)
	if !ok {
		p.Reset = hub.ResetEpoch
		return 0
	}
	begin = search(msgs, from+1)
	var oldest *hub.Message
	if begin < len(msgs) {
		oldest = msgs[begin]
	}
	if p.Reset = hub.Honour(from, oldest, last); p.Reset == "" {
		p.Start = cursor
	}
	return begin
}

// fit returns how many messages, from the first, go into a page.
func fit(msgs []*hub.Message, limit, bytes int) (n int) {
	for size := 0; n < len(msgs) && n < limit; n++ {
		if size += msgs[n].Size(); bytes > 0 && size > bytes && n > 0 {
			break
		}
	}
	return n
}

// fitBack returns where a page that ends with the last message begins.
func fitBack(msgs []*hub.Message, limit, bytes int) int {
	n := 0
	for size := 0; n < len(msgs) && n < limit; n++ {
		if size += msgs[len(msgs)-1-n].Size(); bytes > 0 && size > bytes && n > 0 {
			break
		}
	}
	return len(msgs) - n
}
