package local

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

const (
	refillItems  = 64   // read ahead at once of a channel whose messages are about to be removed
	trimQueueMax = 256  // a channel with fewer messages has all of them in its queue
	reapItems    = 32   // deleted from disk at once
	rangeItems   = 1024 // more are deleted as a range: one tombstone, but each costs every reader of the memtable
)

// trimItem is what has to be known of a message to remove it.
type trimItem struct {
	offset uint64
	time   int64
	size   uint32 // Message.Size
	length uint32 // of the record
	hasID  bool
	hash   idHash
}

// trimQueue holds the oldest messages of a channel that has more than it keeps: first those that are removed and not yet deleted
// from disk, from live on those that are next. It is filled from disk, some at a time, when a message has to go and none is there.
type trimQueue struct {
	items []trimItem
	live  int
	// complete says that the queue reaches up to the channel's newest message: then new ones are added as they come.
	complete bool
}

// push adds the newest message if the queue reaches up to it.
func (q *trimQueue) push(i trimItem) {
	if !q.complete {
		return
	}
	if len(q.items)-q.live >= trimQueueMax {
		q.complete = false
		return
	}
	q.items = append(q.items, i)
}

// limits is a Retention with its age as a time.
type limits struct {
	messages, bytes uint64
	since           int64 // Unix milliseconds; 0: no bound
}

func limitsOf(keep *hub.Retention, now int64) limits {
	l := limits{messages: uint64(max(keep.Messages, 0)), bytes: uint64(max(keep.Bytes, 0))}
	if keep.Age > 0 {
		l.since = now - keep.Age.Milliseconds()
	}
	return l
}

// exceeds reports whether the oldest message has to go; its time is a lower bound, so with age alone it may yet stay.
func (s *state) exceeds(l limits) bool {
	switch {
	case s.count == 0:
		return false
	case l.messages > 0 && s.count > l.messages, l.bytes > 0 && s.bytes > l.bytes && s.count > 1:
		return true
	}
	return s.oldest < l.since
}

// retain moves the floor of h up until l is kept to, or to through, removing at most n messages. It reports whether there is more to do:
// n were removed, or what is to be removed next is not yet applied (blocked).
func (c *committer) retain(h *head, l limits, through uint64, n int) (more, blocked bool, err error) {
	st := &h.cur
	for st.floor < through || st.exceeds(l) {
		if st.count == 0 {
			st.floor = max(st.floor, min(through, st.last))
			return false, false, nil
		}
		if n--; n < 0 {
			return true, false, nil
		}
		q := &h.trim
		if q.live == len(q.items) {
			if blocked, err := c.refill(h); err != nil || blocked {
				return blocked, blocked, err
			}
			if q.live == len(q.items) {
				continue // nothing is left on disk: the counts have been put right
			}
		}
		i := &q.items[q.live]
		st.oldest = i.time
		if i.offset > through && !st.exceeds(l) {
			return false, false, nil
		}
		q.live++
		st.floor = i.offset
		st.count--
		st.bytes -= min(st.bytes, uint64(i.size))
	}
	return false, false, nil
}

// refill reads the oldest messages of a channel that are applied. With blocked, those to be removed are in the batch being made.
func (c *committer) refill(h *head) (blocked bool, err error) {
	q, st := &h.trim, &h.cur
	c.reap(h, reapItems)
	from := st.gone
	if len(q.items) > 0 {
		from = q.items[len(q.items)-1].offset
	}
	it, err := c.in.messages(st.number, from, st.last)
	if err != nil {
		return false, err
	}
	defer it.Close()
	n := 0
	ok := it.First()
	for ; ok && n < refillItems; ok = it.Next() {
		i, err := trimItemOf(it)
		if err != nil {
			return false, err
		}
		q.items = append(q.items, i)
		if i.offset <= st.floor {
			q.live = len(q.items)
			continue
		}
		n++
	}
	if err := it.Error(); err != nil {
		return false, err
	}
	unapplied := h.mark == c.serial && h.fresh > 0
	q.complete = !ok && !unapplied
	if n > 0 || unapplied {
		return n == 0, nil
	}
	// All is gone although it is counted: messages were lost with a damaged table that was restored without. Count again from here.
	st.count, st.bytes, st.floor = 0, 0, st.last
	return false, nil
}

func trimItemOf(it *pebble.Iterator) (i trimItem, err error) {
	_, offset, ok := parseMessageKey(it.Key())
	if !ok {
		return i, errBadRecord
	}
	v, err := it.ValueAndErr()
	if err != nil {
		return i, err
	}
	b, ok := parseBrief(v, true)
	if !ok {
		return i, errBadRecord
	}
	return trimItem{offset, b.time, uint32(b.size), uint32(len(v)), b.hasID, b.hash}, nil
}

// reap deletes from disk what has been removed, if there are at least so many of them. Only what readers no longer see is deleted: what is in flight
// may yet come to nothing, and then the messages that it displaced are still kept.
func (c *committer) reap(h *head, atLeast int) {
	q, floor := &h.trim, h.durable().floor
	n := 0
	for n < q.live && q.items[n].offset <= floor {
		n++
	}
	if n == 0 || n < atLeast {
		return
	}
	c.touch(h)
	items := q.items[:n]
	number := h.cur.number
	if n >= rangeItems {
		c.b.pb.DeleteRange(messageKey(number, items[0].offset), messageKey(number, items[n-1].offset+1), nil)
	}
	for i := range items {
		if n < rangeItems {
			d := c.b.pb.DeleteSizedDeferred(messageKeyLen, items[i].length)
			putMessageKey(d.Key, number, items[i].offset)
			d.Finish()
		}
		if items[i].hasID {
			c.retireID(number, &items[i])
		}
	}
	h.cur.gone = items[n-1].offset
	c.reaped(number, items)
	q.items = append(q.items[:0], q.items[n:]...)
	q.live -= n
}

// retireID deletes the id of a message that is deleted, at once or, if it is to be remembered for longer, when its time has come.
func (c *committer) retireID(number uint64, i *trimItem) {
	var buf [staleKeyLen]byte
	due := i.time + c.l.o.IDWindow.Milliseconds()
	if due <= c.now {
		c.b.pb.Delete(appendIDKey(buf[:0], number, i.hash), nil)
		return
	}
	c.b.pb.Set(appendStaleKey(buf[:0], due, number, i.hash), appendOffset(nil, i.offset), nil)
}
