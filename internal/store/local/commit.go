package local

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

const (
	batchEntries = 4096
	batchBytes   = 4 << 20
	// pipeline is how many batches may be applied and wait for their sync, which Pebble does for all of them at once.
	pipeline = 8
)

// committer gives every message its place: it gathers all that waits into one batch, assigns offsets, applies the batch and hands it
// to the finisher, which waits for the disk while the committer makes the next.
type committer struct {
	l    *Log
	in   *instance
	b    *batch
	out  chan *batch
	free chan *batch

	serial   uint64 // of the batch being made
	sequence uint64 // the last offset assigned
	now      int64  // the time of the batch being made, in Unix milliseconds; never decreases
	began    uint64 // sequence when the batch being made was begun: channels numbered above are not applied
	maxBytes int
	deleted  deleted
}

// batch is what is applied, synced, delivered and acknowledged together.
type batch struct {
	in      *instance // nil while there is nothing in it for the disk
	pb      *pebble.Batch
	items   []item
	touched []touched
	ids     map[firstKey]first
	msgs    []*hub.Message
	bytes   int
	stored  int       // messages for the disk
	sealed  time.Time // when the last was in it
	last    uint64    // the newest offset on disk
	after   []func(failed error)
	// heads that this batch deletes
	forgotten []*head
}

type item struct {
	req  *request
	i    int
	disk bool
	msg  *hub.Message // nil: nothing to deliver
	mem  *memChannel  // where msg goes when it is the batch's turn
}

type touched struct {
	h  *head
	st state
}

type firstKey struct {
	number uint64
	hash   idHash
}

// first is what is remembered of an id: where the first message with it is.
type first struct {
	offset, prev uint64
	time         int64
}

func (c *committer) loop() {
	defer close(c.out)
	var waits []*request
	for {
		if waits = c.l.queue.take(waits); len(waits) == 0 {
			return
		}
		c.tick()
		for _, r := range waits {
			if r.run != nil {
				c.send()
				r.run(c)
				continue
			}
			for i := range r.entries {
				if len(c.b.items) >= batchEntries || c.b.bytes >= c.maxBytes {
					c.send()
				}
				c.add(r, i)
			}
		}
		c.send()
	}
}

func (c *committer) tick() { c.now = max(c.now, c.l.o.Now().UnixMilli()) }

func (c *committer) add(r *request, i int) {
	e := &r.entries[i]
	it := item{req: r, i: i}
	if r.results[i].Err = e.Order.Check(); r.results[i].Err != nil {
		c.b.items = append(c.b.items, it)
		return
	}
	if e.Keep.Store == hub.StoreDisk {
		it.disk = true
		var h *head
		if it.msg, h = c.addDisk(e, r.hashes[i], &r.results[i]); h != nil {
			defer c.trimTo(h, &e.Keep) // after the item is in its batch: trimming may have to send that
		}
	} else {
		it.msg, it.mem = c.addMemory(e, r.hashes[i], &r.results[i])
	}
	if hub.Retryable(r.results[i].Err) {
		e.Order.Break()
	}
	c.b.items = append(c.b.items, it)
}

func (c *committer) addMemory(e *hub.Entry, hash idHash, res *hub.Result) (*hub.Message, *memChannel) {
	m := e.Message
	mem := c.l.memory[e.Keep.Store]
	ch := mem.assign(e, hash, c.sequence+1, c.now, res)
	if ch == nil {
		return nil, nil
	}
	c.sequence++
	c.b.bytes += 64 // hardly anything: nothing is copied
	*res = hub.Result{ID: m.ID, Position: m.Position(), Prev: m.Prev}
	return m, ch
}

// addDisk puts a message into the batch and returns it and its channel, or nil with the result when it is refused or a duplicate.
func (c *committer) addDisk(e *hub.Entry, hash idHash, res *hub.Result) (*hub.Message, *head) {
	if err := c.writable(); err != nil {
		res.Err = err
		return nil, nil
	}
	m := e.Message
	h, err := c.head(m.Channel)
	if err != nil {
		res.Err = c.in.readError("append to "+m.Channel.String(), err)
		return nil, nil
	}
	if !m.OwnID {
		f, found, err := c.lookup(h, hash)
		if err != nil {
			res.Err = c.in.readError("look up an id in "+m.Channel.String(), err)
			return nil, nil
		}
		if found {
			*res = hub.Result{ID: m.ID, Position: c.in.epochs.position(f.offset), Prev: f.prev, Duplicate: true}
			return nil, nil
		}
	}
	if e.Expect != nil {
		if at, ok := c.in.epochs.resolve(*e.Expect); !ok || at != h.cur.last {
			res.Err = conflict(m.Channel, *e.Expect, c.in.epochs.position(h.cur.last))
			return nil, nil
		}
	}
	c.place(h, m, &e.Keep, hash)
	*res = hub.Result{ID: m.ID, Position: m.Position(), Prev: m.Prev}
	return m, h
}

func conflict(ch hub.Channel, want, have hub.Position) error {
	return hub.Errorf(hub.CodeConflict, "the newest message of %s is at %v, not at %v as expected; read on from there and try again", ch, have, want)
}

// writable returns why nothing can be stored just now, or nil.
func (c *committer) writable() error {
	if err := c.in.fence.failed(); err != nil {
		return c.l.refusal(err)
	}
	return c.l.space.check(c.b.bytes)
}

// head returns the head of a channel, pinned by the batch.
func (c *committer) head(ch hub.Channel) (*head, error) {
	h, _, err := c.in.heads.get(ch, true)
	if err != nil {
		return nil, err
	}
	if !c.mark(h) {
		h.unpin() // once a batch
	}
	return h, nil
}

// touch makes a head that is in the cache one of the batch's.
func (c *committer) touch(h *head) {
	h.pin()
	if !c.mark(h) {
		h.unpin()
	}
}

// begin makes sure that the batch has something for the disk.
func (c *committer) begin() {
	if c.b.pb == nil {
		c.b.in = c.in
		c.b.pb = c.in.db.NewBatch()
	}
}

func (c *committer) mark(h *head) bool {
	if h.mark == c.serial {
		return false
	}
	c.begin()
	h.mark, h.fresh = c.serial, 0
	c.b.touched = append(c.b.touched, touched{h: h})
	return true
}

// lookup finds the first message with an id, in the batch or on disk.
func (c *committer) lookup(h *head, hash idHash) (f first, found bool, err error) {
	if h.cur.number == 0 {
		return f, false, nil
	}
	if h.fresh > 0 {
		if f, found = c.b.ids[firstKey{h.cur.number, hash}]; found {
			return f, true, nil
		}
	}
	if h.cur.number > c.began {
		return f, false, nil
	}
	var buf [idKeyLen]byte
	v, closer, err := c.in.db.Get(appendIDKey(buf[:0], h.cur.number, hash))
	if errors.Is(err, pebble.ErrNotFound) {
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	defer closer.Close()
	if f, err = parseFirst(v); err != nil {
		return f, false, err
	}
	return f, f.offset > h.cur.floor || c.now-f.time < c.l.o.IDWindow.Milliseconds(), nil
}

func (f first) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, f.offset)
	b = binary.LittleEndian.AppendUint64(b, f.prev)
	return binary.LittleEndian.AppendUint64(b, uint64(f.time))
}

func parseFirst(b []byte) (f first, err error) {
	if len(b) != 24 {
		return f, errBadRecord
	}
	return first{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), int64(binary.LittleEndian.Uint64(b[16:]))}, nil
}

// place gives a message its position and puts it into the batch.
func (c *committer) place(h *head, m *hub.Message, keep *hub.Retention, hash idHash) {
	c.sequence++
	st := &h.cur
	if st.number == 0 {
		st.number = c.sequence
	}
	m.Offset, m.Prev, m.Time = c.sequence, st.last, c.now
	m.Epoch = c.in.epochs.of(m.Offset)
	if m.OwnID {
		m.ID = ownID(m.Epoch, m.Offset)
	}
	size := m.Size()
	n := recordLen(m)
	d := c.b.pb.SetDeferred(messageKeyLen, n)
	putMessageKey(d.Key, st.number, m.Offset)
	putRecord(d.Value, st.number, m, size)
	d.Finish()
	c.b.bytes += n
	if !m.OwnID {
		f := first{m.Offset, m.Prev, m.Time}
		var key [idKeyLen]byte
		var value [24]byte
		c.b.pb.Set(appendIDKey(key[:0], st.number, hash), f.append(value[:0]), nil)
		c.b.ids[firstKey{st.number, hash}] = f
		c.b.bytes += idKeyLen + 24
	}
	h.trim.push(trimItem{m.Offset, m.Time, uint32(size), uint32(n), !m.OwnID, hash})
	h.fresh++
	if st.count == 0 {
		st.oldest = m.Time
	}
	st.last, st.lastTime, st.age = m.Offset, m.Time, keep.Age.Milliseconds()
	st.count++
	st.bytes += uint64(size)
	c.b.last = m.Offset
	c.b.stored++
}

// trimTo removes what a channel no longer keeps.
func (c *committer) trimTo(h *head, keep *hub.Retention) {
	l := limitsOf(keep, c.now)
	for h.cur.exceeds(l) {
		_, blocked, err := c.retain(h, l, 0, 1<<30)
		if err != nil {
			// What should have gone is kept. The next append or sweep meets the same.
			c.l.o.Logger.Error("store: retention", "channel", h.ch, "err", c.in.readError("retention of "+h.ch.String(), err))
			return
		}
		if !blocked {
			break
		}
		c.send() // what has to go is in this very batch: only when it is applied can it be read
		if c.in.fence.failed() != nil {
			return
		}
		c.touch(h)
	}
	c.reap(h, reapItems)
}

// send seals and applies the batch being made, and hands it to the finisher.
func (c *committer) send() {
	b := c.b
	if len(b.items) == 0 && len(b.touched) == 0 && len(b.after) == 0 && b.pb == nil {
		return
	}
	if b.pb != nil {
		b.sealed = time.Now()
		c.seal()
		if err := c.in.applyAhead(b.pb); err != nil {
			c.in.fence.fail(err)
			b.pb = nil // whatever became of it, it must not be waited for
		}
	}
	c.out <- b
	select {
	case c.b = <-c.free:
	default:
		c.b = newBatch()
	}
	c.serial++
	c.began = c.sequence
	c.tick()
}

// seal adds the heads that have changed and the sequence number.
func (c *committer) seal() {
	var key [256]byte
	var value [128]byte
	b := c.b
	for i := range b.touched {
		t := &b.touched[i]
		t.st = t.h.cur
		t.h.fresh = 0
		if t.st.number != 0 && t.st != t.h.saved {
			t.h.saved = t.st
			b.pb.Set(appendHeadKey(key[:0], t.h.ch), t.st.append(value[:0]), nil)
		}
	}
	b.pb.Set(keySequence, appendSequence(value[:0], c.sequence, c.now), nil)
}

func newBatch() *batch { return &batch{ids: map[firstKey]first{}} }

// reset makes a batch that is done with ready for the next use.
func (b *batch) reset() {
	clear(b.items)
	clear(b.touched)
	clear(b.after)
	clear(b.forgotten)
	clear(b.ids)
	*b = batch{items: b.items[:0], touched: b.touched[:0], after: b.after[:0], ids: b.ids, forgotten: b.forgotten[:0]}
}
