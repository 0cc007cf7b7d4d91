package hub

// Bounds of a tail: a ring of the newest messages of a channel that somebody here follows.
const (
	tailMessages = 2048
	tailBytes    = 1 << 20
)

// tail is the newest part of a channel's log, in memory. Entries are numbered: a cursor at the tail is the number of the entry it takes next.
// Invariant once known: every stored message of the channel with floor < offset ≤ last is in the ring.
type tail struct {
	ring  []*Message // entry n is at n % len(ring)
	first uint64     // number of the oldest entry
	next  uint64     // number the next entry gets
	bytes int
	gen   uint64 // changes when the ring has lost the thread; entry numbers of other generations mean nothing

	known bool // head, and so floor and last, are known
	head  Position
	floor uint64
}

// know says where the channel ends, as the log told. Whatever was delivered meanwhile knows better.
func (t *tail) know(head Position) {
	if !t.known {
		t.known, t.head, t.floor = true, head, head.Offset
	}
}

// lose forgets everything: cursors go back to the log.
func (t *tail) lose() {
	for t.first < t.next {
		t.evict()
	}
	t.gen++
	t.known = false
}

// append takes the channel's next message. What the tail has already is ignored: a head read from the log may be ahead of the delivery.
func (t *tail) append(m *Message) {
	if !m.Ephemeral {
		switch {
		case t.known && m.Offset <= t.head.Offset && m.Epoch == t.head.Epoch:
			return
		case t.known && m.Prev > t.head.Offset:
			t.lose()
		}
		if !t.known {
			t.known, t.floor = true, m.Prev
		}
		t.head = m.Position()
	}
	for t.next > t.first && (t.next-t.first == tailMessages || t.bytes+m.Size() > tailBytes) {
		t.evict()
	}
	if int(t.next-t.first) == len(t.ring) {
		t.grow()
	}
	t.ring[t.next%uint64(len(t.ring))] = m
	t.next++
	t.bytes += m.Size()
}

func (t *tail) evict() {
	slot := &t.ring[t.first%uint64(len(t.ring))]
	if !(*slot).Ephemeral {
		t.floor = (*slot).Offset
	}
	t.bytes -= (*slot).Size()
	*slot = nil
	t.first++
}

func (t *tail) grow() {
	ring := make([]*Message, max(4, 2*len(t.ring)))
	for n := t.first; n < t.next; n++ {
		ring[n%uint64(len(ring))] = t.at(n)
	}
	t.ring = ring
}

func (t *tail) at(n uint64) *Message { return t.ring[n%uint64(len(t.ring))] }

// seek returns the number of the first entry after a position, if the ring has all that is after it. A verified position is one that the
// log has honoured: it may be ahead of what the tail was given so far.
func (t *tail) seek(p Position, verified bool) (uint64, bool) {
	if !t.known || p.Offset < t.floor || !verified && (p.Epoch != t.head.Epoch || p.Offset > t.head.Offset) {
		return 0, false
	}
	n := t.next
	for n > t.first {
		if m := t.at(n - 1); !m.Ephemeral && m.Offset <= p.Offset {
			break
		}
		n--
	}
	return n, true
}

// newest returns the newest entry, if its number is at least n.
func (t *tail) newest(n uint64) *Message {
	if t.next == t.first || t.next-1 < n {
		return nil
	}
	return t.at(t.next - 1)
}
