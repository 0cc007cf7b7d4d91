package native

import (
	"sync"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/wire"
)

// Pull implements wire.Handler.
func (h *Handler) Pull(dst []byte, wait bool) ([]byte, wire.Next) {
	s := h.session.Load()
	if s == nil {
		return h.pullRefusal(dst)
	}
	if !wait && h.cursors == nil && !h.heart.Load() {
		if run, more := s.PullRun(); run != nil {
			return dst, wire.Next{Shared: h.shared(run), More: more}
		}
	}
	buf := eventBuffers.Get().(*[]hub.Event)
	defer giveBack(buf)
	var more, waits bool
	if wait {
		*buf, more = s.Pull((*buf)[:0], pullBytes)
	} else {
		*buf, more, waits = s.PullNow((*buf)[:0], pullBytes)
	}
	var next wire.Next
	if h.c.Append == nil {
		dst, next = h.encode(dst, *buf)
	} else {
		dst, next = h.encodeEach(dst, *buf)
	}
	next.More, next.Wait = more, waits
	if h.c.Poll {
		next.News, next.Waiting = h.news, s.Waiting()
	}
	return dst, next
}

var eventBuffers = sync.Pool{New: func() any { return new([]hub.Event) }}

// giveBack keeps no message from being forgotten, and no buffer that a flood has made large.
func giveBack(buf *[]hub.Event) {
	clear(*buf)
	if cap(*buf) <= 1024 {
		eventBuffers.Put(buf)
	}
}

// pullRefusal is what a connection gets that has no session.
func (h *Handler) pullRefusal(dst []byte) ([]byte, wire.Next) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refused == nil {
		return dst, wire.Next{}
	}
	if h.c.Append == nil {
		return append(dst, h.refused.frame...), h.refused.end
	}
	return h.c.Append(dst, h.refused.frame, ""), h.refused.end
}

// shared is what all sessions get that take the same run by the same kind of transport.
func (h *Handler) shared(run *hub.Run) *wire.Payload {
	form, encode := hub.FormatNative, encodeRun
	if h.c.Append != nil {
		form, encode = hub.FormatNativeLines, func(run *hub.Run) any {
			p := &wire.Payload{}
			for _, m := range run.Messages() {
				p.Bytes = h.c.Append(p.Bytes, m.Encoded(hub.FormatNative, encodeMessage), "")
			}
			return p
		}
	}
	return run.Encoded(form, encode).(*wire.Payload)
}

func encodeRun(run *hub.Run) any {
	messages := run.Messages()
	if len(messages) == 1 {
		return &wire.Payload{Bytes: messages[0].Encoded(hub.FormatNative, encodeMessage)}
	}
	p := &wire.Payload{Bytes: []byte{'['}}
	for i, m := range messages {
		if i > 0 {
			p.Bytes = append(p.Bytes, ',')
		}
		p.Bytes = append(p.Bytes, m.Encoded(hub.FormatNative, encodeMessage)...)
	}
	p.Bytes = append(p.Bytes, ']')
	return p
}

// encode joins the frames of events, and a heartbeat if one is due, into one message: a frame, or an array of several.
func (h *Handler) encode(dst []byte, events []hub.Event) ([]byte, wire.Next) {
	var next wire.Next
	start, frames := len(dst), 0
	dst = append(dst, '[')
	for i := range events {
		if frames++; frames > 1 {
			dst = append(dst, ',')
		}
		dst = appendEvent(dst, &events[i])
		if events[i].Kind == hub.EventEnd {
			next = ending(&events[i])
			break
		}
	}
	if h.heart.Swap(false) {
		if frames++; frames > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, encodePong("ping", nil, time.Now())...)
	}
	switch frames {
	case 0:
		return dst[:start], next
	case 1:
		return append(dst[:start], dst[start+1:]...), next
	}
	return append(dst, ']'), next
}

func ending(e *hub.Event) wire.Next {
	return wire.Next{End: int(e.Detail.Err.Code), Reason: e.Detail.Err.Text}
}

// encodeEach puts the frames of events, and a heartbeat if one is due, one by one into the transport's form.
func (h *Handler) encodeEach(dst []byte, events []hub.Event) ([]byte, wire.Next) {
	frame := frameBuffers.Get().(*[]byte)
	defer func() {
		if cap(*frame) <= pullBytes {
			frameBuffers.Put(frame)
		}
	}()
	for i := range events {
		e := &events[i]
		*frame = appendEvent((*frame)[:0], e)
		dst = h.c.Append(dst, *frame, h.moved(e))
		if e.Kind == hub.EventEnd {
			return dst, ending(e)
		}
		if a, ok := answerOf(e); !ok || !a.quiet {
			h.news = true
		}
	}
	if h.heart.Swap(false) {
		dst = h.c.Append(dst, encodePong("ping", nil, time.Now()), "")
	}
	return dst, wire.Next{}
}

var frameBuffers = sync.Pool{New: func() any { return new([]byte) }}

func answerOf(e *hub.Event) (answer, bool) {
	if e.Kind != hub.EventAnswer {
		return answer{}, false
	}
	return e.Detail.Answer.(answer), true
}

// moved returns the token that goes with the frame of an event.
func (h *Handler) moved(e *hub.Event) string {
	if h.cursors == nil {
		return ""
	}
	h.cursors.follow(e)
	if !h.c.EveryFrame || !h.cursors.moved {
		return ""
	}
	token, _ := h.cursors.token() // fits has seen to it
	return token
}

// Conclude appends the frame with which a poll ends: where the next one goes on.
func (h *Handler) Conclude(dst []byte) []byte {
	token, err := h.cursors.token()
	if err != nil {
		shown, _ := hub.Show(err)
		return h.c.Append(dst, newFrame("error", nil).error(shown).end(), "")
	}
	return h.c.Append(dst, newFrame("cursor", nil).str("cursor", token).end(), "")
}
