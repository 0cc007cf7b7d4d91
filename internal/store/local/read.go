package local

import (
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/snoserver/sno/internal/hub"
)

var errBadRecord = errors.New("a stored message does not decode")

// reader makes one page of a channel on disk.
type reader struct {
	in  *instance
	ch  hub.Channel
	q   *hub.Query
	now int64
	st  state // what is durable
	it  *pebble.Iterator
	p   hub.Page
	// size of the messages on the page so far
	bytes int
}

// messages iterates over the messages of a channel in (after, through].
func (in *instance) messages(number, after, through uint64) (*pebble.Iterator, error) {
	bounds := make([]byte, 2*messageKeyLen)
	putMessageKey(bounds, number, after+1)
	putMessageKey(bounds[messageKeyLen:], number, through+1)
	return in.db.NewIter(&pebble.IterOptions{LowerBound: bounds[:messageKeyLen:messageKeyLen], UpperBound: bounds[messageKeyLen:]})
}

// view takes what is durable and an iterator that has all of it. Messages are deleted from disk only when readers no longer
// see them, so if the floor has not moved while the iterator was made it misses nothing.
func (r *reader) view() (err error) {
	for tries := 0; ; tries++ {
		var h *head
		if h, r.st, err = r.in.heads.get(r.ch, false); err != nil || h == nil || r.st.count == 0 {
			return err
		}
		if r.it, err = r.in.messages(r.st.number, r.st.floor, r.st.last); err != nil {
			return err
		}
		if floor := h.durable().floor; floor == r.st.floor || tries == 3 {
			return nil // after a few tries whatever is there: what is not is reported as expired
		}
		_ = r.it.Close()
	}
}

func (r *reader) page() (hub.Page, error) {
	if err := r.view(); err != nil {
		return r.p, err
	}
	if r.it == nil {
		r.empty()
		return r.p, nil
	}
	err := r.fill()
	if e := r.it.Close(); err == nil {
		err = e
	}
	if err != nil {
		return hub.Page{}, err
	}
	return r.p, nil
}

// empty is the page of a channel that keeps nothing.
func (r *reader) empty() {
	r.p.Head = r.in.epochs.position(r.st.last)
	r.p.Start = r.p.Head
	switch {
	case r.q.After != nil:
		_ = r.after(func(uint64) (bool, error) { return false, nil })
	case r.q.Before != 0:
		r.p.Start = r.in.epochs.position(min(r.st.last, r.q.Before-1))
	}
}

func (r *reader) fill() error {
	r.p.Head = r.in.epochs.position(r.st.last)
	r.p.Start = r.p.Head
	if err := r.bound(); err != nil {
		return err
	}
	switch {
	case r.q.After != nil:
		return r.after(r.seek)
	case r.q.Before != 0:
		return r.backward(r.it.SeekLT(messageKey(r.st.number, r.q.Before)), r.q.Limit)
	case r.q.Last > 0 && r.q.Last <= r.q.Limit && r.q.Bytes == 0:
		return r.backward(r.it.Last(), r.q.Last) // the same page, in one pass
	case r.q.Last > 0:
		return r.forward(r.seekLast())
	case !r.q.Since.IsZero():
		return r.forward(r.seekTime(r.q.Since.UnixMilli()))
	}
	return r.forward(r.it.First(), nil)
}

// bound raises the floor to what the retention of the query keeps: messages that have become too old since the last append, or that a
// rule no longer keeps which has changed since.
func (r *reader) bound() error {
	l := limitsOf(&r.q.Keep, r.now)
	st := &r.st
	floor := st.floor
	for ok := r.it.First(); ok && st.exceeds(l); ok = r.it.Next() {
		i, err := r.brief()
		if err != nil {
			return err
		}
		if st.oldest = i.time; !st.exceeds(l) {
			break
		}
		if st.count <= l.messages || l.messages == 0 {
			if st.bytes <= l.bytes || l.bytes == 0 { // too old, and perhaps very many are: search
				if ok, err := r.seekTime(l.since); err != nil {
					return err
				} else if !ok {
					floor = st.last
				} else if i, err := r.brief(); err != nil {
					return err
				} else {
					floor = max(floor, i.prev)
				}
				break
			}
		}
		_, floor, _ = parseMessageKey(r.it.Key())
		st.count--
		st.bytes -= min(st.bytes, uint64(i.size))
	}
	if err := r.it.Error(); err != nil {
		return err
	}
	if floor > st.floor {
		st.floor = floor
		r.it.SetBounds(messageKey(st.number, floor+1), messageKey(st.number, st.last+1))
	}
	return nil
}

func (r *reader) brief() (b brief, err error) {
	v, err := r.it.ValueAndErr()
	if err != nil {
		return b, err
	}
	b, ok := parseBrief(v, false)
	if !ok {
		return b, errBadRecord
	}
	return b, nil
}

// seek goes to the oldest message after an offset.
func (r *reader) seek(after uint64) (bool, error) {
	var key [messageKeyLen]byte
	putMessageKey(key[:], r.st.number, max(after, r.st.floor)+1)
	// Within the channel's prefix, so that tables whose bloom filter does not know the channel are not read.
	return r.it.SeekPrefixGE(key[:]), r.it.Error()
}

// seekLast goes to the oldest of the newest q.Last messages.
func (r *reader) seekLast() (bool, error) {
	if uint64(r.q.Last) >= r.st.count {
		return r.it.First(), r.it.Error()
	}
	ok := r.it.Last()
	for n := 1; ok && n < r.q.Last; n++ {
		ok = r.it.Prev()
	}
	if !ok && r.it.Error() == nil {
		ok = r.it.First()
	}
	return ok, r.it.Error()
}

// seekTime goes to the oldest message taken at or after a time, by halving: times never decrease with offsets.
func (r *reader) seekTime(since int64) (bool, error) {
	low, high := r.st.floor, r.st.last // what is sought is in (low, high+1]
	var key [messageKeyLen]byte
	for low < high {
		mid := low + (high-low)/2
		putMessageKey(key[:], r.st.number, mid+1)
		if !r.it.SeekGE(key[:]) {
			if err := r.it.Error(); err != nil {
				return false, err
			}
			high = mid
			continue
		}
		b, err := r.brief()
		if err != nil {
			return false, err
		}
		if b.time >= since {
			high = mid
		} else {
			_, low, _ = parseMessageKey(r.it.Key())
		}
	}
	putMessageKey(key[:], r.st.number, low+1)
	return r.it.SeekGE(key[:]), r.it.Error()
}

// after reads on from a cursor: seek goes to the oldest message after an offset.
func (r *reader) after(seek func(uint64) (bool, error)) error {
	cursor := *r.q.After
	from, known := r.in.epochs.resolve(cursor)
	if known && from > r.st.last {
		r.p.Reset = hub.ResetAhead
		return nil
	}
	ok, err := seek(from)
	if err != nil {
		return err
	}
	var oldest *hub.Message
	if ok {
		if oldest, err = r.message(); err != nil {
			return err
		}
	}
	if !known {
		r.p.Reset = hub.ResetEpoch
	} else if r.p.Reset = hub.Honour(from, oldest, r.st.last); r.p.Reset == "" {
		r.p.Start = cursor
	}
	if oldest == nil {
		return nil
	}
	if r.p.Reset != "" {
		r.p.Start = r.in.epochs.position(max(oldest.Prev, from))
		if known {
			r.p.Start = r.in.epochs.position(oldest.Prev)
		}
	}
	r.take(oldest)
	return r.rest()
}

// forward makes the page from where the iterator is.
func (r *reader) forward(ok bool, err error) error {
	if err != nil || !ok {
		return err
	}
	m, err := r.message()
	if err != nil {
		return err
	}
	r.p.Start = r.in.epochs.position(m.Prev)
	r.take(m)
	return r.rest()
}

func (r *reader) rest() error {
	ok := r.it.Next()
	for ; ok; ok = r.it.Next() {
		fits, err := r.fits()
		if err != nil {
			return err
		}
		if !fits {
			r.p.More = true
			break
		}
		m, err := r.message()
		if err != nil {
			return err
		}
		r.take(m)
	}
	return r.it.Error()
}

// backward makes the page from its end, where the iterator is.
func (r *reader) backward(ok bool, limit int) error {
	if r.q.Before != 0 {
		r.p.Start = r.in.epochs.position(min(r.st.last, r.q.Before-1))
	}
	for ; ok; ok = r.it.Prev() {
		if n := len(r.p.Messages); n > 0 {
			fits, err := r.fits()
			if err != nil {
				return err
			}
			if !fits || n >= limit {
				r.p.More = r.q.Before != 0
				break
			}
		}
		m, err := r.message()
		if err != nil {
			return err
		}
		r.take(m)
		r.p.Start = r.in.epochs.position(m.Prev)
	}
	slices.Reverse(r.p.Messages)
	return r.it.Error()
}

// fits reports whether the message that the iterator is at goes on the page.
func (r *reader) fits() (bool, error) {
	if len(r.p.Messages) >= r.q.Limit {
		return false, nil
	}
	if r.q.Bytes == 0 {
		return true, nil
	}
	b, err := r.brief()
	return r.bytes+b.size <= r.q.Bytes, err
}

func (r *reader) take(m *hub.Message) {
	if r.q.Bytes > 0 {
		r.bytes += m.Size()
	}
	if r.p.Messages == nil {
		r.p.Messages = make([]*hub.Message, 0, min(uint64(r.q.Limit), r.st.count, 1024))
	}
	r.p.Messages = append(r.p.Messages, m)
}

// message decodes the message that the iterator is at.
func (r *reader) message() (*hub.Message, error) {
	number, offset, ok := parseMessageKey(r.it.Key())
	if !ok {
		return nil, errBadRecord
	}
	v, err := r.it.ValueAndErr()
	if err != nil {
		return nil, err
	}
	m, ok := parseRecord(v, number, offset)
	if !ok {
		return nil, errBadRecord
	}
	m.Channel = r.ch
	m.Epoch = r.in.epochs.of(offset)
	if m.OwnID {
		m.ID = ownID(m.Epoch, offset)
	}
	return m, nil
}
