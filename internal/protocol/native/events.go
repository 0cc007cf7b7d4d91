package native

import (
	"encoding/json"
	"time"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// answer is what the session keeps for us until it is pulled.
type answer struct {
	frame []byte
	// moves, if set, says what the frame does to the cursors.
	moves func(*cursors)
	// quiet: the client does not wait for it.
	quiet bool
}

// appendEvent appends the frame of one event.
func appendEvent(dst []byte, e *hub.Event) []byte {
	d := e.Detail
	switch e.Kind {
	case hub.EventMessage:
		return append(dst, e.Message.Encoded(hub.FormatNative, encodeMessage)...)
	case hub.EventSkip:
		return append(dst, newFrame("skip", nil).str("channel", e.Channel).position(e.Message.Position()).num("prev", e.Message.Prev).end()...)
	case hub.EventReset:
		return append(dst, newFrame("reset", nil).str("channel", e.Channel).str("reason", string(d.Reset)).position(d.Position).end()...)
	case hub.EventAnswer:
		return append(dst, d.Answer.(answer).frame...)
	case hub.EventUnsubscribed:
		return append(dst, newFrame("unsubscribed", nil).str("channel", e.Channel).error(d.Err).end()...)
	case hub.EventMembers:
		return append(dst, encodeSnapshot(nil, e.Channel, d.Members, d.Version)...)
	case hub.EventChange:
		return append(dst, encodeChange(e.Channel, d.Change)...)
	case hub.EventGoaway:
		return append(dst, newFrame("goaway", nil).num("delay", uint64(d.Delay.Milliseconds())).error(d.Err).end()...)
	default: // hub.EventEnd
		return append(dst, newFrame("error", nil).error(d.Err).end()...)
	}
}

var changeNames = map[hub.PresenceEvent]string{hub.MemberEntered: "enter", hub.MemberUpdated: "update", hub.MemberLeft: "leave"}

func encodeChange(channel string, c hub.Change) []byte {
	w := newFrame("presence", nil).str("channel", channel).str("action", changeNames[c.Event]).num("version", c.Version)
	return w.raw("member", encodeMember(c.Member, false)).end()
}

func encodeSnapshot(ref json.RawMessage, channel string, members []hub.Member, version uint64) []byte {
	w := newFrame("presence", ref).str("channel", channel).str("action", "snapshot").num("version", version)
	w.key("members")
	w.b = append(w.b, '[')
	for i, m := range members {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = append(w.b, encodeMember(m, true)...)
	}
	w.b = append(w.b, ']')
	return w.end()
}

func encodeHistory(ref json.RawMessage, channel string, p hub.Page) []byte {
	w := newFrame("history", ref).str("channel", channel)
	w.key("messages")
	w.b = append(w.b, '[')
	for i, m := range p.Messages {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.b = messagejson.Append(w.b, m)
	}
	w.b = append(w.b, ']')
	more := []byte("false")
	if p.More {
		more = []byte("true")
	}
	w.raw("more", more)
	w.raw("head", append(messagejson.AppendPosition([]byte{'{'}, p.Head), '}'))
	if p.Reset != "" {
		w.str("reset", string(p.Reset))
	}
	return w.end()
}

func encodePublished(ref json.RawMessage, channel string, r hub.Result) []byte {
	w := newFrame("published", ref)
	w.result(channel, r)
	return w.end()
}

// result appends the members that say what became of one message.
func (w *writer) result(channel string, r hub.Result) {
	w.str("channel", channel)
	if r.Err != nil {
		shown, _ := hub.Show(r.Err)
		w.error(shown)
		return
	}
	w.str("id", r.ID)
	if r.Position.Epoch == "" {
		w.raw("ephemeral", []byte("true"))
		return
	}
	w.position(r.Position).num("prev", r.Prev)
	if r.Duplicate {
		w.raw("duplicate", []byte("true"))
	}
}

func encodeResults(ref json.RawMessage, channels []string, results []hub.Result) []byte {
	w := newFrame("published", ref)
	w.key("results")
	for i, r := range results {
		w.b = append(w.b, "[,"[min(i, 1)])
		w.object(func(o *writer) { o.result(channels[i], r) })
	}
	w.b = append(w.b, ']')
	return w.end()
}

func encodeOK(ref json.RawMessage) []byte { return newFrame("ok", ref).end() }

func encodePong(kind string, ref json.RawMessage, now time.Time) []byte {
	return newFrame(kind, ref).num("time", uint64(now.UnixMilli())).end()
}
