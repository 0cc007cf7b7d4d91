package native

import (
	"encoding/json"
	"time"

	"github.com/snoserver/sno/internal/hub"
)

// request is one frame on its way to its answer. Every request has a place for its answer reserved; exactly one of reply, done or a call of
// the session that answers gives it back.
type request struct {
	*frame
	h *Handler
	s *hub.Session
	n int // bytes reserved
	// strict: it is one of those that open a connection which must not be half a one.
	strict bool
}

// requests says what to do with each type of frame after connect.
var requests = map[string]func(*request) error{
	"subscribe":   (*request).subscribe,
	"unsubscribe": (*request).unsubscribe,
	"publish":     (*request).publish,
	"history":     (*request).history,
	"presence":    (*request).presence,
	"enter":       (*request).enter,
	"leave":       (*request).leave,
	"cursor":      (*request).cursor,
	"token":       (*request).token,
	"ping":        (*request).ping,
	"close":       (*request).close,
}

// handle carries out one frame of n bytes.
func (h *Handler) handle(f *frame, n int) {
	s := h.session.Load()
	if s == nil {
		h.connect(f)
		return
	}
	do := requests[f.Type]
	if do == nil {
		text := "type %q: there is no such frame; see spec/PROTOCOL.md"
		if f.Type == "connect" {
			text = "type %q: this connection is connected already; send token to change the grant"
		}
		h.reject(f.Ref, hub.Errorf(hub.CodeBadRequest, text, clip(f.Type)))
		return
	}
	if s.Reserve(n) != nil {
		return
	}
	r := &request{frame: f, h: h, s: s, n: n, strict: h.strict}
	if err := do(r); err != nil {
		r.fail(f.Channel, err)
	}
}

// reply answers the request, if the client wants an answer.
func (r *request) reply(frame []byte) {
	if r.Ref == nil {
		r.s.Release(r.n)
		if r.h.c.Poll {
			r.h.conn.Wake() // the poll waits until everything is done
		}
		return
	}
	r.h.answer(r.s, r.n, frame)
}

// fail answers the request with an error, also if it has no ref.
func (r *request) fail(channel string, err error) {
	if r.strict {
		shown, _ := hub.Show(err)
		r.s.Release(r.n)
		r.s.End(shown)
		return
	}
	r.h.answer(r.s, r.n, r.failure(r.Ref, channel, err))
}

func (r *request) failure(ref json.RawMessage, channel string, err error) []byte {
	shown, ok := hub.Show(err)
	if !ok {
		r.h.Logger.Error(r.Type, "channel", channel, "error", err)
	}
	w := newFrame("error", ref).error(shown)
	// A name that cannot be a channel's is not worth repeating.
	if n := len(channel); n > 0 && n <= r.h.Hub.Limits().ChannelBytes {
		w.str("channel", channel)
	}
	return w.end()
}

func (r *request) subscribe() error {
	from, err := r.from(time.Now())
	if err != nil {
		return err
	}
	if r.Cursor != "" {
		return r.subscribeAll(from)
	}
	from.Version = r.Version
	return r.follow(from, false)
}

// follow subscribes to the request's channel. quiet: a client that polls knows what the answer says.
func (r *request) follow(from hub.From, quiet bool) error {
	if r.h.c.EveryFrame {
		if err := fits(r.s, r.Channel); err != nil {
			return err
		}
	}
	return r.s.Subscribe(r.Channel, from, r.Presence, r.n, func(at hub.Position, deliver hub.Deliver) (any, int) {
		w := newFrame("subscribed", r.Ref).str("channel", r.Channel).position(at)
		if deliver == hub.DeliverLatest {
			w.str("deliver", "latest")
		}
		a := answer{frame: w.end(), quiet: quiet, moves: func(c *cursors) {
			c.put(r.Channel, hub.Cursor{Position: at, Presence: r.Presence, Version: from.Version})
		}}
		return a, len(a.frame)
	})
}

// subscribeAll subscribes to every channel of a cursor token. Each gets an answer of its own, so each reserves a place.
func (r *request) subscribeAll(from hub.From) error {
	if r.Channel != "" || from != (hub.From{}) {
		return hub.Errorf(hub.CodeBadRequest, "cursor goes without channel, offset, last and since")
	}
	cursors, err := hub.DecodeCursors(r.Cursor)
	if err != nil {
		return err
	}
	// The request's own place is for the ok at the end; given back while the subscriptions take theirs, lest the session waits for itself.
	r.s.Release(r.n)
	r.n = 0
	for _, at := range cursors {
		if r.s.Reserve(0) != nil {
			break // the session has ended
		}
		one := &request{frame: &frame{Type: r.Type, Channel: at.Channel, Presence: at.Presence || r.Presence}, h: r.h, s: r.s, strict: r.strict}
		if err := one.follow(hub.From{After: &at.Position, Version: at.Version}, true); err != nil {
			one.fail(at.Channel, err)
		}
	}
	if r.s.Reserve(0) == nil {
		r.reply(encodeOK(r.Ref))
	}
	return nil
}

func (r *request) unsubscribe() error {
	frame := newFrame("unsubscribed", r.Ref).str("channel", r.Channel).end()
	return r.s.Unsubscribe(r.Channel, r.n, answer{frame: frame, moves: func(c *cursors) { c.remove(r.Channel) }}, len(frame))
}

func (r *request) publish() error {
	data, binary, bad := r.data()
	if bad != nil {
		return bad
	}
	many := r.Channels != nil
	if many && r.Channel != "" {
		return hub.Errorf(hub.CodeBadRequest, "channel and channels exclude each other: give one")
	}
	p := hub.Publication{
		Channels: r.Channels, ID: r.ID, Event: r.Event, Data: data, Binary: binary, Headers: r.Headers, Ephemeral: r.Ephemeral,
	}
	if !many {
		p.Channels = []string{r.Channel}
	}
	if r.Echo != nil && !*r.Echo {
		p.Exclude = r.s.ID()
	}
	if r.Retry || r.Ordered && r.h.order == nil {
		r.h.order = new(hub.Order)
	}
	if r.Ordered || r.Retry {
		p.Order = r.h.order
	}
	if r.Expect != nil {
		p.Expect = &hub.Position{Epoch: r.Expect.Epoch, Offset: r.Expect.Offset}
	}
	return r.h.Hub.Publish(r.s.Grant(), []hub.Publication{p}, func(results []hub.Result) { r.published(many, p.Channels, results) })
}

// published answers a publish. It runs in the log's goroutine and does not block.
func (r *request) published(many bool, channels []string, results []hub.Result) {
	switch {
	case many:
		r.reply(encodeResults(r.Ref, channels, results))
	case results[0].Err != nil:
		r.fail(r.Channel, results[0].Err)
	default:
		r.reply(encodePublished(r.Ref, r.Channel, results[0]))
	}
}

func (r *request) history() error {
	q, err := r.query()
	if err != nil {
		return err
	}
	page, failed := r.h.Hub.History(r.s.Context(), r.s.Grant(), r.Channel, q)
	if failed != nil {
		return failed
	}
	r.reply(encodeHistory(r.Ref, r.Channel, page))
	return nil
}

func (r *request) query() (hub.Query, *hub.Error) {
	from, err := r.from(time.Now())
	if err != nil {
		return hub.Query{}, err
	}
	q := hub.Query{After: from.After, Last: from.Last, Since: from.Since, Limit: defaultHistory, Bytes: historyBytes}
	if from.Last > 0 {
		q.Limit = min(from.Last, maxHistory)
	}
	if r.Before != nil {
		if from != (hub.From{}) {
			return q, hub.Errorf(hub.CodeBadRequest, "before goes without offset, last and since")
		}
		if q.Before = *r.Before; q.Before == 0 {
			return q, hub.Errorf(hub.CodeBadRequest, "before: there is nothing before offset 0")
		}
	}
	if r.Limit != nil {
		if q.Limit = *r.Limit; q.Limit < 1 || q.Limit > maxHistory {
			return q, hub.Errorf(hub.CodeBadRequest, "limit: %d is not between 1 and %d", q.Limit, maxHistory)
		}
	}
	return q, nil
}

func (r *request) presence() error {
	members, version, err := r.h.Hub.Members(r.s.Grant(), r.Channel)
	if err != nil {
		return err
	}
	r.reply(encodeSnapshot(r.Ref, r.Channel, members, version))
	return nil
}

func (r *request) enter() error {
	if err := r.s.Enter(r.Channel, r.Member, r.Data); err != nil {
		return err
	}
	r.reply(encodeOK(r.Ref))
	return nil
}

func (r *request) leave() error {
	if err := r.s.Leave(r.Channel, r.Member); err != nil {
		return err
	}
	r.reply(encodeOK(r.Ref))
	return nil
}

func (r *request) cursor() error {
	token, err := hub.EncodeCursors(r.s.Cursors())
	if err != nil {
		return err
	}
	r.reply(newFrame("cursor", r.Ref).str("cursor", token).end())
	return nil
}

func (r *request) token() error {
	grant, err := r.h.Credentials.Token(r.Token)
	if err == nil {
		err = r.s.SetGrant(grant)
	}
	if err != nil {
		return err
	}
	r.reply(encodeOK(r.Ref))
	return nil
}

// close is a client's goodbye where the transport has none.
func (r *request) close() error {
	r.s.Close(0)
	return nil
}

func (r *request) ping() error {
	r.h.answer(r.s, r.n, encodePong("pong", r.Ref, time.Now()))
	return nil
}
