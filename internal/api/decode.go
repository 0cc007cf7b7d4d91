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

// maxBatch is how many messages one request may publish, counting one for each channel.
const maxBatch = 1000

// message is a message in a request's body.
type message struct {
	Channel            *string
	Channels           []string
	ID, Event, Exclude string
	Data               json.RawMessage
	Base64             *string
	Headers            map[string]*string
	Ephemeral          bool
	Expect             json.RawMessage
}

// fields are those that a message may have. Where the path does not name the channel, the message does.
func (m *message) fields(addressed bool) map[string]any {
	fields := map[string]any{
		"id": &m.ID, "event": &m.Event, "data": &m.Data, "base64": &m.Base64, "headers": &m.Headers,
		"ephemeral": &m.Ephemeral, "exclude": &m.Exclude, "expect": &m.Expect,
	}
	if addressed {
		fields["channel"], fields["channels"] = &m.Channel, &m.Channels
	}
	return fields
}

// musts says what a field must be.
var musts = map[string]string{
	"channel": "a string", "channels": "an array of strings", "id": "a string", "event": "a string", "base64": "a string", "headers": "an object of strings", "ephemeral": "true or false",
	"exclude": "the id of a session, a string", "client": "a string", "ttl": "a number of seconds", "epoch": "a string", "offset": "an integer below 2^53",
}

// batch is what a body asks to publish.
type batch struct {
	pubs []hub.Publication
	many bool // answered by an array of results
}

// decodePublish reads a body: one message, or an array of them. channel is the one that the path names; empty: each message names its own.
// The error is a *hub.Error.
func decodePublish(body []byte, channel string) (batch, error) {
	if !utf8.Valid(body) {
		return batch{}, hub.Errorf(hub.CodeBadRequest, "the body is not UTF-8; send binary data as base64")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	var b batch
	first, err := d.Token()
	switch {
	case err != nil:
	case first == json.Delim('{'):
		err = b.decodeMessage(d, channel, "")
	case first == json.Delim('['):
		b.many = true
		err = b.decodeArray(d, channel)
	default:
		err = hub.Errorf(hub.CodeBadRequest, "the body must be a message, {\"data\":…}, or an array of messages")
	}
	if err == nil {
		err = atEnd(d)
	}
	if err != nil {
		return batch{}, badJSON(err, d)
	}
	return b, nil
}

// check bounds what a body asks for that names a message once and many channels.
func (b *batch) check(most int64) error {
	count, size := 0, int64(0)
	for i := range b.pubs {
		p := &b.pubs[i]
		count += len(p.Channels)
		size += int64(len(p.Channels)) * int64(len(p.Data))
	}
	if count > maxBatch {
		return hub.Errorf(hub.CodeLimit, "a request publishes at most %d messages, counting one for each channel, not %d; nothing was stored: send several", maxBatch, count)
	}
	if size > most {
		return hub.Errorf(hub.CodeLimit, "the messages have %d bytes over all their channels, the limit is %d; nothing was stored: send several requests", size, most)
	}
	return nil
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
func (b *batch) decodeArray(d *json.Decoder, channel string) error {
	for order := new(hub.Order); d.More(); {
		n := len(b.pubs)
		if n == maxBatch {
			return hub.Errorf(hub.CodeLimit, "a request publishes at most %d messages; nothing was stored: send several", maxBatch)
		}
		open, err := d.Token()
		if err != nil {
			return err
		}
		if open != json.Delim('{') {
			return hub.Errorf(hub.CodeBadRequest, "[%d] is not a message; it must be an object, {\"data\":…}", n)
		}
		if err := b.decodeMessage(d, channel, fmt.Sprintf("[%d].", n)); err != nil {
			return err
		}
		b.pubs[n].Order = order
	}
	_, err := d.Token()
	return err
}

// decodeMessage reads a message whose '{' has been read. at stands before a field's name in errors.
func (b *batch) decodeMessage(d *json.Decoder, channel, at string) error {
	m := message{Channel: &channel}
	if channel == "" {
		m.Channel = nil
	}
	if err := decodeObject(d, m.fields(channel == ""), at); err != nil {
		return err
	}
	p := hub.Publication{ID: m.ID, Event: m.Event, Exclude: m.Exclude, Ephemeral: m.Ephemeral}
	var err error
	if p.Channels, err = m.to(at); err != nil {
		return err
	}
	if p.Data, p.Binary, err = m.payload(at); err != nil {
		return err
	}
	if p.Headers, err = m.headers(at); err != nil {
		return err
	}
	if p.Expect, err = m.expect(at); err != nil {
		return err
	}
	b.pubs, b.many = append(b.pubs, p), b.many || m.Channels != nil
	return nil
}

// to returns the channels that the message is for.
func (m *message) to(at string) ([]string, error) {
	switch {
	case m.Channel != nil && m.Channels != nil:
		return nil, hub.Errorf(hub.CodeBadRequest, "%schannel and channels are both there; send one of them", at)
	case m.Channel != nil:
		return []string{*m.Channel}, nil
	case len(m.Channels) == 0:
		return nil, hub.Errorf(hub.CodeBadRequest, "%schannel is missing; name the channel to publish to, or several as channels", at)
	}
	return m.Channels, nil
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
			must := musts[name]
			if _, patterns := field.(*map[string][]string); patterns {
				must = "an object of patterns to arrays of actions"
			}
			return hub.Errorf(hub.CodeBadRequest, "%s%s is or has a %s; it must be %s", at, name, clip(wrong.Value), must)
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
