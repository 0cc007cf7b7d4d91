package hub

import (
	"context"
	"crypto/rand"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a message's small parts. They are part of the protocol.
const (
	MaxIDBytes         = 256
	MaxEventBytes      = 256
	MaxHeaderBytes     = 8 << 10
	MaxPublishChannels = 100
	// MaxPublishBytes bounds the data of a message times its channels: each gets a copy in the log.
	MaxPublishBytes = 32 << 20
)

// Publication is a message on its way in. Each of its channels gets its own message, with the same id.
type Publication struct {
	Channels []string
	// ID makes the publication repeatable: the same id on the same channel is stored once. Empty: the log makes one.
	ID    string
	Event string
	// Data is one JSON value that the caller has parsed, or any bytes when Binary. It must not be changed afterwards.
	Data    []byte
	Binary  bool
	Headers map[string]string
	// Exclude is the id of a session that shall not get the message.
	Exclude   string
	Ephemeral bool
	// Order, if set, is the order of the publisher; see Order.
	Order *Order
	// Expect, if set, is where the channel's newest message must be, or it fails with CodeConflict.
	Expect *Position
}

// Publish appends messages to their channels (action publish). It returns an error if any of them is malformed or not
// allowed: then nothing was stored. Otherwise done is called once, with a result per channel per publication, in order, when all is
// stored or has failed; it may be called before Publish returns, and must not block. Publishes of one goroutine keep their order in each channel.
func (h *Hub) Publish(g *Grant, pubs []Publication, done func([]Result)) error {
	accepted := h.now()
	entries, err := h.entries(g, pubs, accepted)
	if err != nil {
		shown, _ := Show(err)
		h.meter.Refused(messages(pubs), shown.Code)
		return err
	}
	h.append(entries, h.metered(accepted, done))
	return nil
}

// entries checks publications and makes their messages.
func (h *Hub) entries(g *Grant, pubs []Publication, accepted instant) ([]Entry, error) {
	var entries []Entry
	for i := range pubs {
		if err := h.checkPublication(&pubs[i]); err != nil {
			return nil, numbered(err, i, len(pubs))
		}
		for _, name := range pubs[i].Channels {
			ch, rule, err := h.authorise(g, ActionPublish, name)
			if err != nil {
				return nil, numbered(err, i, len(pubs))
			}
			m := pubs[i].message(ch, g.Client)
			m.accepted = accepted
			entries = append(entries, Entry{Message: m, Keep: rule.Keep, Expect: pubs[i].Expect, Order: pubs[i].Order})
		}
	}
	return entries, nil
}

// numbered says which of several publications an error is about.
func numbered(err error, i, n int) error {
	if shown, ok := Show(err); ok && n > 1 {
		return Errorf(shown.Code, "message %d of %d: %s", i+1, n, shown.Text)
	}
	return err
}

// PublishWait is Publish for callers that wait. When ctx ends first the messages may or may not be stored.
func (h *Hub) PublishWait(ctx context.Context, g *Grant, pubs []Publication) ([]Result, error) {
	results := make(chan []Result, 1)
	if err := h.Publish(g, pubs, func(r []Result) { results <- r }); err != nil {
		return nil, err
	}
	select {
	case r := <-results:
		return r, nil
	case <-ctx.Done():
		return nil, Errorf(CodeUnavailable, "the message was not stored in time: it may or may not be stored later; repeat it with the same id")
	}
}

// append sends stored messages to the log and ephemeral ones to the tails.
func (h *Hub) append(entries []Entry, done func([]Result)) {
	stored := make([]Entry, 0, len(entries))
	for _, e := range entries {
		if e.Message.Ephemeral {
			h.deliverEphemeral(e.Message)
		} else {
			stored = append(stored, e)
		}
	}
	switch len(stored) {
	case len(entries):
		h.log.Append(stored, done)
	case 0:
		done(withEphemeral(entries, nil))
	default:
		h.log.Append(stored, func(r []Result) { done(withEphemeral(entries, r)) })
	}
}

// withEphemeral puts the results of ephemeral messages between those of the stored ones.
func withEphemeral(entries []Entry, stored []Result) []Result {
	results := make([]Result, len(entries))
	for i, e := range entries {
		if e.Message.Ephemeral {
			results[i] = Result{ID: e.Message.ID}
		} else {
			results[i], stored = stored[0], stored[1:]
		}
	}
	return results
}

func (h *Hub) deliverEphemeral(m *Message) {
	if l := h.registry.find(m.Channel); l != nil {
		l.take(m)
		h.changed([]*live{l}, 0)
	}
}

func (p *Publication) message(ch Channel, client string) *Message {
	m := &Message{
		Channel: ch, ID: p.ID, OwnID: p.ID == "", Event: p.Event, Data: p.Data, Binary: p.Binary, Headers: p.Headers,
		Client: client, Exclude: p.Exclude, Ephemeral: p.Ephemeral,
	}
	if m.Ephemeral {
		m.Time = time.Now().UnixMilli()
		if m.OwnID {
			m.ID = rand.Text()
		}
	}
	return m
}

func (h *Hub) checkPublication(p *Publication) error {
	switch {
	case len(p.Channels) == 0:
		return Errorf(CodeBadRequest, "channel is missing: name the channel to publish to")
	case len(p.Channels) > MaxPublishChannels:
		return Errorf(CodeLimit, "%d channels in one publish; the limit is %d: use several", len(p.Channels), MaxPublishChannels)
	case len(p.Channels) > 1 && len(p.Channels)*len(p.Data) > MaxPublishBytes:
		return Errorf(CodeLimit, "the message has %d bytes over all its channels; the limit is %d: use several publishes", len(p.Channels)*len(p.Data), MaxPublishBytes)
	case p.Expect != nil && (len(p.Channels) > 1 || p.Ephemeral):
		return Errorf(CodeBadRequest, "expect goes with one channel and a stored message only")
	case len(p.ID) > MaxIDBytes || !utf8.ValidString(p.ID):
		return Errorf(CodeBadRequest, "id has %d bytes; it must be UTF-8 of at most %d", len(p.ID), MaxIDBytes)
	case len(p.Event) > MaxEventBytes || !utf8.ValidString(p.Event):
		return Errorf(CodeBadRequest, "event has %d bytes; it must be UTF-8 of at most %d", len(p.Event), MaxEventBytes)
	case !p.Binary && !utf8.Valid(p.Data):
		return Errorf(CodeBadRequest, "data is not valid UTF-8; send binary data as base64")
	}
	return h.checkSizes(p)
}

func (h *Hub) checkSizes(p *Publication) error {
	headers := 0
	for k, v := range p.Headers {
		if headers += len(k) + len(v); k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return Errorf(CodeBadRequest, "header %q: names must not be empty, names and values must be UTF-8", clip(k))
		}
	}
	if headers > MaxHeaderBytes {
		return Errorf(CodeLimit, "headers have %d bytes; the limit is %d", headers, MaxHeaderBytes)
	}
	if size, limit := len(p.Event)+len(p.Data)+headers, h.Limits().MessageBytes; size > limit {
		return Errorf(CodeMessageTooLarge, "the message has %d bytes; limits.message_bytes is %d: send a reference to the data, or raise the limit", size, limit)
	}
	return nil
}

func (h *Hub) checkName(name string) error {
	if limit := h.Limits().ChannelBytes; name == "" || len(name) > limit {
		return Errorf(CodeBadRequest, "a channel's name has 1 to %d bytes, not %d", limit, len(name))
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return Errorf(CodeBadRequest, "channel %q: a name is UTF-8 without control characters", clip(name))
	}
	return nil
}
