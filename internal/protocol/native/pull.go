package native

import (
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/wire"
)

// Pull implements wire.Handler.
func (h *Handler) Pull(dst []byte) ([]byte, wire.Next) {
	s := h.session.Load()
	if s == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.c.Append == nil || h.refusal == nil {
			return append(dst, h.refusal...), h.end
		}
		return h.c.Append(dst, h.refusal, ""), h.end
	}
	events, more := s.Pull(h.events[:0], pullBytes)
	var next wire.Next
	if h.c.Append == nil {
		dst, next = h.encode(dst, events)
	} else {
		dst, next = h.encodeEach(dst, events)
	}
	next.More = more
	if h.c.Poll {
		next.News, next.Waiting = h.news, s.Waiting()
	}
	clear(events)
	if cap(events) <= 64 {
		h.events = events[:0]
	} else {
		h.events = nil
	}
	return dst, next
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
	for i := range events {
		e := &events[i]
		h.frame = appendEvent(h.frame[:0], e)
		dst = h.c.Append(dst, h.frame, h.moved(e))
		if e.Kind == hub.EventEnd {
			return dst, ending(e)
		}
		if a, ok := answerOf(e); !ok || !a.quiet {
			h.news = true
		}
	}
	if cap(h.frame) > pullBytes {
		h.frame = nil
	}
	if h.heart.Swap(false) {
		dst = h.c.Append(dst, encodePong("ping", nil, time.Now()), "")
	}
	return dst, wire.Next{}
}

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
