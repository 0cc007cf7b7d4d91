package client

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// frame is any frame from the server; which fields are set depends on Type.
type frame struct {
	Type string `json:"type"`
	Ref  uint64 `json:"ref"`
	messageFields
	welcomeFields
	pageFields
	presenceFields

	Code   hub.Code `json:"code"`
	Text   string   `json:"text"`
	Reason string   `json:"reason"`
	Cursor string   `json:"cursor"`
	Delay  int64    `json:"delay"`
}

type messageFields struct {
	Channel   string            `json:"channel"`
	ID        string            `json:"id"`
	Event     string            `json:"event"`
	Data      json.RawMessage   `json:"data"`
	Base64    *string           `json:"base64"`
	Headers   map[string]string `json:"headers"`
	Client    string            `json:"client"`
	Time      int64             `json:"time"`
	Epoch     string            `json:"epoch"`
	Offset    uint64            `json:"offset"`
	Prev      uint64            `json:"prev"`
	Ephemeral bool              `json:"ephemeral"`
	Duplicate bool              `json:"duplicate"`
	Deliver   string            `json:"deliver"`
}

type welcomeFields struct {
	Session    string `json:"session"`
	SessionKey string `json:"session_key"`
	Heartbeat  int64  `json:"heartbeat"`
	Backoff    struct {
		Min int64 `json:"min"`
		Max int64 `json:"max"`
	} `json:"backoff"`
	Limits struct {
		FrameBytes int `json:"frame_bytes"`
	} `json:"limits"`
}

type pageFields struct {
	Messages []messageFields `json:"messages"`
	More     bool            `json:"more"`
	Head     struct {
		Epoch  string `json:"epoch"`
		Offset uint64 `json:"offset"`
	} `json:"head"`
	Reset string `json:"reset"`
}

type presenceFields struct {
	Action  string   `json:"action"`
	Version uint64   `json:"version"`
	Members []Member `json:"members"`
	Member  *Member  `json:"member"`
}

// Message is one message as the server sent it.
type Message struct {
	Channel string
	ID      string
	Event   string
	// Data is one JSON value byte for byte, or any bytes when Binary.
	Data    []byte
	Binary  bool
	Headers map[string]string
	// Client is the client id of the publisher; empty for a backend.
	Client string
	Time   time.Time
	// Position and Prev are zero when Ephemeral.
	Position  hub.Position
	Prev      uint64
	Ephemeral bool
}

// Member is somebody in a channel.
type Member struct {
	ID   string          `json:"id"`
	Data json.RawMessage `json:"data,omitempty"`
	// Sessions is set in snapshots only.
	Sessions int `json:"sessions,omitempty"`
}

func (f *messageFields) position() hub.Position {
	return hub.Position{Epoch: f.Epoch, Offset: f.Offset}
}

func (f *messageFields) message() (*Message, error) {
	m := &Message{
		Channel: f.Channel, ID: f.ID, Event: f.Event, Data: f.Data, Headers: f.Headers, Client: f.Client,
		Time: time.UnixMilli(f.Time).UTC(), Position: f.position(), Prev: f.Prev, Ephemeral: f.Ephemeral,
	}
	if f.Base64 == nil {
		return m, nil
	}
	data, err := base64.StdEncoding.DecodeString(*f.Base64)
	if err != nil {
		return nil, fmt.Errorf("message %q on channel %q: base64: %w", f.ID, f.Channel, err)
	}
	m.Data, m.Binary = data, true
	return m, nil
}

// err returns what an error frame says.
func (f *frame) err() *hub.Error { return &hub.Error{Code: f.Code, Text: f.Text} }

// decodeFrames reads one WebSocket message: a frame or an array of frames.
func decodeFrames(b []byte) ([]frame, error) {
	b = bytes.TrimLeft(b, " \t\r\n")
	var frames []frame
	if len(b) > 0 && b[0] == '[' {
		err := json.Unmarshal(b, &frames)
		return frames, err
	}
	frames = make([]frame, 1)
	err := json.Unmarshal(b, &frames[0])
	return frames, err
}

// position is a position in a frame from the client.
type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

func wirePosition(p *hub.Position) *position {
	if p == nil {
		return nil
	}
	return &position{p.Epoch, p.Offset}
}

// request is every frame that the client sends, but for its data, which encode adds.
type request struct {
	Type    string            `json:"type"`
	Ref     uint64            `json:"ref,omitempty"`
	Channel string            `json:"channel,omitempty"`
	ID      string            `json:"id,omitempty"`
	Event   string            `json:"event,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Base64  *string           `json:"base64,omitempty"`
	Echo    *bool             `json:"echo,omitempty"`
	Member  string            `json:"member,omitempty"`
	// *position gives subscribe and history their epoch and offset; Expect is publish's.
	*position
	Expect    *position `json:"expect,omitempty"`
	Ephemeral bool      `json:"ephemeral,omitempty"`
	Ordered   bool      `json:"ordered,omitempty"`
	Before    uint64    `json:"before,omitempty"`
	Last      int       `json:"last,omitempty"`
	Since     string    `json:"since,omitempty"`
	Limit     int       `json:"limit,omitempty"`
	Presence  bool      `json:"presence,omitempty"`
	Token     string    `json:"token,omitempty"`
	Key       string    `json:"key,omitempty"`
	App       string    `json:"app,omitempty"`
	// Session is named by the requests beside a stream.
	Session    string `json:"session,omitempty"`
	SessionKey string `json:"session_key,omitempty"`
	Time       int64  `json:"time,omitempty"`
	Cursor     string `json:"cursor,omitempty"`
}

// encode gives the request as JSON with data as it is: encoding/json would compact and escape a RawMessage, and data is kept byte for byte.
func (r *request) encode(data []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		panic(err) // strings, numbers and bools only
	}
	frame := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if data == nil {
		return frame
	}
	frame = append(frame[:len(frame)-1], `,"data":`...)
	return append(append(frame, data...), '}')
}
