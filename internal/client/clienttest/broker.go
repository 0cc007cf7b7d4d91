package clienttest

import (
	"encoding/json"
	"errors"
	"sync"
)

// Broker is a miniature server: it stores, delivers, resumes and answers history, all in memory and under one lock. Its fields make it
// misbehave; set them before the first client connects.
type Broker struct {
	URL string
	// Keep says whether an acknowledged message is really stored. nil: always.
	Keep func(id string) bool
	// Deliver gives what a reader (numbered by its first subscribe) is sent for a message. nil: the message.
	Deliver func(reader int, f Frame) []Frame
	// CutEvery breaks the connection of every nth new publish after it was stored and before it is acknowledged; 0: none.
	CutEvery int

	mu        sync.Mutex
	logs      map[string]*brokerLog
	conns     map[*brokerConn]bool
	readers   int
	published int
}

type brokerLog struct {
	messages []Frame
	byID     map[string]Frame
	offset   int
}

type brokerConn struct {
	pipe   pipe
	reader int
	subs   map[string]bool
}

// NewBroker starts a broker that is stopped when the test ends.
func NewBroker(t T) *Broker {
	b := &Broker{logs: map[string]*brokerLog{}, conns: map[*brokerConn]bool{}}
	b.URL = newDoor(t, func() func(pipe) { return b.serve })
	t.Cleanup(b.Sever)
	return b
}

// Sever breaks every connection.
func (b *Broker) Sever() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		c.pipe.end(0, "")
	}
}

// Messages returns what a channel holds.
func (b *Broker) Messages(channel string) []Frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Frame(nil), b.log(channel).messages...)
}

func (b *Broker) log(channel string) *brokerLog {
	if b.logs[channel] == nil {
		b.logs[channel] = &brokerLog{byID: map[string]Frame{}}
	}
	return b.logs[channel]
}

func (b *Broker) serve(p pipe) {
	c := &brokerConn{pipe: p, reader: -1, subs: map[string]bool{}}
	b.mu.Lock()
	b.conns[c] = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
	for {
		frames, err := p.receive(patience)
		if errors.Is(err, errTimeout) {
			continue
		}
		if err != nil {
			return
		}
		for _, frame := range frames {
			var f Frame
			var raw struct{ Data json.RawMessage } // data is kept byte for byte
			if json.Unmarshal(frame, &f) != nil || json.Unmarshal(frame, &raw) != nil {
				return
			}
			f["data"] = raw.Data
			b.handle(c, f)
		}
	}
}

func (b *Broker) handle(c *brokerConn, f Frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	channel, _ := f["channel"].(string)
	switch f["type"] {
	case "connect":
		c.send(Welcome)
	case "subscribe":
		b.subscribe(c, f, b.log(channel))
	case "unsubscribe":
		delete(c.subs, channel)
		c.send(Frame{"type": "unsubscribed", "ref": f["ref"], "channel": channel})
	case "publish":
		b.publish(c, f, b.log(channel))
	case "history":
		b.history(c, f, b.log(channel))
	}
}

func (c *brokerConn) send(f Frame) { _ = c.pipe.send([]Frame{f}) } // the reading side sees a lost connection

func (b *Broker) subscribe(c *brokerConn, f Frame, l *brokerLog) {
	if c.reader < 0 {
		c.reader = b.readers
		b.readers++
	}
	channel := f["channel"].(string)
	from := l.offset
	if offset, ok := f["offset"].(float64); ok {
		from = int(offset)
	}
	c.subs[channel] = true
	c.send(Frame{"type": "subscribed", "ref": f["ref"], "channel": channel, "epoch": "e", "offset": from})
	for _, m := range l.messages {
		if m["offset"].(int) > from {
			b.deliver(c, m)
		}
	}
}

func (b *Broker) deliver(c *brokerConn, m Frame) {
	out := []Frame{m}
	if b.Deliver != nil {
		out = b.Deliver(c.reader, m)
	}
	for _, f := range out {
		c.send(f)
	}
}

func (b *Broker) publish(c *brokerConn, f Frame, l *brokerLog) {
	id, channel := f["id"].(string), f["channel"].(string)
	m, duplicate := l.byID[id]
	if !duplicate {
		m = Frame{"type": "message", "channel": channel, "id": id, "data": f["data"], "time": 1, "epoch": "e", "offset": l.offset + 1, "prev": l.offset}
		l.byID[id] = m
		if b.Keep == nil || b.Keep(id) {
			l.offset++
			l.messages = append(l.messages, m)
			for other := range b.conns {
				if other.subs[channel] {
					b.deliver(other, m)
				}
			}
		}
	}
	if !duplicate { // only what is new counts: else a window full of repeats might never get through
		b.published++
	}
	if !duplicate && b.CutEvery > 0 && b.published%b.CutEvery == 0 {
		c.pipe.end(0, "")
		return
	}
	c.send(Frame{"type": "published", "ref": f["ref"], "channel": channel, "id": id, "epoch": "e", "offset": m["offset"], "prev": m["prev"], "duplicate": duplicate})
}

func (b *Broker) history(c *brokerConn, f Frame, l *brokerLog) {
	after, _ := f["offset"].(float64)
	limit := 100
	if n, ok := f["limit"].(float64); ok {
		limit = int(n)
	}
	page := []Frame{}
	more := false
	for _, m := range l.messages {
		if m["offset"].(int) <= int(after) {
			continue
		}
		if more = len(page) == limit; more {
			break
		}
		page = append(page, m)
	}
	c.send(Frame{"type": "history", "ref": f["ref"], "channel": f["channel"], "messages": page, "more": more, "head": Frame{"epoch": "e", "offset": l.offset}})
}
