package pusher

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
	"github.com/snoserver/sno/internal/wire"
)

// pullBytes is about how much is taken from the session at once.
const pullBytes = 64 << 10

// pulling is what Pull has to know of a connection.
type pulling struct {
	positions atomic.Bool     // the client wants to know where it is
	joins     map[string]join // presence channels whose members are to come
	end       *hub.Error      // is next
}

// Pull implements wire.Handler. Clients read one event a WebSocket message, so several events are several messages, which leave together.
func (h *Handler) Pull(dst []byte, wait bool) ([]byte, wire.Next) {
	s := h.session.Load()
	switch {
	case s == nil:
		return appendError(dst, h.refused.End, h.refused.Reason), *h.refused
	case h.pulling.end != nil:
		return h.ending(dst)
	case !wait && !h.pulling.positions.Load():
		if run, more := s.PullRun(); run != nil {
			p := run.Encoded(hub.FormatPusher, encodeRun).(*wire.Payload)
			if len(p.Ends) == 0 { // nothing in it is for these clients
				return dst, wire.Next{More: more}
			}
			return dst, wire.Next{Shared: p, More: more}
		}
	}
	buf := eventBuffers.Get().(*[]hub.Event)
	defer giveBack(buf)
	var next wire.Next
	if wait {
		*buf, next.More = s.Pull((*buf)[:0], pullBytes)
	} else {
		*buf, next.More, next.Wait = s.PullNow((*buf)[:0], pullBytes)
	}
	b := batch{h: h, start: len(dst), bytes: dst}
	b.events(*buf)
	switch {
	case h.pulling.end != nil && len(b.ends) == 0:
		return h.ending(dst)
	case h.pulling.end != nil:
		next.More = true
	}
	return b.out(next)
}

// ending says why the connection ends, and ends it.
func (h *Handler) ending(dst []byte) ([]byte, wire.Next) {
	err := h.pulling.end
	code := closeCode(err)
	if code != codeReconnect { // which is no error
		dst = appendError(dst, code, err.Text)
	}
	return dst, wire.Next{End: code, Reason: err.Text}
}

var eventBuffers = sync.Pool{New: func() any { return new([]hub.Event) }}

// giveBack keeps no message from being forgotten, and no buffer that a flood has made large.
func giveBack(buf *[]hub.Event) {
	clear(*buf)
	if cap(*buf) <= 1024 {
		eventBuffers.Put(buf)
	}
}

func encodeRun(run *hub.Run) any {
	p := &wire.Payload{Ends: make([]int, 0, len(run.Messages()))}
	for _, m := range run.Messages() {
		if frame := m.Encoded(hub.FormatPusher, encodeMessage); len(frame) > 0 {
			p.Bytes = append(p.Bytes, frame...)
			p.Ends = append(p.Ends, len(p.Bytes))
		}
	}
	return p
}

// batch is what one Pull has to send.
type batch struct {
	h       *Handler
	start   int // of the first frame, in bytes
	bytes   []byte
	ends    []int // of the frames, in bytes
	watched watched
}

func (b *batch) frame(bytes []byte) {
	b.bytes = bytes
	b.ends = append(b.ends, len(bytes))
}

// out is a frame that is appended, or several as a payload of this connection's own.
func (b *batch) out(next wire.Next) ([]byte, wire.Next) {
	if len(b.ends) <= 1 {
		return b.bytes, next
	}
	p := &wire.Payload{Bytes: slices.Clone(b.bytes[b.start:]), Ends: b.ends}
	for i := range p.Ends {
		p.Ends[i] -= b.start
	}
	next.Shared = p
	return b.bytes[:b.start], next
}

func (b *batch) events(events []hub.Event) {
	for i := range events {
		if b.event(&events[i]); b.h.pulling.end != nil {
			break
		}
	}
	if b.watched != nil {
		b.frame(b.watched.append(b.bytes))
	}
}

func (b *batch) event(e *hub.Event) {
	positions := b.h.pulling.positions.Load()
	switch e.Kind {
	case hub.EventMessage:
		b.message(e.Message, positions)
	case hub.EventSkip:
		if positions && !e.Message.Ephemeral {
			b.frame(appendPosition(b.bytes, e.Channel, e.Message.Position()))
			b.frame(appendFrame(b.bytes, eventSkipped, e.Channel, "{}"))
		}
	case hub.EventReset:
		if positions {
			b.frame(appendReset(b.bytes, e.Channel, e.Detail.Reset))
		}
	case hub.EventAnswer:
		b.answer(e.Detail.Answer.(answer))
	case hub.EventMembers:
		b.members(e.Channel, e.Detail.Members)
	case hub.EventChange:
		b.change(e.Channel, e.Detail.Change)
	case hub.EventUnsubscribed:
		b.unsubscribed(e.Channel, e.Detail.Err)
	case hub.EventGoaway: // there is no word for it: the client goes when it is closed
	case hub.EventEnd:
		b.h.pulling.end = e.Detail.Err
	}
}

func (b *batch) message(m *hub.Message, positions bool) {
	frame := m.Encoded(hub.FormatPusher, encodeMessage)
	if len(frame) == 0 {
		return
	}
	if positions && !m.Ephemeral {
		b.frame(appendPosition(b.bytes, m.Channel.Name, m.Position()))
	}
	b.frame(append(b.bytes, frame...))
}

func (b *batch) answer(a answer) {
	for _, f := range a.frames {
		b.frame(append(b.bytes, f...))
	}
	if a.joins != "" {
		if b.h.pulling.joins == nil {
			b.h.pulling.joins = map[string]join{}
		}
		b.h.pulling.joins[a.joins] = a.join
	}
}

// members tells who is in a channel: in answer to a subscription, or again to a client that was too slow for the changes, which pusher-js takes as the new list.
func (b *batch) members(channel string, members []hub.Member) {
	if b.watched.note(channel, len(members) > 0) {
		return
	}
	j, joins := b.h.pulling.joins[channel]
	delete(b.h.pulling.joins, channel)
	data := encodeMembers(members)
	if !joins {
		b.frame(appendFrame(b.bytes, "pusher_internal:subscription_succeeded", channel, data))
		return
	}
	for _, f := range b.h.succeeded(channel, data, j) {
		b.frame(append(b.bytes, f...))
	}
}

// change tells that a user has come or gone. That a user has other data has no word.
func (b *batch) change(channel string, c hub.Change) {
	if c.Event == hub.MemberUpdated || b.watched.note(channel, c.Event == hub.MemberEntered) {
		return
	}
	data := messagejson.AppendString([]byte(`{"user_id":`), c.Member.ID)
	if c.Event == hub.MemberLeft {
		b.frame(appendFrame(b.bytes, "pusher_internal:member_removed", channel, string(append(data, '}'))))
		return
	}
	data = appendInfo(append(data, `,"user_info":`...), c.Member.Data)
	b.frame(appendFrame(b.bytes, "pusher_internal:member_added", channel, string(append(data, '}'))))
}

// unsubscribed tells that the hub has ended a subscription.
func (b *batch) unsubscribed(channel string, err *hub.Error) {
	f := b.h.remove(channel)
	if f == nil { // nobody has told the client of it
		return
	}
	if f.kind.presence {
		_ = b.h.session.Load().Leave(channel, f.member) // the hub may have ended that, too
	}
	r := &request{h: b.h}
	for _, frame := range r.refusal(channel, err) {
		b.frame(append(b.bytes, frame...))
	}
}
