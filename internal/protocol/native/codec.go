package native

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// maxRefBytes is how long a client's mark for a request may be.
const maxRefBytes = 64

// frame is any frame of a client, decoded. Which fields count depends on its type.
type frame struct {
	Type       string            `json:"type"`
	Ref        json.RawMessage   `json:"ref"`
	Token      string            `json:"token"`
	Key        string            `json:"key"`
	App        string            `json:"app"`
	Session    string            `json:"session"`
	Time       *uint64           `json:"time"`
	SessionKey string            `json:"session_key"`
	Channel    string            `json:"channel"`
	Channels   []string          `json:"channels"`
	Epoch      *string           `json:"epoch"`
	Offset     *uint64           `json:"offset"`
	Last       *int              `json:"last"`
	Since      json.RawMessage   `json:"since"`
	Before     *uint64           `json:"before"`
	Limit      *int              `json:"limit"`
	Cursor     string            `json:"cursor"`
	Presence   bool              `json:"presence"`
	Version    uint64            `json:"version"`
	Event      string            `json:"event"`
	Data       json.RawMessage   `json:"data"`
	Base64     *string           `json:"base64"`
	Headers    map[string]string `json:"headers"`
	ID         string            `json:"id"`
	Echo       *bool             `json:"echo"`
	Ephemeral  bool              `json:"ephemeral"`
	Ordered    bool              `json:"ordered"`
	Retry      bool              `json:"retry"`
	Expect     *position         `json:"expect"`
	Member     string            `json:"member"`
}

type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// splitFrames returns the frames of one WebSocket message: an object, or an array of objects.
func splitFrames(msg []byte) ([]json.RawMessage, *hub.Error) {
	if err := checkText(msg); err != nil {
		return nil, err
	}
	msg = bytes.TrimLeft(msg, " \t\r\n")
	if len(msg) == 0 || msg[0] != '[' {
		return []json.RawMessage{msg}, nil
	}
	frames, ok := splitPlain(msg)
	if ok {
		return frames, nil
	}
	if err := json.Unmarshal(msg, &frames); err != nil {
		return nil, badJSON(err)
	}
	return frames, nil
}

// checkText refuses what is not UTF-8. Data is kept byte for byte, and a browser that gets a text message which is not UTF-8 ends its connection: one bad
// publisher would cut off everybody.
func checkText(b []byte) *hub.Error {
	if utf8.Valid(b) {
		return nil
	}
	return hub.Errorf(hub.CodeBadRequest, "the frame is not UTF-8; send binary data as base64")
}

// decodeFrame reads one frame. Its ref is set also when there is an error behind it.
func decodeFrame(b []byte) (*frame, *hub.Error) {
	f := new(frame)
	if !decodePlain(b, f) {
		if err := json.Unmarshal(b, f); err != nil {
			bad := badJSON(err)
			if checkRef(f.Ref) != nil {
				f.Ref = nil
			}
			return f, bad
		}
	}
	if err := checkRef(f.Ref); err != nil {
		f.Ref = nil
		return f, err
	}
	if f.Type == "" {
		return f, hub.Errorf(hub.CodeBadRequest, "type is missing: every frame is an object with a type")
	}
	return f, nil
}

func badJSON(err error) *hub.Error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return hub.Errorf(hub.CodeBadRequest, "%s: a %s does not fit here", wrong.Field, wrong.Value)
	}
	return hub.Errorf(hub.CodeBadRequest, "not a JSON frame: %s", err)
}

func checkRef(ref json.RawMessage) *hub.Error {
	if ref == nil {
		return nil
	}
	_, notInteger := strconv.ParseInt(string(ref), 10, 64)
	if len(ref) <= maxRefBytes+2 && (ref[0] == '"' || notInteger == nil) {
		return nil
	}
	return hub.Errorf(hub.CodeBadRequest, "ref: an integer or a string of at most %d bytes", maxRefBytes)
}

// from reads where a subscription begins.
func (f *frame) from(now time.Time) (hub.From, *hub.Error) {
	after, err := f.after()
	if err != nil {
		return hub.From{}, err
	}
	from := hub.From{After: after}
	ways := 0
	if after != nil {
		ways++
	}
	if f.Last != nil {
		ways++
		if from.Last = *f.Last; from.Last < 0 {
			return from, hub.Errorf(hub.CodeBadRequest, "last: %d is not a number of messages", from.Last)
		}
	}
	if f.Since != nil {
		ways++
		if from.Since, err = parseSince(f.Since, now); err != nil {
			return from, err
		}
	}
	if ways > 1 {
		return from, hub.Errorf(hub.CodeBadRequest, "offset, last and since exclude each other: give one")
	}
	return from, nil
}

func (f *frame) after() (*hub.Position, *hub.Error) {
	if f.Offset == nil && f.Epoch == nil {
		return nil, nil
	}
	if f.Offset == nil || f.Epoch == nil {
		return nil, hub.Errorf(hub.CodeBadRequest, "a position is an epoch and an offset: give both")
	}
	if *f.Offset > hub.MaxOffset {
		return nil, hub.Errorf(hub.CodeBadRequest, "offset %d: an offset is at most %d", *f.Offset, uint64(hub.MaxOffset))
	}
	return &hub.Position{Epoch: *f.Epoch, Offset: *f.Offset}, nil
}

// parseSince reads a number of milliseconds, or a string that is a time or a duration.
func parseSince(raw json.RawMessage, now time.Time) (time.Time, *hub.Error) {
	var s string
	if raw[0] != '"' {
		s = string(raw)
	} else if err := json.Unmarshal(raw, &s); err != nil {
		return time.Time{}, badJSON(err)
	}
	t, err := messagejson.ParseSince(s, now)
	if err != nil {
		shown, _ := hub.Show(err)
		return t, shown
	}
	return t, nil
}

// data returns the message's payload.
func (f *frame) data() (data []byte, binary bool, err *hub.Error) {
	if f.Base64 == nil {
		if f.Data == nil {
			return []byte("null"), false, nil
		}
		return f.Data, false, nil
	}
	if f.Data != nil {
		return nil, false, hub.Errorf(hub.CodeBadRequest, "data and base64 exclude each other: give one")
	}
	data, bad := base64.StdEncoding.DecodeString(*f.Base64)
	if bad != nil {
		return nil, true, hub.Errorf(hub.CodeBadRequest, "base64: %s (RFC 4648 §4, with padding)", bad)
	}
	return data, true, nil
}

// writer builds an outgoing frame.
type writer struct{ b []byte }

func newFrame(kind string, ref json.RawMessage) *writer {
	w := &writer{b: make([]byte, 0, 160)}
	w.b = append(w.b, `{"type":"`...)
	w.b = append(append(w.b, kind...), '"')
	if ref != nil {
		w.b = append(append(w.b, `,"ref":`...), ref...)
	}
	return w
}

func (w *writer) key(k string) {
	w.b = append(append(append(w.b, ',', '"'), k...), '"', ':')
}

func (w *writer) str(k, v string) *writer {
	w.key(k)
	w.b = messagejson.AppendString(w.b, v)
	return w
}

func (w *writer) num(k string, v uint64) *writer {
	w.key(k)
	w.b = strconv.AppendUint(w.b, v, 10)
	return w
}

func (w *writer) raw(k string, v []byte) *writer {
	w.key(k)
	w.b = append(w.b, v...)
	return w
}

// object writes an object as the value of the key before.
func (w *writer) object(fill func(*writer)) {
	inner := &writer{}
	fill(inner)
	inner.b[0] = '{' // in place of the comma before the first member
	w.b = append(append(w.b, inner.b...), '}')
}

func (w *writer) position(p hub.Position) *writer {
	w.b = messagejson.AppendPosition(append(w.b, ','), p)
	return w
}

func (w *writer) error(e *hub.Error) *writer {
	return w.num("code", uint64(e.Code)).str("name", e.Code.String()).str("text", e.Text)
}

func (w *writer) end() []byte { return append(w.b, '}') }

// encodeMessage is the frame of a message, the same for all sessions.
func encodeMessage(m *hub.Message) []byte {
	b := make([]byte, 0, 192+len(m.Data)+len(m.Data)/3)
	return append(messagejson.AppendFields(append(b, `{"type":"message",`...), m), '}')
}

func encodeMember(m hub.Member, sessions bool) []byte {
	b := messagejson.AppendString([]byte(`{"id":`), m.ID)
	if m.Data != nil {
		b = append(append(b, `,"data":`...), m.Data...)
	}
	if sessions {
		b = fmt.Appendf(b, `,"sessions":%d`, m.Sessions)
	}
	return append(b, '}')
}
