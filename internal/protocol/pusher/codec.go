package pusher

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
	"github.com/snoserver/sno/internal/protocol/messagejson"
)

// frame is any frame of a client.
type frame struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

// decodeFrame reads a frame. The error is for the client.
func decodeFrame(msg []byte) (*frame, *hub.Error) {
	f := new(frame)
	if !utf8.Valid(msg) {
		return nil, hub.Errorf(hub.CodeBadRequest, "The frame is not UTF-8")
	}
	if err := json.Unmarshal(msg, f); err != nil {
		return nil, badJSON(err)
	}
	if f.Event == "" {
		return nil, hub.Errorf(hub.CodeBadRequest, "Invalid message: a frame has an event")
	}
	return f, nil
}

// into reads the frame's data, an object or a string that holds one, as some clients send it.
func (f *frame) into(v any) *hub.Error {
	data := []byte(f.Data)
	if len(data) > 0 && data[0] == '"' {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return badJSON(err)
		}
		data = []byte(text)
	}
	if len(data) == 0 || string(data) == "null" {
		return hub.Errorf(hub.CodeBadRequest, "Invalid message: %s needs data", clip(f.Event))
	}
	if err := json.Unmarshal(data, v); err != nil {
		return badJSON(err)
	}
	return nil
}

func badJSON(err error) *hub.Error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return hub.Errorf(hub.CodeBadRequest, "Invalid message: %s must not be a %s", clip(wrong.Field), wrong.Value)
	}
	return hub.Errorf(hub.CodeBadRequest, "Invalid message: %s", clip(err.Error()))
}

// member is the user of a presence channel's channel_data.
type member struct {
	UserID   json.RawMessage `json:"user_id"`
	UserInfo json.RawMessage `json:"user_info"`
}

// id is the user's id as a string. Libraries also send numbers.
func (m *member) id() (string, bool) {
	var s string
	if len(m.UserID) > 0 && m.UserID[0] != '"' {
		_, err := strconv.ParseFloat(string(m.UserID), 64)
		return string(m.UserID), err == nil
	}
	err := json.Unmarshal(m.UserID, &s)
	return s, err == nil && s != ""
}

// info is what others are told of the user; nil: nothing.
func info(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}

// appendFrame appends a frame whose data is a string.
func appendFrame(dst []byte, event, channel, data string) []byte {
	dst = appendHead(dst, event, channel)
	return append(messagejson.AppendString(append(dst, `,"data":`...), data), '}')
}

func appendHead(dst []byte, event, channel string) []byte {
	dst = messagejson.AppendString(append(dst, `{"event":`...), event)
	if channel != "" {
		dst = messagejson.AppendString(append(dst, `,"channel":`...), channel)
	}
	return dst
}

// appendError appends a pusher:error. code 0 is none.
func appendError(dst []byte, code int, text string) []byte {
	dst = append(dst, `{"event":"pusher:error","data":{"code":`...)
	if code == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, int64(code), 10)
	}
	return append(messagejson.AppendString(append(dst, `,"message":`...), text), "}}"...)
}

// defaultEvent is the name of messages without one, which only other protocols publish.
const defaultEvent = "message"

// encodeMessage is the frame of a message, the same for all connections; empty: it is not for clients of this protocol.
func encodeMessage(m *hub.Message) []byte {
	event := m.Event
	switch {
	case event == "":
		event = defaultEvent
	case reserved(event) && event != countEvent, strings.HasPrefix(m.Channel.Name, online):
		return nil
	}
	dst := appendHead(make([]byte, 0, 64+len(event)+len(m.Channel.Name)+len(m.Data)+len(m.Data)/4), event, m.Channel.Name)
	dst = appendData(append(dst, `,"data":`...), m)
	if m.Client != "" && kindOf(m.Channel.Name).presence {
		dst = messagejson.AppendString(append(dst, `,"user_id":`...), m.Client)
	}
	return append(dst, '}')
}

// encodeMembers is the answer to who has subscribed to a presence channel.
func encodeMembers(members []hub.Member) string {
	ids, hash := []byte{'['}, []byte{'{'}
	for i, m := range members {
		if i > 0 {
			ids, hash = append(ids, ','), append(hash, ',')
		}
		ids = messagejson.AppendString(ids, m.ID)
		hash = appendInfo(append(messagejson.AppendString(hash, m.ID), ':'), m.Data)
	}
	b := append(append([]byte(`{"presence":{"ids":`), ids...), `],"hash":`...)
	b = append(append(b, hash...), `},"count":`...)
	return string(append(strconv.AppendInt(b, int64(len(members)), 10), "}}"...))
}

func appendInfo(dst, data []byte) []byte {
	if data == nil {
		return append(dst, "null"...)
	}
	return append(dst, data...)
}
