package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/snoserver/sno/internal/hub"
)

// maxBatch is how many messages one request may publish.
const maxBatch = 1000

// message is a message in a request's body.
type message struct {
	ID, Event, Exclude string
	Data               json.RawMessage
	Base64             *string
	Headers            map[string]*string
	Ephemeral          bool
	Expect             json.RawMessage
}

func (m *message) fields() map[string]any {
	return map[string]any{
		"id": &m.ID, "event": &m.Event, "data": &m.Data, "base64": &m.Base64, "headers": &m.Headers,
		"ephemeral": &m.Ephemeral, "exclude": &m.Exclude, "expect": &m.Expect,
	}
}

// musts says what a field must be.
var musts = map[string]string{
	"id": "a string", "event": "a string", "base64": "a string", "headers": "an object of strings", "ephemeral": "true or false",
	"exclude": "the id of a session, a string", "epoch": "a string", "offset": "an integer below 2^53",
}

// decodePublish reads a body: one message, or an array of them (many). The error is a *hub.Error.
func decodePublish(body []byte, channel string) (pubs []hub.Publication, many bool, err error) {
	if !utf8.Valid(body) {
		return nil, false, hub.Errorf(hub.CodeBadRequest, "the body is not UTF-8; send binary data as base64")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	first, err := d.Token()
	switch {
	case err != nil:
	case first == json.Delim('{'):
		pubs = make([]hub.Publication, 1)
		pubs[0], err = decodeMessage(d, channel, "")
	case first == json.Delim('['):
		many = true
		pubs, err = decodeArray(d, channel)
	default:
		err = hub.Errorf(hub.CodeBadRequest, "the body must be a message, {\"data\":…}, or an array of messages")
	}
	if err == nil {
		err = atEnd(d)
	}
	if err != nil {
		return nil, many, badJSON(err, d)
	}
	return pubs, many, nil
}

func atEnd(d *json.Decoder) error {
	if _, err := d.Token(); err != io.EOF {
		return hub.Errorf(hub.CodeBadRequest, "the body goes on after its end at byte %d; send several messages as an array", d.InputOffset())
	}
	return nil
}

// badJSON says where the body stops being JSON.
func badJSON(err error, d *json.Decoder) error {
	if _, ours := errors.AsType[*hub.Error](err); ours {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return hub.Errorf(hub.CodeBadRequest, "the body is not JSON: it ends in the middle, after byte %d", d.InputOffset())
	}
	return hub.Errorf(hub.CodeBadRequest, "the body is not JSON, after byte %d: %s", d.InputOffset(), err)
}

// decodeArray reads the messages of an array whose '[' has been read. They share an order: when one cannot be stored for now, those behind it
// are not stored either, so that sending again what has failed puts none in another's place.
func decodeArray(d *json.Decoder, channel string) ([]hub.Publication, error) {
	pubs, order := []hub.Publication{}, new(hub.Order)
	for d.More() {
		if len(pubs) == maxBatch {
			return nil, hub.Errorf(hub.CodeLimit, "a request publishes at most %d messages; nothing was stored: send several", maxBatch)
		}
		open, err := d.Token()
		if err != nil {
			return nil, err
		}
		if open != json.Delim('{') {
			return nil, hub.Errorf(hub.CodeBadRequest, "[%d] is not a message; it must be an object, {\"data\":…}", len(pubs))
		}
		p, err := decodeMessage(d, channel, fmt.Sprintf("[%d].", len(pubs)))
		if err != nil {
			return nil, err
		}
		p.Order = order
		pubs = append(pubs, p)
	}
	_, err := d.Token()
	return pubs, err
}

// decodeMessage reads a message whose '{' has been read. at stands before a field's name in errors.
func decodeMessage(d *json.Decoder, channel, at string) (hub.Publication, error) {
	var m message
	if err := decodeObject(d, m.fields(), at); err != nil {
		return hub.Publication{}, err
	}
	p := hub.Publication{Channels: []string{channel}, ID: m.ID, Event: m.Event, Exclude: m.Exclude, Ephemeral: m.Ephemeral}
	var err error
	if p.Data, p.Binary, err = m.payload(at); err != nil {
		return p, err
	}
	if p.Headers, err = m.headers(at); err != nil {
		return p, err
	}
	p.Expect, err = m.expect(at)
	return p, err
}

// decodeObject reads the members of an object, and its '}', into the fields of these names.
func decodeObject(d *json.Decoder, fields map[string]any, at string) error {
	seen := make(map[string]bool, len(fields))
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder takes nothing else in this place
		field, known := fields[name]
		if !known {
			return unknown(at, "field", name, slices.Sorted(maps.Keys(fields)))
		}
		if seen[name] {
			return hub.Errorf(hub.CodeBadRequest, "%s%s stands there twice", at, name)
		}
		seen[name] = true
		err = d.Decode(field)
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return hub.Errorf(hub.CodeBadRequest, "%s%s is or has a %s; it must be %s", at, name, clip(wrong.Value), musts[name])
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (m *message) payload(at string) (data []byte, binary bool, err error) {
	if m.Base64 == nil {
		if m.Data == nil {
			return []byte("null"), false, nil
		}
		return m.Data, false, nil
	}
	if m.Data != nil {
		return nil, false, hub.Errorf(hub.CodeBadRequest, "%sdata and base64 are both there; send one of them", at)
	}
	data, err = base64.StdEncoding.DecodeString(*m.Base64)
	if err != nil {
		return nil, false, hub.Errorf(hub.CodeBadRequest, "%sbase64 is none: %s; it must be that of RFC 4648 §4, with '+', '/' and padding", at, err)
	}
	return data, true, nil
}

func (m *message) headers(at string) (map[string]string, error) {
	if m.Headers == nil {
		return nil, nil
	}
	headers := make(map[string]string, len(m.Headers))
	for name, value := range m.Headers {
		if value == nil {
			return nil, hub.Errorf(hub.CodeBadRequest, "%sheaders.%s is null; it must be a string", at, clip(name))
		}
		headers[name] = *value
	}
	return headers, nil
}

func (m *message) expect(at string) (*hub.Position, error) {
	if m.Expect == nil || string(m.Expect) == "null" {
		return nil, nil
	}
	var epoch *string
	var offset *uint64
	d := json.NewDecoder(bytes.NewReader(m.Expect))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, hub.Errorf(hub.CodeBadRequest, "%sexpect must be a position, {\"epoch\":…,\"offset\":…}", at)
	}
	if err := decodeObject(d, map[string]any{"epoch": &epoch, "offset": &offset}, at+"expect."); err != nil {
		return nil, err
	}
	if epoch == nil || offset == nil || *offset > hub.MaxOffset {
		return nil, hub.Errorf(hub.CodeBadRequest, "%sexpect must have an epoch and an offset of at most %d", at, uint64(hub.MaxOffset))
	}
	return &hub.Position{Epoch: *epoch, Offset: *offset}, nil
}
